"""Looks at the planes of lazy maps that somebody wants to see, in a thread, the latest first."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, Qt, Signal

from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.estimate.lazy_maps import KeptPlanes, Stopped
from napari_baryir.widgets.estimate.maps import Place
from napari_baryir.widgets.restore.job import cores_left_for_the_window


class PlaneFetcher(QObject):
    """Works for one result. All signals come on the GUI thread, where it must be made."""

    fetched = Signal()
    """One more plane is known."""
    failed = Signal(object)
    """A `Problem`."""

    _wanted = Signal(object)

    def __init__(self, planes: KeptPlanes[Any]) -> None:
        super().__init__()
        self.planes = planes
        self._waiting: list[Place] = []
        self._worker: GeneratorWorker[Problem | None, None, None] | None = None
        self._closed = False
        # napari may slice in a thread of its own.
        self._wanted.connect(self._on_wanted, Qt.ConnectionType.QueuedConnection)
        planes.on_wanted = self._wanted.emit

    @property
    def busy(self) -> bool:
        """Whether a plane is being looked at."""
        return self._worker is not None

    def close(self) -> None:
        """Look at nothing more after the tile in work."""
        self._closed = True
        self.planes.on_wanted = None
        self._waiting.clear()
        if self._worker is not None:
            self._worker.quit()

    def _on_wanted(self, place: Place) -> None:
        if self._closed or self.planes.known(place) is not None:
            return
        if place in self._waiting:
            self._waiting.remove(place)
        self._waiting.append(place)
        self._start_next()

    def _start_next(self) -> None:
        if self._worker is not None or self._closed or not self._waiting:
            return
        place = self._waiting.pop()

        def check() -> None:
            if worker.abort_requested:
                raise Stopped

        def look() -> Generator[Problem | None, None, None]:
            try:
                with cores_left_for_the_window():
                    self.planes.get(place, check)
            except Stopped:
                return
            except Exception as error:  # one that gets out would reach the user as a traceback
                yield Problem.of(error)
            else:
                yield None

        worker = create_worker(look, _start_thread=False, _ignore_errors=True)
        self._worker = worker
        worker.yielded.connect(self._on_looked)
        worker.finished.connect(self._on_finished)
        worker.start()

    def _on_looked(self, problem: Problem | None) -> None:
        if self._closed:
            return
        if problem is None:
            self.fetched.emit()
            return
        self._waiting.clear()
        self.failed.emit(problem)

    def _on_finished(self) -> None:
        self._worker = None
        self._start_next()
