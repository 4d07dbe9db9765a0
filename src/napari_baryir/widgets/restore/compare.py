"""Compare a result with its original: strength, before and after, a wipe, and what was removed."""

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
"""Pause of the strength slider, milliseconds, after which the layer gets an ordinary array."""

SMALL = 2**20
"""Most values that are mixed at once, in some milliseconds; more are mixed in a thread."""


@dataclass(eq=False)
class Result:
    """A restored layer and its original."""

    image_layer: Image
    """The layer that was restored."""
    layer: Image
    box: Box
    axes: str
    originals: Sequence[Any]
    """Levels, finest first; one for a layer that is not multiscale."""
    restored: Sequence[Any]
    """The same at full strength."""
    name: str = ""
    """The name that we gave the layer; the user may have given it another."""
    seen: Sequence[SeenLevel] = ()
    """Levels that are restored when they are looked at."""
    strength: float = 1.0
    """The strength that the layer has, or is about to have."""
    shows_removed: bool = False
    """Whether a layer with what was removed is asked for."""
    removed: Image | None = None
    """That layer, once it has been added."""

    @property
    def is_preview(self) -> bool:
        """Whether it is a preview of a part."""
        return layers.kind_of(self.layer) == "preview"

    def mixed(self, mix: Mix) -> list[Any]:
        """Return what `mix` makes of original and restored, level by level."""
        if self.seen:
            return [level.array(mix) for level in self.seen]
        return [mix(*pair) for pair in zip(self.originals, self.restored, strict=True)]


class Comparison(QObject):
    """Compares one result at a time, without running the network again."""

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
        self.anchor: Any = None  # a widget in the viewer's window, for `Wipe`
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
        if self.result is not None:
            self._settle_now()
        self.set_wipe(0)
        before = self.result
        if before is not None and before.layer not in self._viewer.layers:
            before.image_layer.visible = True  # nothing else shows it any more
        self.result = result
        self.strength = 1.0
        if result is not None:
            self._hide_below(result)
        self.set_strength(strength)

    def close(self) -> None:
        """Stop; a `LiveBlend` still becomes an array."""
        with contextlib.suppress(RuntimeError):  # line and timer have gone with the window
            self.set_wipe(0)
            self._settle_now()
        self._closed = True
        self.result = None

    def _settle_now(self) -> None:
        if self._timer.isActive():
            self._timer.stop()
            self._settle()

    def set_strength(self, strength: float) -> None:
        """Blend the result with its original, first in view."""
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
        before = layers.levels(result.layer)
        if not isinstance(before[0], LiveBlend):  # which knows what napari reads
            before = [LiveBlend(level, level, 1.0) for level in before]
            self._put(result, before, settled=False)

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

        create_worker(mix, _connect={"returned": put})

    def toggle(self) -> None:
        """Show the original instead of the result, or back."""
        if self.result is None:
            return
        self.set_wipe(0)
        image_layer, layer = self.result.image_layer, self.result.layer
        if layer.visible:
            image_layer.visible, layer.visible = True, False
        else:
            layer.visible = True
            self._hide_below(self.result)

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
            result.image_layer.visible = True
            sides[result.image_layer] = -1.0
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
            result.image_layer.visible = False

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
        """Follow the removal of a layer; the map of what was removed goes with its result."""
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

        create_worker(partial(result.mixed, mix), _connect={"returned": then})

    def _add_removed(self, result: Result, strength: float, made: list[Any]) -> None:
        gone = self._closed or result.layer not in self._viewer.layers
        if gone or not result.shows_removed or result.removed in self._viewer.layers:
            return
        layer = layers.add_difference(
            self._viewer,
            result.layer,
            made if result.layer.multiscale else made[0],
            name=f"{result.image_layer.name} removed",
            limit=_limit(made[0], result.layer),
            record={"kind": "removed", "result": result.layer.name},
            **layers.placement(result.layer),
        )
        result.removed = layer
        self._removed.add(result)
        if strength != result.strength:
            self._renew_removed(result)
        self.added.emit()

    def _renew_removed(self, result: Result) -> None:
        """Bring the layer with what was removed to the strength that there is now."""
        layer, strength = result.removed, result.strength
        if layer is None or layer not in self._viewer.layers:
            return

        def put(made: list[Any]) -> None:
            if layer in self._viewer.layers and strength == result.strength:
                layers.show_data(layer, made if layer.multiscale else made[0])

        self._work_out_removed(result, put)

    def _settle(self) -> None:
        """Replace a `LiveBlend` by an ordinary array, made in a thread."""
        result = self.result
        if self._mixing and self.sender() is self._timer:
            self._timer.start()  # again, after the drawing of the strength in work
            return
        if result is None or result.layer not in self._viewer.layers:
            return
        strength = result.strength

        def mix(original: Any, restored: Any) -> Any:
            return blend(np.asarray(original), restored, strength)

        def put(made: list[Any]) -> None:
            if strength == result.strength:
                self._put(result, made)

        create_worker(partial(result.mixed, mix), _connect={"returned": put})

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
    """Return the contrast of a signed map: the 99.5th percentile of the changes."""
    if is_dask(change):
        low, high = (0, 255) if layer.rgb else layer.contrast_limits
        return float(high - low) / 10 or 1.0
    step = max(1, change.size // 100_000)
    greatest = float(np.percentile(np.abs(change.ravel()[::step]), 99.5))
    return greatest or float(np.abs(change).max()) or 1.0
