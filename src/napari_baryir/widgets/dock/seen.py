"""Lazy results on the screen: planes are restored in a thread when somebody looks at them.

napari reads what it draws on the GUI thread. Of a lazy result, that would run the network there,
and the window would stand still at every step of a slider.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dask
import dask.array
import numpy as np
from numpy.typing import DTypeLike, NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_baryir.widgets.dock.part_worker import Part, PartWorker, computed, cut
from napari_baryir.widgets.dock.problem import Problem, notify
from napari_baryir.widgets.restore.job import Done, Failed, cores_left_for_the_window
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.blending import blend

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

lazy: Any = dask.array
"""Most of dask is not annotated."""

MOST_BYTES = 2**28
"""Of planes kept per level, original and restored; the latest two are kept whatever their size."""

DRAWING = "napari.layers._scalar_field"
"""napari's modules that read a layer's values in order to draw them. Should they move, then planes
are restored on the GUI thread again, as of any dask array; the values stay right."""

Mix = Callable[[Any, Any], Any]
"""What to show of an original and its restored counterpart, NumPy or dask."""


def seen_levels(done: Done, viewer: ViewerModel) -> list[SeenPlanes]:
    """The levels of a lazy result, finest first."""
    originals, restored = done.original, done.data
    if not isinstance(restored, list):
        originals, restored = [originals], [restored]
    return [SeenPlanes(*pair, viewer) for pair in zip(originals, restored, strict=True)]


def shown_data(done: Done, seen: Sequence[SeenPlanes]) -> Any:
    """Data for the layer of a lazy result with these `seen_levels`."""
    shown = [level.array(partial(blend, strength=1.0)) for level in seen]
    return shown if isinstance(done.data, list) else shown[0]


class SeenPlanes(QObject):
    """A level of a lazy result. Lives on the GUI thread; computes in another.

    Parameters
    ----------
    original, restored
        dask arrays of the same shape and dtype.
    viewer
        Whose layers show them.
    """

    busy = Signal(bool)
    """Whether something in view is being restored."""
    failed = Signal(object)
    """A `Problem`, in place of no longer being busy."""

    def __init__(self, original: Any, restored: Any, viewer: ViewerModel) -> None:
        super().__init__()
        self.original = original
        self.restored = restored
        self._viewer = weakref.ref(viewer)
        self._kept: OrderedDict[str, list[NDArray[Any]]] = OrderedDict()
        """Original and, once it is there, restored values of parts; the latest last."""
        self._lock = threading.Lock()
        self._wanted: Part | None = None
        # Two, since an original should not wait for the tile in work of what was seen before.
        self._reader = PartWorker(original)
        self._restorer = PartWorker(restored, cores_left_for_the_window)
        self._reader.made.connect(self._on_original)
        self._restorer.made.connect(self._on_restored)
        for worker in (self._reader, self._restorer):
            worker.ended.connect(self._on_ended)
        self._was_shown = False
        self._problem: Problem | None = None
        self._complaint = ""
        # Not at once: napari reads more than once until a new layer is where it belongs.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._start)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_busy(self) -> bool:
        """Whether something in view is being restored, or about to be."""
        return self._reader.is_busy or self._restorer.is_busy or self._soon.isActive()

    def array(self, mix: Mix) -> SeenArray:
        """A dask array of what `mix` makes of the level."""
        return SeenArray.of(mix(self.original, self.restored), self, mix)

    def values(self, part: Part) -> tuple[Any, Any] | None:
        """Original and restored values as far as they are there, and have the rest made.

        For the GUI thread: takes no time. Before a part is restored, the original stands for it.
        """
        if self._was_shown and not self._watching():
            return self.make(part)  # drawn elsewhere, where we could not draw again
        with self._lock:
            kept = self._kept.get(repr(part))
            if kept is not None:
                self._kept.move_to_end(repr(part))
        if kept is None or len(kept) < 2:
            self._want(part)
        return (kept[0], kept[-1]) if kept else None

    def make(self, part: Part) -> tuple[Any, Any]:
        """Original and restored values, computed here if they are not there; for other threads."""
        kept = self._kept.get(repr(part), [])
        if len(kept) < 2:
            kept = [computed(cut(each, part)) for each in (self.original, self.restored)]
            self._keep(part, kept)
        return kept[0], kept[1]

    def _want(self, part: Part) -> None:
        """Have a part made instead of what is in work, which nobody looks at any more."""
        self._wanted = None if self._restorer.makes(part) else part
        for worker in (self._reader, self._restorer):
            if not worker.makes(part):
                worker.stop()
        if self._wanted is not None:
            self._soon.start()

    def _start(self) -> None:
        """Read the original of what is wanted, or restore it if that is there."""
        part = self._wanted
        if part is None or not self._watching():
            self._wanted = None
            return
        self._was_shown = True
        known = len(self._kept.get(repr(part), []))
        worker = self._restorer if known else self._reader
        if known < 2 and worker.is_busy:
            return  # its end comes back here
        if known:
            self._wanted = None
        if known < 2:
            self.busy.emit(True)
            worker.start(part)

    def _on_original(self, part: Part, values: NDArray[Any] | Failed) -> None:
        self._on_made(part, [], values)

    def _on_restored(self, part: Part, values: NDArray[Any] | Failed) -> None:
        original = self._kept.get(repr(part), [])[:1]
        if original:  # else it was dropped meanwhile, as nobody looked for long
            self._on_made(part, original, values)

    def _on_made(self, part: Part, kept: list[Any], values: NDArray[Any] | Failed) -> None:
        if isinstance(values, Failed):
            self._on_failure(part, kept, Problem.of(values.error))
            return
        self._keep(part, [*kept, values])
        for layer in self._watching():
            layers.refresh(layer)

    def _on_failure(self, part: Part, kept: list[Any], problem: Problem) -> None:
        """Say it once; the part stays as it was."""
        self._problem = problem
        self._keep(part, 2 * (kept or [np.asarray(0)]))
        if problem.sentence != self._complaint:
            notify(problem)
        self._complaint = problem.sentence

    def _on_ended(self) -> None:
        problem, self._problem = self._problem, None
        self._start()
        if problem is not None:
            self.failed.emit(problem)
        elif not self._reader.is_busy and not self._restorer.is_busy:
            self.busy.emit(False)

    def _on_removed(self, event: Any) -> None:
        if not self._watching():
            self._reader.stop()
            self._restorer.stop()

    def _watching(self) -> list[Image]:
        """The layers that show it, with whatever mix."""
        viewer = self._viewer()
        found = layers.images(viewer) if viewer is not None else []
        return [
            layer
            for layer in found
            if any(getattr(level, "planes", None) is self for level in layers.levels(layer))
        ]

    def _keep(self, part: Part, values: list[Any]) -> None:
        with self._lock:
            self._kept[repr(part)] = values
            self._kept.move_to_end(repr(part))
            total = sum(each.nbytes for kept in self._kept.values() for each in kept)
            while total > MOST_BYTES and len(self._kept) > 2:
                _, oldest = self._kept.popitem(last=False)
                total -= sum(each.nbytes for each in oldest)


class SeenArray(lazy.Array):
    """A dask array like any other, but for napari's drawing, which gets what is there at once."""

    planes: SeenPlanes
    _mix: Mix
    _part: Part = ()
    _before: list[NDArray[Any]]
    """What was drawn last, in a list that all parts share."""

    @classmethod
    def of(
        cls, array: Any, planes: SeenPlanes, mix: Mix, part: Part = (), before: Any = None
    ) -> SeenArray:
        """Take over a dask array."""
        made: SeenArray = cls(array.dask, array.name, array.chunks, meta=array._meta)
        made.planes, made._mix, made._part = planes, mix, part
        made._before = [] if before is None else before
        return made

    def __getitem__(self, key: Any) -> Any:
        cut = super().__getitem__(key)
        keys = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(each, slice | int | np.integer) for each in keys):
            return cut
        return self.of(cut, self.planes, self._mix, (*self._part, keys), self._before)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None, **more: Any
    ) -> NDArray[Any]:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.startswith(DRAWING):
            values: NDArray[Any] = super().__array__(dtype=dtype, copy=copy, **more)
            return values
        if threading.current_thread() is threading.main_thread():
            return np.asarray(self._drawn(), dtype=dtype)
        # napari's asynchronous slicing can wait.
        return np.asarray(self._mix(*self.planes.make(self._part)), dtype=dtype)

    def _drawn(self) -> NDArray[Any]:
        found = self.planes.values(self._part)
        drawn: NDArray[Any]
        if found is not None and found[0].ndim:
            drawn = np.asarray(self._mix(*found))
        else:
            drawn = self._before[0] if self._before else np.zeros(0)
            if (drawn.shape, drawn.dtype) != (self.shape, self.dtype):
                drawn = np.zeros(self.shape, self.dtype)
        self._before[:] = [drawn]
        return drawn
