"""Lazy results on the screen: the plane in view is restored in a thread, then drawn."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_baryir.widgets.dock.seen import Check, Kept, PartWorker, computed
from napari_baryir.widgets.restore.job import Done
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.blending import blend
from napari_baryir.widgets.viewer.regions import is_a, is_in_view

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

lazy: Any = dask.array
"""Most of dask is not annotated."""

Part = tuple[range | int, ...]
"""A part of an array: a range, or one index, per axis."""

Mix = Callable[[Any, Any], Any]
"""Makes the shown values of original and restored ones, NumPy or dask."""


def seen_levels(done: Done, viewer: ViewerModel) -> tuple[Any, list[SeenLevel]]:
    """Return the data for the layer of a lazy result, and its levels, finest first."""
    multiscale = isinstance(done.data, list)
    pairs = (
        zip(done.original, done.data, strict=True) if multiscale else [(done.original, done.data)]
    )
    seen = [SeenLevel(*pair, number, viewer) for number, pair in enumerate(pairs)]
    shown = [level.array(partial(blend, strength=1.0)) for level in seen]
    return shown if multiscale else shown[0], seen


class SeenLevel(PartWorker):
    """A level of a lazy result; the worker restores the part in view.

    Parameters
    ----------
    original, restored
        dask arrays of the same shape and dtype.
    number
        The level's number; 0 is the finest.
    viewer
        Its layers show the level.
    """

    kept: Kept[list[NDArray[Any]]]

    def __init__(self, original: Any, restored: Any, number: int, viewer: ViewerModel) -> None:
        def restore(part: Part, check: Check | None) -> list[NDArray[Any]]:
            return computed([_cut(original, part), _cut(restored, part)], check)

        super().__init__(Kept(restore))
        self.original = original
        self.restored = restored
        self._number = number
        self._viewer = weakref.ref(viewer)
        self.made.connect(self._draw)
        viewer.layers.events.removed.connect(self._on_removed)

    def array(self, mix: Mix) -> SeenArray:
        """Return a dask array of what `mix` makes of the level."""
        return SeenArray.of(mix(self.original, self.restored), self, mix)

    def drawn(self, part: Part | None) -> Sequence[NDArray[Any]] | None:
        """Return original and restored values to draw; None for what is not in view.

        The original stands for what is not restored yet, and that is asked for.
        """
        viewer = self._viewer()
        if viewer is None or (part is None and self._number == 0):
            return None
        if part is None:  # napari reads all of a coarse level for the thumbnail
            part = tuple(range(n) for n in self.original.shape)
        found = [
            layer for layer in self._watching() if is_in_view(viewer, layer, self._number, part)
        ]
        if not found:
            return None
        part = (*part, *(range(n) for n in self.original.shape[len(part) :]))  # colours
        known: Sequence[NDArray[Any]] | None = self.kept.known(part)
        if known is None and threading.current_thread() is not threading.main_thread():
            return self.kept.get(part)  # napari's asynchronous slicing can wait
        if known is None:
            self.kept.want(part)
            known = 2 * computed([_cut(self.original, part)])
        return known

    def _draw(self) -> None:
        for layer in self._watching():
            layers.refresh(layer)

    def _on_removed(self, _: Any) -> None:
        if not self._watching():
            self.stop()

    def _watching(self) -> list[Image]:
        """Return the layers that show the level, with whatever mix."""
        viewer = self._viewer()
        return [
            layer
            for layer in (viewer.layers if viewer is not None else ())
            if is_a(layer, "Image")
            and any(getattr(data, "level", None) is self for data in layers.levels(layer))
        ]


class SeenArray(lazy.Array):
    """A dask array like any other, except that reading the part in view never waits.

    ``numpy.asarray`` of the plane in view gives what is on the screen, which is the original until
    the plane is restored; ``compute`` and everything else that dask offers restores first.
    """

    level: SeenLevel
    _mix: Mix
    _part: Part | None = None
    """None for all of the array, which is not what napari draws."""

    @classmethod
    def of(cls, array: Any, level: SeenLevel, mix: Mix, part: Part | None = None) -> SeenArray:
        """Take over a dask array."""
        made: SeenArray = cls(array.dask, array.name, array.chunks, meta=array._meta)
        made.level, made._mix, made._part = level, mix, part
        return made

    def __getitem__(self, key: Any) -> Any:
        cut = super().__getitem__(key)
        keys = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(each, slice | int | np.integer) for each in keys):
            return cut
        before = self._part or tuple(range(n) for n in self.shape)
        left = iter(keys)
        part = tuple(
            each[next(left, slice(None))] if isinstance(each, range) else each for each in before
        )
        return self.of(cut, self.level, self._mix, part)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None, **more: Any
    ) -> NDArray[Any]:
        drawn = self.level.drawn(self._part)
        if drawn is not None:
            return np.asarray(self._mix(*drawn), dtype=dtype)
        values: NDArray[Any] = super().__array__(dtype=dtype, copy=copy, **more)
        return values


def _cut(array: Any, part: Part) -> Any:
    return array[tuple(slice(p.start, p.stop, p.step) if isinstance(p, range) else p for p in part)]
