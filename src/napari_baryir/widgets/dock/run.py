"""A run in one of napari's threads: progress, time left, cancelling."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Generator
from typing import Any, Literal

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, Signal

from napari_baryir.restoration.results import Progress
from napari_baryir.widgets.dock.steps import Failed, Outcome, Step, Success

State = Literal["waiting", "running", "cancelling", "done", "failed", "cancelled"]

OVER: frozenset[State] = frozenset({"done", "failed", "cancelled"})
"""States that a run does not leave."""

RunSteps = Generator[Step, None, Outcome]


class TileWorker(GeneratorWorker[Step, None, Outcome]):
    """A worker that closes its generator, in its own thread, when it has to quit."""

    def __init__(self, func: Any, steps: RunSteps) -> None:
        super().__init__(func, steps)
        self._steps = steps
        self.stopping: threading.Event | None = None

    def quit(self) -> None:
        """Stop after the step in work, or within it if it listens to `stopping`."""
        super().quit()
        if self.stopping is not None:
            self.stopping.set()

    def work(self) -> Any:
        """Go through the steps."""
        try:
            return super().work()
        finally:
            self._steps.close()


def _relay(steps: RunSteps) -> RunSteps:
    return (yield from steps)


class _Bar(cancelable_progress):
    """A bar whose Cancel calls back at once; napari's own ends a loop over the bar."""

    def cancel(self) -> None:
        super().cancel()
        if self.cancel_callback is not None:
            self.cancel_callback()


class Run(QObject):
    """One run. All signals come on the GUI thread, where it must be made.

    Parameters
    ----------
    steps
        Yields `Step` and returns an `Outcome`; begun by `start`.
    title
        Name in napari's activity dock.
    stopping
        Set to stop within a step that takes long.
    """

    started = Signal()
    stepped = Signal(object)
    """A `Step`. A run may have several parts, one after the other, which are counted apart."""
    ended = Signal()
    """Comes once; `state` says how it ended."""

    def __init__(
        self, steps: RunSteps, title: str, stopping: threading.Event | None = None
    ) -> None:
        super().__init__()
        self.title = title
        self.state: State = "waiting"
        self.outcome: Outcome | None = None
        self.latest: Step | None = None
        self._steps = steps
        self._stopping = stopping
        self._worker: TileWorker | None = None
        self._bar: _Bar | None = None
        self._drawing = False
        self._begin = 0.0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER

    @property
    def seconds_left(self) -> float | None:
        """Time left at the speed so far; None before the first tile."""
        if self.latest is None or self.latest.progress.done == 0:
            return None
        progress = self.latest.progress
        spent = time.perf_counter() - self._begin
        return spent / progress.done * (progress.total - progress.done)

    def start(self) -> None:
        """Start a waiting run."""
        if self.state != "waiting":
            return
        self.state = "running"
        worker = create_worker(
            _relay,
            self._steps,
            _worker_class=TileWorker,
            _start_thread=False,
            _ignore_errors=True,  # they are in the outcome
        )
        worker.stopping = self._stopping
        self._worker = worker
        worker.yielded.connect(self._on_step)
        worker.returned.connect(self._on_outcome)
        worker.errored.connect(self._on_error)
        worker.finished.connect(self._on_finished)
        worker.start()
        self.started.emit()

    def cancel(self) -> None:
        """Stop computing: at once if it waits, else after the tile in work."""
        if self.state == "waiting":
            self._steps.close()
            self._end("cancelled")
        elif self.state == "running":
            self.state = "cancelling"
            if self._worker is not None:
                self._worker.quit()

    def _on_step(self, step: Step) -> None:
        if self.state != "running":
            return
        if self.latest is None or _begins_a_part(step, self.latest.progress):
            self._begin = time.perf_counter()
        self.latest = step
        self.stepped.emit(step)
        self._show_progress()

    def _show_progress(self) -> None:
        """Draw napari's bar, last of all, since Qt handles waiting steps and the end meanwhile."""
        if self._drawing:
            return  # one of those later steps, which the loop below comes to
        self._drawing = True
        try:
            while self.latest is not None and not self.over:
                if self._bar is not None and _begins_a_part(self.latest, self._bar):
                    self._bar.close()
                    self._bar = None
                if self._bar is None:
                    total = self.latest.progress.total
                    bar = _Bar(total=total, desc=self.title, cancel_callback=self.cancel)
                    if self.state in OVER:  # since the bar was made
                        bar.close()
                        break
                    self._bar = bar
                more = self.latest.progress.done - self._bar.n
                if more <= 0:
                    break
                self._bar.update(more)
        finally:
            self._drawing = False

    def _on_outcome(self, outcome: Outcome | None) -> None:
        self.outcome = outcome

    def _on_error(self, error: Exception) -> None:
        self.outcome = Failed(error)

    def _on_finished(self) -> None:
        self._worker = None
        if isinstance(self.outcome, Success) and self.state == "running":
            self._end("done")
        elif isinstance(self.outcome, Failed) and self.state == "running":
            self._end("failed")
        else:  # we or napari have stopped it
            self.outcome = None
            self._end("cancelled")

    def _end(self, state: State) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self.state = state
        self.ended.emit()
        self.latest = None


def _begins_a_part(step: Step, before: Any) -> bool:
    """Whether a step counts something else than a `Progress` or bar before it."""
    done = before.done if isinstance(before, Progress) else before.n
    return bool(step.progress.total != before.total or step.progress.done < done)


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
        """Return how many runs have to end before this one starts."""
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
    """Return the queue of this process, shared by all docks and viewers."""
    return RunQueue()
