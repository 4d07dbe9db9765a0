"""Judging a result by eye: strength, before and after, a wipe, and what was removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_baryir.imaging.checks import is_dask
from napari_baryir.widgets.restore.job import LazyMode, Settings
from napari_baryir.widgets.restore.record import with_strength
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.blending import LiveBlend, blend, removed
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_baryir.widgets.dock.seen import Mix, SeenPlanes

SETTLE_MS = 300
"""Pause of the strength slider, milliseconds, after which the values are worked out for good."""

SMALL = 2**20
"""Values that are mixed in some milliseconds, at once; more than that goes to a thread."""


@dataclass(frozen=True)
class Asked:
    """How a result was asked for, so that the same can be asked for again."""

    settings: Settings
    lazy: LazyMode
    target: Path | None


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
    asked: Asked
    seen: Sequence[SeenPlanes] = ()
    """Levels that are restored when somebody looks at them."""
    strength: float = 1.0
    """That its layer has, or is about to have."""
    removed: Image | None = None
    """The layer that shows what was removed, once somebody asked for it."""

    def mixed(self, mix: Mix) -> list[Any]:
        """What `mix` makes of original and restored, level by level."""
        if self.seen:
            return [level.array(mix) for level in self.seen]
        return [mix(*pair) for pair in zip(self.originals, self.restored, strict=True)]


class Comparison(QObject):
    """Works on one result at a time, without running the network again."""

    settled = Signal()
    """The layer holds the values that its strength asks for."""
    added = Signal()
    """The layer with what was removed is there."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.result: Result | None = None
        self.strength = 1.0
        self._closed = False
        self._wipe: Image | None = None
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
        if result is not None and result.layer.blending not in ("opaque", "translucent"):
            result.source.visible = False  # their sum would be shown
        self.set_strength(strength)

    def close(self) -> None:
        """Leave everything as it is and stop; what is mixed on the fly still becomes an array."""
        if self._timer.isActive():
            self._timer.stop()
            self._settle()
        self._closed = True
        self.result = None

    def set_strength(self, strength: float) -> None:
        """Blend the result with its original; what is in view changes at once."""
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
            live = result.mixed(partial(LiveBlend, strength=strength))
            self._put(result, live, settled=False)
            self._timer.start()

    def toggle(self) -> None:
        """Before instead of after, or back."""
        if self.result is None:
            return
        source, layer = self.result.source, self.result.layer
        if layer.visible:
            layers.show_only(source, layer)
        elif layer.blending in ("opaque", "translucent"):
            layer.visible = True
        else:
            layers.show_only(layer, source)

    @property
    def shows_after(self) -> bool:
        """Whether the result is shown and not its original."""
        return self.result is not None and self.result.layer.visible

    @property
    def wipe_layer(self) -> Image | None:
        """The layer that shows part of the original, while there is one."""
        return self._wipe if self._wipe in self._viewer.layers else None

    def set_wipe(self, fraction: float) -> None:
        """Show the original over this part of the result's width, from the left; 0 ends it."""
        result = self.result
        if result is None or fraction <= 0 or result.layer not in self._viewer.layers:
            layers.remove(self._viewer, self._wipe)
            self._wipe = None
            return
        axis = result.axes.index("X")
        left = [_first(level, axis, fraction) for level in result.originals]
        data = left if result.layer.multiscale else left[0]
        if self.wipe_layer is None:
            self._wipe = layers.add_result(
                self._viewer,
                result.source,
                result.box,
                data,
                name="before | after",
                record={"kind": "before"},
                below=result.layer,
            )
        else:
            layers.show_data(self.wipe_layer, data)

    def add_removed(self) -> None:
        """Add a layer with what restoring took away; from then on it follows the strength."""
        if self.result is not None:
            then = partial(self._add_removed, self.result, self.strength)
            self._work_out_removed(self.result, then)

    def _work_out_removed(self, result: Result, then: Callable[[list[Any]], None]) -> None:
        strength, rgb = result.strength, result.layer.rgb

        def mix(original: Any, restored: Any) -> Any:
            return removed(original, blend(original, restored, strength), rgb=rgb)

        self._in_thread(partial(result.mixed, mix), then)

    def _add_removed(self, result: Result, strength: float, made: list[Any]) -> None:
        if self._closed or result.layer not in self._viewer.layers:
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
            self._renew_removed(result)
            self.settled.emit()


def _first(array: Any, axis: int, fraction: float) -> Any:
    """The beginning of an array along an axis; a view."""
    length = max(1, min(array.shape[axis], round(fraction * array.shape[axis])))
    return array[(slice(None),) * axis + (slice(0, length),)]


def _limit(change: Any, layer: Image) -> float:
    """Contrast for a signed map: what all but the strongest changes stay below."""
    if is_dask(change):
        low, high = (0, 255) if layer.rgb else layer.contrast_limits
        return float(high - low) / 10 or 1.0
    step = max(1, change.size // 100_000)
    greatest = float(np.percentile(np.abs(change.ravel()[::step]), 99.5))
    return greatest or float(np.abs(change).max()) or 1.0
