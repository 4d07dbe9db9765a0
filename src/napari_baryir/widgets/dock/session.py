"""The base of the docks' sessions: one run at a time, which ends with the dock."""

from __future__ import annotations

import threading
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets.dock.problem import Problem, notify
from napari_baryir.widgets.dock.run import Run, RunQueue, RunSteps, run_queue
from napari_baryir.widgets.dock.steps import Failed, Outcome, Step, Success


class RunSession(QObject):
    """Runs of one dock, one at a time, in a queue; by default that of restoring and estimating.

    A subclass calls `_submit`, and handles the outcome in `_finish` and `_give_up`.
    """

    changed = Signal()
    """The run began, went on or ended."""
    failed = Signal(object)
    """A `Problem`."""
    cancelled = Signal()
    finished = Signal(object)
    """The result of a run that went well."""

    def __init__(self, queue: RunQueue | None = None) -> None:
        super().__init__()
        self.queue = run_queue() if queue is None else queue
        self.run: Run | None = None
        self._closed = False

    def cancel(self) -> None:
        """Stop computing after the tile in work."""
        if self.run is not None:
            self.run.cancel()
            self.changed.emit()

    def close(self) -> None:
        """End everything; the viewer or the dock is gone."""
        if self._closed:
            return
        self._closed = True
        self._let_go()
        if self.run is not None:
            self.run.cancel()

    def _check_free(self) -> None:
        """Raise `InputError` if there is a run already."""
        if self.run is not None:
            raise InputError("a run is going on; cancel it, or wait for it")

    def _submit(self, steps: RunSteps, title: str, stopping: threading.Event | None = None) -> Run:
        """Queue a `Run` of these."""
        run = Run(steps, title, stopping)
        run.started.connect(self.changed)
        run.stepped.connect(self._on_step)
        run.ended.connect(self._on_ended)
        self.run = run
        self.queue.submit(run)
        self.changed.emit()
        return run

    def _let_go(self) -> None:
        """Stop listening to the viewer; called once."""

    def _follow(self, step: Any) -> None:
        """Show what a step brings."""

    def _finish(self, outcome: Any) -> None:
        """Show the `Success` of a run that has ended, and emit `finished`."""
        self.finished.emit(outcome)

    def _give_up(self) -> None:
        """Remove the planes of a run that failed or was cancelled."""

    def _on_step(self, step: Step) -> None:
        if self._closed or self.run is None:
            return
        self._follow(step)
        self.changed.emit()

    def _on_ended(self) -> None:
        run, self.run = self.run, None
        if self._closed or run is None:
            return
        outcome: Outcome | None = run.outcome
        if isinstance(outcome, Success):
            self._finish(outcome)
        else:
            self._give_up()
            if isinstance(outcome, Failed):
                self._complain(Problem.of(outcome.error))
            else:
                self.cancelled.emit()
        self.changed.emit()

    def _complain(self, problem: Problem) -> None:
        notify(problem)
        self.failed.emit(problem)
