"""Lazy results on the screen: planes are restored in a thread when somebody looks at them.

napari reads what it draws on the GUI thread. Of a lazy result, that would run the network there,
and the window would stand still at every step of a slider.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dask
import dask.array
import numpy as np
from napari.qt.threading import GeneratorWorker, create_worker
from numpy.typing import DTypeLike, NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_baryir.widgets import layers
from napari_baryir.widgets.blending import blend
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.job import Done, Failed, cores_left_for_the_window

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

Part = tuple[Any, ...]
"""What was cut out of a level: the keys of its slices, one after the other."""

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


class _Stopped(Exception):
    """Nobody looks at it any more."""


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
        self._in_work: Part | None = None
        self._worker: GeneratorWorker[Any, None, None] | None = None
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
        return self._worker is not None or self._soon.isActive()

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
            kept = [_computed(_cut(each, part)) for each in (self.original, self.restored)]
            self._keep(part, kept)
        return kept[0], kept[1]

    def _want(self, part: Part) -> None:
        """Have a part made instead of what is in work, which nobody looks at any more."""
        self._wanted = part
        if self._worker is None:
            self._soon.start()
        elif part != self._in_work:
            self._worker.quit()
        elif not self._worker.abort_requested:
            self._wanted = None

    def _start(self) -> None:
        part, self._wanted = self._wanted, None
        if part is None or self._worker is not None or not self._watching():
            return
        self._was_shown = True

        def steps() -> Generator[list[Any] | Failed, None, None]:
            def check(*_: object) -> None:
                if worker.abort_requested:
                    raise _Stopped

            try:
                with cores_left_for_the_window():
                    original = _computed(_cut(self.original, part), check)
                    yield [original]
                    yield [original, _computed(_cut(self.restored, part), check)]
            except _Stopped:
                return
            except Exception as error:  # one that gets out would reach the user as a traceback
                yield Failed(error)

        worker = create_worker(steps, _start_thread=False, _ignore_errors=True)
        worker.yielded.connect(self._on_values)
        worker.finished.connect(self._on_finished)
        self._worker, self._in_work = worker, part
        self.busy.emit(True)
        worker.start()

    def _on_values(self, values: list[Any] | Failed) -> None:
        if self._in_work is None:
            return
        if isinstance(values, Failed):
            self._on_failure(self._in_work, Problem.of(values.error))
            return
        self._keep(self._in_work, values)
        for layer in self._watching():
            layers.refresh(layer)

    def _on_failure(self, part: Part, problem: Problem) -> None:
        """Say it once; the part stays as it was."""
        self._problem = problem
        kept = self._kept.get(repr(part)) or [np.asarray(0)]
        self._keep(part, [kept[0], kept[0]])
        if problem.sentence != self._complaint:
            notify(problem)
        self._complaint = problem.sentence

    def _on_finished(self) -> None:
        self._worker = self._in_work = None
        problem, self._problem = self._problem, None
        self._start()
        if problem is not None:
            self.failed.emit(problem)
        elif self._worker is None:
            self.busy.emit(False)

    def _on_removed(self, event: Any) -> None:
        if self._worker is not None and not self._watching():
            self._worker.quit()

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


class SeenArray(lazy.Array):  # type: ignore[misc]  # dask is Any here
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


def _cut(array: Any, part: Part) -> Any:
    for keys in part:
        array = array[keys]
    return array


def _computed(array: Any, check: Callable[..., None] | None = None) -> NDArray[Any]:
    """Compute a dask array, calling `check` before every task, a tile for instance."""
    if check is None or dask.config.get("scheduler", None) is not None:  # somebody's own computers
        return np.asarray(array.compute())
    callbacks: Sequence[Any] = [(None, None, check, None, None)]
    # Not napari's, which keep what was computed: they are not made for two threads.
    return np.asarray(array.compute(scheduler="sync", callbacks=callbacks))
