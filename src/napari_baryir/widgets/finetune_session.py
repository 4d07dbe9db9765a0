"""From a wish to a model: queues the training, follows it, makes way for other runs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.finetune_history import History
from napari_baryir.widgets.finetune_job import FinetuneJob, FinetuneStep, Trained, finetune_steps
from napari_baryir.widgets.job import Failed
from napari_baryir.widgets.queue import RunQueue, run_queue
from napari_baryir.widgets.worker import Run

if TYPE_CHECKING:
    from napari_baryir.training.finetune import FinetuneProgress


@functools.cache
def training_queue() -> RunQueue:
    """Trainings one after the other. Not with the other runs, which would wait for minutes."""
    return RunQueue()


class FinetuneSession(QObject):
    """Trainings of one dock, one at a time. A training rests while anything else is computed."""

    changed = Signal()
    """The run began, went on, paused or ended."""
    validated = Signal()
    """There is a new score, and a sample to look at."""
    failed = Signal(object)
    """A `Problem`."""
    cancelled = Signal()
    """Nothing was better than the starting model yet."""
    finished = Signal(object)
    """`Trained`: there is a model, also when the user stopped it."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.job: FinetuneJob | None = None
        self.history = History()
        self.paused = False
        self.calibrating = False
        self._closed = False
        run_queue().changed.connect(self._make_way)

    def train(self, job: FinetuneJob) -> Run:
        """Queue a training.

        Raises
        ------
        InputError
            If there is one already.
        """
        if self.run is not None:
            raise InputError("a training is going on; cancel it, or wait for it")
        self.job = job
        self.history = History(validate_every=int(job.settings.get("validate_every", 100)))
        if job.resume:
            self.history.read_log(job.output.with_suffix(".run") / "log.csv")
        self.paused = self.calibrating = False
        run = Run(finetune_steps(job), f"Training {job.output.stem}")
        run.started.connect(self.changed)
        run.stepped.connect(self._on_step)
        run.ended.connect(self._on_ended)
        self.run = run
        self._make_way()
        training_queue().submit(run)
        self.changed.emit()
        return run

    def cancel(self) -> None:
        """Stop after the step in work; the best so far is kept."""
        if self.run is not None:
            self.run.cancel()
            self.changed.emit()

    def close(self) -> None:
        """End everything; the viewer or the dock is gone."""
        if self._closed:
            return
        self._closed = True
        run_queue().changed.disconnect(self._make_way)
        if self.run is not None:
            self.run.cancel()

    def _make_way(self) -> None:
        """Rest while another run has the computer."""
        if self.job is None:
            return
        if run_queue().current is None:
            self.job.free.set()
        else:
            self.job.free.clear()

    def _on_step(self, step: FinetuneStep) -> None:
        if self._closed or self.run is None:
            return
        self.paused = step.paused
        news: FinetuneProgress | None = step.news
        if news is not None:
            self.calibrating = news.calibrating is not None
            self.history.add(news)
            if news.scores is not None:
                self.validated.emit()
        self.changed.emit()

    def _on_ended(self) -> None:
        run, job = self.run, self.job
        self.run = self.job = None
        if self._closed or run is None or job is None:
            return
        if job.latest is not None:
            self.history.add(job.latest)
        error = run.outcome.error if isinstance(run.outcome, Failed) else job.problem
        if isinstance(run.outcome, Trained):
            self.finished.emit(run.outcome)
        elif error is not None:
            problem = Problem.of(error)
            notify(problem)
            self.failed.emit(problem)
        elif self.history.best_step:
            self.finished.emit(self._kept(job))
        else:
            self.cancelled.emit()
        self.changed.emit()

    def _kept(self, job: FinetuneJob) -> Trained:
        """What a training that was stopped has written."""
        history = self.history
        card = job.output.with_suffix(".md")
        return Trained(job.output, card, history.best_step, history.step, stopped=True)
