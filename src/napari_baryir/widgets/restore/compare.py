"""Judging a result by eye: strength, before and after, a wipe, and what was removed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_baryir.imaging.checks import is_dask
from napari_baryir.widgets.restore.record import name_of, with_strength
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.blending import LiveBlend, blend, removed
from napari_baryir.widgets.viewer.regions import Box
from napari_baryir.widgets.viewer.wipe import Wipe

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_baryir.widgets.restore.seen import Mix, SeenLevel

SETTLE_MS = 300
"""Pause of the strength slider, milliseconds, after which the values are worked out for good."""

SMALL = 2**20
"""Values that are mixed in some milliseconds, at once; more than that goes to a thread."""


@dataclass(eq=False)
class Result:
    """A restored layer and what it was made of."""

    source: Image
    layer: Image
    box: Box
    axes: str
    originals: Sequence[Any]
    """Levels, finest first; one for a layer that is not multiscale."""
    restored: Sequence[Any]
    """The same at full strength."""
    name: str = ""
    """That we gave the layer; the user may have given it another."""
    seen: Sequence[SeenLevel] = ()
    """Levels that are restored when they are looked at."""
    strength: float = 1.0
    """That its layer has, or is about to have."""
    shows_removed: bool = False
    removed: Image | None = None
    """The layer that shows what was removed, while it is asked for."""

    @property
    def is_preview(self) -> bool:
        """Whether it is a part that was restored before any run."""
        return layers.kind_of(self.layer) == "preview"

    def mixed(self, mix: Mix) -> list[Any]:
        """Return what `mix` makes of original and restored, level by level."""
        if self.seen:
            return [level.array(mix) for level in self.seen]
        return [mix(*pair) for pair in zip(self.originals, self.restored, strict=True)]


class Comparison(QObject):
    """Works on one result at a time, without running the network again."""

    settled = Signal()
    """The layer holds the values that its strength asks for."""
    added = Signal()
    """The layer with what was removed has been added."""
    wiped = Signal()
    """The line of the wipe has come, moved or gone."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.result: Result | None = None
        self.strength = 1.0
        self.anchor: Any = None  # a widget in the viewer's window, to find the canvas from
        self._closed = False
        self._wipe: Wipe | None = None
        self._mixing = False
        """Whether a thread mixes what the window shows."""
        self._removed: set[Result] = set()
        """The results whose removed layer is in the viewer."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self._settle)

    def show(self, result: Result | None, strength: float) -> None:
        """Compare this result from now on."""
        if self.result is not None and self._timer.isActive():
            self._timer.stop()
            self._settle()
        self.set_wipe(0)
        before = self.result
        if before is not None and before.layer not in self._viewer.layers:
            before.source.visible = True  # nothing else shows it any more
        self.result = result
        self.strength = 1.0
        if result is not None:
            self._hide_below(result)
        self.set_strength(strength)

    def close(self) -> None:
        """Leave everything as it is and stop; what is mixed on the fly still becomes an array."""
        with contextlib.suppress(RuntimeError):  # the line has gone with the window
            self.set_wipe(0)
        if self._timer.isActive():
            self._timer.stop()
            self._settle()
        self._closed = True
        self.result = None

    def set_strength(self, strength: float) -> None:
        """Blend the result with its original; what is in view changes first."""
        result = self.result
        if result is None or strength == self.strength:
            return
        self.strength = result.strength = strength
        record = layers.record_of(result.layer)
        if record is not None:
            layers.set_record(result.layer, with_strength(record, strength))
        quick = strength == 1 or is_dask(result.restored[0]) or result.restored[0].size <= SMALL
        if quick:
            self._put(result, result.mixed(partial(blend, strength=strength)))
        else:
            self._timer.start()
            self._mix_seen(result)

    def _mix_seen(self, result: Result) -> None:
        """Mix what the window shows in a thread, draw it, and go on with the latest strength."""
        if self._mixing or result.layer not in self._viewer.layers:
            return
        self._mixing = True
        strength = result.strength
        before = [LiveBlend.of(level) for level in layers.levels(result.layer)]
        if layers.levels(result.layer)[0] is not before[0]:
            self._put(result, before, settled=False)  # from now on it is known what napari reads

        def mix() -> list[Any]:
            mixed = result.mixed(partial(LiveBlend, strength=strength))
            return [new.like(old) for new, old in zip(mixed, before, strict=True)]

        def put(made: list[Any]) -> None:
            self._mixing = False
            if self._closed or result is not self.result or not self._timer.isActive():
                return  # it settles, or has settled
            self._put(result, made, settled=False)
            if strength != result.strength:
                self._mix_seen(result)

        self._in_thread(mix, put)

    def toggle(self) -> None:
        """Before instead of after, or back."""
        if self.result is None:
            return
        self.set_wipe(0)
        source, layer = self.result.source, self.result.layer
        covers = layer.blending in layers.COVERING
        if layer.visible:
            layers.show_of({source: True, layer: False})
        else:
            layers.show_of({layer: True, source: source.visible and covers})

    @property
    def wipe(self) -> float:
        """Where the line is, as a fraction of the canvas's width; 0 without one."""
        return 0.0 if self._wipe is None else self._wipe.fraction

    def set_wipe(self, fraction: float) -> None:
        """Show the original left of a line at this fraction of the canvas's width; 0 ends it."""
        result = self.result
        if result is None or fraction <= 0 or result.layer not in self._viewer.layers:
            self._end_wipe()
            return
        if self._wipe is None:
            self._wipe = Wipe(self._viewer, self.anchor)
            self._wipe.moved.connect(self.set_wipe)
        sides = {result.layer: 1.0}
        if result.layer.blending not in layers.COVERING:
            result.source.visible = True
            sides[result.source] = -1.0
        self._wipe.place(fraction, sides)
        self.wiped.emit()

    def _end_wipe(self) -> None:
        """Draw the result everywhere again."""
        if self._wipe is None:
            return
        self._wipe.remove()
        self._wipe = None
        if self.result is not None and self.result.layer.visible:
            self._hide_below(self.result)
        self.wiped.emit()

    @staticmethod
    def _hide_below(result: Result) -> None:
        """Hide the original where its sum with the result would be shown."""
        if result.layer.blending not in layers.COVERING:
            result.source.visible = False

    @property
    def shows_removed(self) -> bool:
        """Whether there is a layer with what was removed, or there will be."""
        return self.result is not None and self.result.shows_removed

    def show_removed(self, shown: bool) -> None:
        """Add a layer with what restoring took away, which follows the strength; or remove it."""
        result = self.result
        if result is None or result.shows_removed == shown:
            return
        result.shows_removed = shown
        if shown:
            self._work_out_removed(result, partial(self._add_removed, result, self.strength))
        else:
            layers.remove(self._viewer, result.removed)

    def forget(self, layer: Any) -> None:
        """Follow the removal of a layer: what was removed goes with its result."""
        for result in list(self._removed):
            if layer is result.layer:
                layers.remove(self._viewer, result.removed)
            if layer in (result.layer, result.removed):
                result.shows_removed = False
                self._removed.discard(result)

    def _work_out_removed(self, result: Result, then: Callable[[list[Any]], None]) -> None:
        strength, rgb = result.strength, result.layer.rgb

        def mix(original: Any, restored: Any) -> Any:
            return removed(original, blend(original, restored, strength), rgb=rgb)

        self._in_thread(partial(result.mixed, mix), then)

    def _add_removed(self, result: Result, strength: float, made: list[Any]) -> None:
        gone = self._closed or result.layer not in self._viewer.layers
        if gone or not result.shows_removed or result.removed in self._viewer.layers:
            return
        layer = layers.add_difference(
            self._viewer,
            result.layer,
            made if result.layer.multiscale else made[0],
            name=f"{result.source.name} removed",
            limit=_limit(made[0], result.layer),
            record={"kind": "removed", "result": result.layer.name},
        )
        result.removed = layer
        self._removed.add(result)
        if strength != result.strength:
            self._renew_removed(result)
        self.added.emit()

    def _renew_removed(self, result: Result) -> None:
        """Have the layer with what was removed say so of the strength that there is now."""
        layer, strength = result.removed, result.strength
        if layer is None or layer not in self._viewer.layers:
            return

        def put(made: list[Any]) -> None:
            if layer in self._viewer.layers and strength == result.strength:
                layers.show_data(layer, made if layer.multiscale else made[0])

        self._work_out_removed(result, put)

    def _settle(self) -> None:
        """Replace what is mixed on the fly by an ordinary array, made in a thread."""
        result = self.result
        if self._mixing and self.sender() is self._timer:
            self._timer.start()  # again, since what is being mixed is drawn first
            return
        if result is None or result.layer not in self._viewer.layers:
            return

        strength = result.strength

        def mix(original: Any, restored: Any) -> Any:
            return blend(np.asarray(original), restored, strength)

        def put(made: list[Any]) -> None:
            if strength == result.strength:
                self._put(result, made)

        self._in_thread(partial(result.mixed, mix), put)

    def _in_thread(self, compute: Callable[[], Any], then: Callable[[Any], None]) -> None:
        worker = create_worker(compute, _start_thread=False)
        worker.returned.connect(then)
        worker.start()  # from now on, napari keeps it until it has ended

    def _put(self, result: Result, data: list[Any], *, settled: bool = True) -> None:
        layer = result.layer
        if layer not in self._viewer.layers:
            return
        layers.show_data(layer, data if layer.multiscale else data[0])
        if settled:
            if result is self.result:
                self._timer.stop()
            record = layers.record_of(layer)
            if record is not None and not result.is_preview and layer.name == result.name:
                layer.name = result.name = name_of(record)  # the user has given no other
            self._renew_removed(result)
            self.settled.emit()


def _limit(change: Any, layer: Image) -> float:
    """Contrast for a signed map: what all but the strongest changes stay below."""
    if is_dask(change):
        low, high = (0, 255) if layer.rgb else layer.contrast_limits
        return float(high - low) / 10 or 1.0
    step = max(1, change.size // 100_000)
    greatest = float(np.percentile(np.abs(change.ravel()[::step]), 99.5))
    return greatest or float(np.abs(change).max()) or 1.0
