"""Runs one after the other: two at once would only share the same cores or the same GPU."""

from __future__ import annotations

import functools
from collections import deque

from qtpy.QtCore import QObject, Signal

from napari_baryir.widgets.worker import Run


class RunQueue(QObject):
    """Starts runs in the order in which they came."""

    changed = Signal()
    """A run came, started or ended."""

    def __init__(self) -> None:
        super().__init__()
        self.current: Run | None = None
        self._waiting: deque[Run] = deque()

    def submit(self, run: Run) -> None:
        """Start a run now, or when those before it have ended."""
        run.ended.connect(self._on_ended)
        self._waiting.append(run)
        self._start_next()
        self.changed.emit()

    def ahead_of(self, run: Run) -> int:
        """How many runs have to end before this one starts."""
        if run not in self._waiting:
            return 0
        return self._waiting.index(run) + (self.current is not None)

    def _on_ended(self) -> None:
        if self.current is not None and self.current.over:
            self.current = None
        for run in [run for run in self._waiting if run.over]:
            self._waiting.remove(run)
        self._start_next()
        self.changed.emit()

    def _start_next(self) -> None:
        if self.current is None and self._waiting:
            self.current = self._waiting.popleft()
            self.current.start()


@functools.cache
def run_queue() -> RunQueue:
    """The queue of this process, shared by all docks and viewers."""
    return RunQueue()
