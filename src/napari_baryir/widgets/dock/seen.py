"""Lazy planes, computed once each, in a thread, when they are looked at.

napari reads what it draws on the GUI thread. If the network ran there, the window would stop at
every step of a slider.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from napari.qt.threading import GeneratorWorker, create_worker
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, Signal

from napari_baryir.widgets.dock.problem import Problem, notify
from napari_baryir.widgets.dock.steps import cores_left_for_the_window

MOST_BYTES = 2**28
"""Most bytes of parts that one `Kept` holds; the latest `LEAST_KEPT` stay whatever their size."""

LEAST_KEPT = 2
"""napari draws an image and its thumbnail, which may be two parts."""

PlaneIndex = tuple[int, ...]
"""Index of a plane: one number per axis other than Y, X and S."""
Part = TypeVar("Part", bound=Sequence[NDArray[Any]])
Check = Callable[[], None]
"""Called before every task, a tile for instance; raises `Stopped` to end the work."""


class Stopped(Exception):
    """The part in work is no longer needed."""


class Kept(Generic[Part]):
    """Parts of lazy arrays, each computed once from its key, for all layers that show it."""

    def __init__(self, compute: Callable[[Any, Check | None], Part]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._recent: OrderedDict[Any, Part] = OrderedDict()
        self.on_wanted: Callable[[Any], None] | None = None
        """Has a part computed in a thread; set by a `PartWorker`."""

    def get(self, key: Any, check: Check | None = None) -> Part:
        """Return a part, computed here if need be."""
        with self._lock:
            found = self._recent.get(key)
            if found is None:
                found = self._recent[key] = self._compute(key, check)
            self._recent.move_to_end(key)
            total = sum(each.nbytes for part in self._recent.values() for each in part)
            while total > MOST_BYTES and len(self._recent) > LEAST_KEPT:
                _, oldest = self._recent.popitem(last=False)
                total -= sum(each.nbytes for each in oldest)
        return found

    def known(self, key: Any) -> Part | None:
        """Return a part if it is in memory."""
        return self._recent.get(key)

    def want(self, key: Any) -> None:
        """Have a part computed in a thread, if there is a worker."""
        wanted = self.on_wanted  # read once: closing the dock takes it away
        if wanted is not None:
            wanted(key)


class KeptPlanes(Kept[Part]):
    """Planes of lazy arrays (..., h, w), with so many float32 `values` per pixel."""

    def __init__(
        self,
        shape: Sequence[int],
        values: int,
        compute: Callable[[PlaneIndex, Check | None], Part],
    ) -> None:
        super().__init__(compute)
        *outer, height, width = (int(n) for n in shape)
        self.shape, self.sides = tuple(outer), (height, width)
        self.most = max(1, MOST_BYTES // max(1, 4 * values * height * width))
        """How many planes can be kept at once."""


def computed(arrays: Sequence[Any], check: Check | None = None) -> list[NDArray[Any]]:
    """Compute dask arrays that share tiles, calling `check` before every task."""
    import dask.base

    if check is None or dask.config.get("scheduler", None) is not None:  # the user's own computers
        return [np.asarray(each) for each in dask.base.compute(*arrays)]
    callbacks = [(None, None, lambda *_: check(), None, None)]
    # Without napari's callbacks: its cache is not made for two threads.
    found = dask.base.compute(*arrays, scheduler="sync", callbacks=callbacks)
    return [np.asarray(each) for each in found]


class PartWorker(QObject):
    """Computes the wanted parts of a `Kept` in a thread, the latest first; others are given up.

    All signals come on the GUI thread, where the worker must be made.
    """

    made = Signal()
    """One more part is known. Drawing it asks again for the parts in view that are missing."""
    busy = Signal(bool)
    """Whether a part is being computed."""
    failed = Signal(object)
    """A `Problem`, instead of ``busy(False)``; napari was notified."""

    _wanted = Signal()

    def __init__(self, kept: Kept[Any]) -> None:
        super().__init__()
        self.kept = kept
        self._fresh: list[Any] = []
        """Keys that were asked for since the last look, from any thread."""
        self._waiting: list[Any] = []
        self._key: Any = None
        self._worker: GeneratorWorker[Problem | None, None, None] | None = None
        self._problem: Problem | None = None
        self._complaint = ""
        # Queued: napari may read in a thread of its own, and reads several times in one go.
        self._wanted.connect(self._take_up, Qt.ConnectionType.QueuedConnection)
        kept.on_wanted = self._want

    @property
    def is_busy(self) -> bool:
        """Whether a part is being computed, or about to be."""
        return self._worker is not None or bool(self._waiting or self._fresh)

    def stop(self) -> None:
        """Give up all wanted parts, after the tile in work."""
        self._fresh.clear()
        self._waiting.clear()
        if self._worker is not None:
            self._worker.quit()

    def close(self) -> None:
        """Stop, and compute no part that is wanted later."""
        self.kept.on_wanted = None
        self.stop()

    def _want(self, key: Any) -> None:
        self._fresh.append(key)
        self._wanted.emit()

    def _take_up(self) -> None:
        wanted, self._fresh = self._fresh, []
        wanted = [key for key in dict.fromkeys(wanted) if self.kept.known(key) is None]
        if wanted:
            self._waiting = wanted
            if self._worker is not None and self._key not in wanted:
                self._worker.quit()
        self._start_next()

    def _start_next(self) -> None:
        while self._waiting and self.kept.known(self._waiting[-1]) is not None:
            self._waiting.pop()
        if self._worker is not None or not self._waiting:
            return
        key = self._key = self._waiting.pop()

        def check() -> None:
            if worker.abort_requested:
                raise Stopped

        def compute() -> Generator[Problem | None, None, None]:
            try:
                with cores_left_for_the_window():
                    self.kept.get(key, check)
            except Stopped:
                return
            except Exception as error:  # one that gets out would reach the user as a traceback
                yield Problem.of(error)
            else:
                yield None

        done = {"yielded": self._on_made, "finished": self._on_finished}
        worker = create_worker(compute, _connect=done, _start_thread=False, _ignore_errors=True)
        self._worker = worker
        self.busy.emit(True)
        worker.start()

    def _on_made(self, problem: Problem | None) -> None:
        self._waiting.clear()  # some may have gone out of view
        if problem is None:
            self.made.emit()
            return
        self._problem = problem
        if problem.sentence != self._complaint:  # not again at every step of a slider
            notify(problem)
        self._complaint = problem.sentence

    def _on_finished(self) -> None:
        self._worker = None
        problem, self._problem = self._problem, None
        self._take_up()
        if problem is not None:
            self.failed.emit(problem)
        elif self._worker is None:
            self.busy.emit(False)


class LazyMap:
    """An array for a layer: reading a part never waits, and ``numpy.asarray`` computes all of it.

    Planes that are not known are blank, and are computed in a thread.

    Parameters
    ----------
    planes
        Where the values come from.
    order
        How the axes of (..., h, w) are transposed.
    values
        Takes the values from a plane.
    dtype
        Type of the values.
    blank
        Stands for values that are not known.
    """

    def __init__(
        self,
        planes: KeptPlanes[Any],
        order: tuple[int, ...],
        values: Callable[[Any], NDArray[Any]],
        dtype: Any,
        blank: float,
    ) -> None:
        self.planes = planes
        self._order = order
        self._values = values
        self._blank = blank
        full = (*planes.shape, *planes.sides)
        self.shape = tuple(full[axis] for axis in order)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return a part for basic indexing: integers, slices and an ellipsis."""
        from dask.array.slicing import normalize_index

        parts = normalize_index(index, self.shape)
        wanted: list[Any] = [slice(None)] * self.ndim
        for part, axis in zip(parts, self._order, strict=True):
            wanted[axis] = part
        outer = len(self.planes.shape)
        ranges = [
            range(n)[part] if isinstance(part, slice) else range(part, part + 1)
            for n, part in zip(self.planes.shape, wanted[:outer], strict=True)
        ]
        block = self._block(ranges)
        # Planes that were asked for by number lose their axis.
        rest: list[Any] = [slice(None) if isinstance(p, slice) else 0 for p in wanted[:outer]]
        rest += wanted[outer:]
        result: NDArray[Any] = block.transpose(self._order)[tuple(rest[a] for a in self._order)]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all values, computed."""
        block = np.empty((*self.planes.shape, *self.planes.sides), self.dtype)
        for plane in np.ndindex(*self.planes.shape):
            block[plane] = self._values(self.planes.get(plane))
        return block.transpose(self._order).astype(dtype or self.dtype, copy=False)

    def _block(self, ranges: list[range]) -> NDArray[Any]:
        """Return some planes, (..., h, w); blank where not known."""
        counts = tuple(len(each) for each in ranges)
        block = np.full((*counts, *self.planes.sides), self._blank, self.dtype)
        for asked, number in enumerate(np.ndindex(*counts)):
            plane = tuple(each[i] for each, i in zip(ranges, number, strict=True))
            known = self.planes.known(plane)
            if known is not None:
                block[number] = self._values(known)
            # No more planes of a volume than are kept, or they would drop each other for ever.
            elif asked < self.planes.most:
                self.planes.want(plane)
        return block
