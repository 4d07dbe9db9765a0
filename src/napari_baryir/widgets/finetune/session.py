"""From a job to a model: queues the training, follows it, and pauses it for other runs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from qtpy.QtCore import QThreadPool, Signal

from napari_baryir.widgets.dock.run import Run, RunQueue, run_queue
from napari_baryir.widgets.dock.session import RunSession
from napari_baryir.widgets.dock.steps import Failed
from napari_baryir.widgets.finetune.history import History
from napari_baryir.widgets.finetune.job import FinetuneJob, FinetuneStep, Trained, finetune_steps

if TYPE_CHECKING:
    from napari.components import ViewerModel

LEAST_THREADS = 4
"""Of Qt's pool, which has one per core: a training holds one, also while it rests for a run."""


@functools.cache
def training_queue() -> RunQueue:
    """Return the queue of trainings; in that of the other runs, these would wait for minutes."""
    return RunQueue()


class FinetuneSession(RunSession):
    """Trainings of one dock, one at a time. A training pauses while another run computes.

    `finished` brings `Trained`, also of a training that the user stopped, if it was better.
    """

    validated = Signal()
    """There is a new score, with a sample."""

    def __init__(self, _: ViewerModel | None = None) -> None:
        super().__init__(training_queue())
        self.job: FinetuneJob | None = None
        self.history = History()
        self.paused = False
        self.calibrating = False
        run_queue().changed.connect(self._make_way)

    def train(self, job: FinetuneJob) -> Run:
        """Queue a training; `InputError` if there is one already."""
        self._check_free()
        self.job = job
        self.history = History(validate_every=int(job.settings.get("validate_every", 100)))
        if job.resume:
            self.history.read_log(job.output.with_suffix(".run") / "log.csv")
        self.paused = self.calibrating = False
        pool = QThreadPool.globalInstance()
        pool.setMaxThreadCount(max(LEAST_THREADS, pool.maxThreadCount()))
        self._make_way()
        return self._submit(finetune_steps(job), f"Training {job.output.stem}")

    def _let_go(self) -> None:
        run_queue().changed.disconnect(self._make_way)

    def _make_way(self) -> None:
        """Pause while another run computes."""
        if self.job is None:
            return
        if run_queue().current is None:
            self.job.free.set()
        else:
            self.job.free.clear()

    def _follow(self, step: FinetuneStep) -> None:
        self.paused = step.paused
        news = step.news
        if news is None:
            return
        self.calibrating = news.calibrating is not None
        self.history.add(news)
        if news.scores is not None:
            self.validated.emit()

    def _on_ended(self) -> None:
        run, job = self.run, self.job
        self.job = None
        if run is not None and job is not None:
            if job.latest is not None:
                self.history.add(job.latest)
            if run.state == "cancelled":  # a closed generator returns nothing
                run.outcome = self._kept(job)
        super()._on_ended()

    def _kept(self, job: FinetuneJob) -> Trained | Failed | None:
        """Return the weights of a training that was stopped; None if nothing was better yet."""
        if job.problem is not None:
            return Failed(job.problem)
        history = self.history
        if not history.best_step:
            return None
        card = job.output.with_suffix(".md")
        return Trained(job.output, card, history.best_step, history.step, stopped=True)
