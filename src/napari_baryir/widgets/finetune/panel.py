"""The panel below the Train button: gain, plot, pictures, buttons; and a training in sentences."""

from __future__ import annotations

import time
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGroupBox, QLabel, QPushButton, QTextBrowser, QVBoxLayout

from napari_baryir.training.names import YOURS
from napari_baryir.widgets.dock.controls import side_by_side
from napari_baryir.widgets.dock.status import duration, loading, show_text
from napari_baryir.widgets.finetune.history import History
from napari_baryir.widgets.finetune.job import Trained
from napari_baryir.widgets.finetune.plot import FinetunePlot
from napari_baryir.widgets.finetune.preview import FinetunePreview
from napari_baryir.widgets.finetune.session import FinetuneSession

REFRESH_SECONDS = 0.2
"""Least time between two drawings of a training that goes on."""

NOTICED = 0.05
"""Least loss of PSNR that is worth a sentence, in dB."""


class FinetunePanel(QGroupBox):
    """Shown from the first validation on."""

    use_asked = Signal(str)
    """Name of the model that is to be used now."""

    def __init__(self, session: FinetuneSession) -> None:
        super().__init__("Training")
        self._session = session
        self.trained: Trained | None = None
        self._drawn = 0.0
        self.gain = QLabel()
        self.gain.setWordWrap(True)
        self.gain.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.plot = FinetunePlot()
        self.preview = FinetunePreview()
        self.use_button = QPushButton("Use this model now")
        self.use_button.setToolTip("Choose it in the Restore dock, which opens if need be.")
        self.card_button = QPushButton("Model card…")
        self.card_button.setToolTip("What it learnt from, and what was measured.")
        self._lay_out()
        self.use_button.clicked.connect(self._on_use)
        self.card_button.clicked.connect(self._show_card)
        session.changed.connect(self._on_changed)
        session.validated.connect(self._on_validated)
        self.hide()

    def _lay_out(self) -> None:
        self.buttons = side_by_side(self.use_button, self.card_button)
        layout = QVBoxLayout(self)
        for widget in (self.buttons, self.gain, self.plot, self.preview):
            layout.addWidget(widget)

    def start(self) -> None:
        """Forget the training before."""
        self.trained = None
        self.refresh()

    def finish(self, trained: Trained) -> None:
        """Offer a result."""
        self.trained = trained
        history = self._session.history
        if history.kept_sample is not None:
            self.preview.show_sample(history.kept_sample, f"kept, step {history.best_step}")
        self.refresh()

    def refresh(self) -> None:
        """Show the history of the training."""
        self._drawn = time.perf_counter()
        history = self._session.history
        self.setTitle(f"Training {self._name()}".rstrip())
        self.setVisible(bool(history.scores))
        self.buttons.setVisible(self.trained is not None)
        self.gain.setText(gain_text(history, over=self.trained is not None))
        self.plot.show_history(history)
        self.preview.setVisible(history.sample is not None)

    def _on_changed(self) -> None:
        """Draw a training that goes on, but not each of many steps a second."""
        if self._session.run is None or time.perf_counter() - self._drawn >= REFRESH_SECONDS:
            self.refresh()

    def _name(self) -> str:
        job = self._session.job
        if job is not None:
            return f"“{job.output.stem}”"
        return "" if self.trained is None else f"“{self.trained.name}”"

    def _on_validated(self) -> None:
        history = self._session.history
        if history.sample is not None:
            learnt = (
                f"now, step {history.sample_step}" if history.sample_step else "not yet trained"
            )
            self.preview.show_sample(history.sample, learnt)
        self.refresh()

    def _on_use(self) -> None:
        if self.trained is not None:
            self.use_asked.emit(self.trained.name)

    def _show_card(self) -> None:
        if self.trained is None:
            return
        text = QTextBrowser()
        text.setMarkdown(_read(self.trained.card))
        show_text(self, f"Model card of {self.trained.name}", text, (760, 560))


def _read(card: Path) -> str:
    try:
        return card.read_text("utf-8")
    except OSError as error:
        return f"{card} cannot be read: {error.strerror}."


def progress_text(session: FinetuneSession) -> str:
    """Return how far a training is, in a sentence."""
    run, history = session.run, session.history
    if run is None:
        return ""
    if run.state == "waiting":
        ahead = session.queue.ahead_of(run)
        return f"Waiting for {ahead} other training{'s' * (ahead != 1)}."
    if run.state == "cancelling":
        kept = ", and keeping the best so far" if history.best_step else ""
        return f"Stopping after the step in work{kept}."
    if session.paused:
        return "Paused while another run has the computer."
    if run.latest is None:
        return loading("the model and reading the images")
    if session.calibrating:
        progress = run.latest.progress
        return f"Calibrating the degradation map: {progress.done} of {progress.total} pictures."
    if history.validating is not None:
        measured = history.validating
        return f"Measuring the starting model: {measured.done} of {measured.total} images."
    if history.share is not None:
        return "Old degradations lost much: looking how far the weights should go."
    text = f"Step {history.step} of at most {history.steps}"
    left = history.seconds_left
    return f"{text}, {duration(left)} left or less." if left else f"{text}."


def gain_text(history: History, *, over: bool = False) -> str:
    """Return the gain and loss of the best weights so far, or of those that were kept, in words."""
    if not history.before:
        return ""
    if not history.best_step:
        return _nothing_better(history)
    which = "Kept" if over else "Best so far"
    text = (
        f"{which}: step {history.best_step}, {history.best[YOURS]:.2f} dB on your validation "
        f"images, {history.gain:+.2f} dB over the starting model."
    )
    lost = history.most_lost(history.best)
    if lost is None:
        return text
    name, decibels = lost
    if decibels < NOTICED:
        text += " Nothing that it knew is lost."
    else:
        text += f" Of what it knew, {name} lost most: {decibels:.2f} dB."
    if history.latest.get(YOURS, 0.0) > history.best[YOURS]:
        text += " The last validation scored higher, but lost too much elsewhere."
    return text


def _nothing_better(history: History) -> str:
    before = history.before[YOURS]
    gain = history.latest.get(YOURS, before) - before
    lost = history.most_lost(history.latest)
    if gain > 0 and lost is not None and lost[1] > NOTICED:
        return (
            f"Your validation images gain {gain:.2f} dB, but of what the model knew, {lost[0]} "
            f"loses {lost[1]:.2f} dB: not kept yet."
        )
    return (
        f"Nothing better than the starting model yet ({before:.2f} dB on your validation images)."
    )


def result_text(trained: Trained, history: History) -> str:
    """Return the end of a training that gave a model, in words."""
    gained = f"{history.gain:+.2f} dB on your validation images"
    if trained.stopped:
        return (
            f"Stopped at step {trained.steps}. “{trained.name}” is the best so far, step "
            f"{trained.best_step}: {gained}. Resume goes on; another name trains anew."
        )
    notes = "".join(f" Note: {note}." for note in trained.notes)
    took = f" in {duration(history.seconds)}" if history.seconds >= 1 else ""
    return (
        f"Trained “{trained.name}”{took}, {trained.steps} steps; step {trained.best_step} is kept: "
        f"{gained}.{notes}"
    )
