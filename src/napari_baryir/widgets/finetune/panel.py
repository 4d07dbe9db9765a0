"""What is below the Train button: gain, plot, pictures, and what to do with the result."""

from __future__ import annotations

import time
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_baryir.widgets.dock.status import show_text
from napari_baryir.widgets.finetune.job import Trained
from napari_baryir.widgets.finetune.plot import FinetunePlot
from napari_baryir.widgets.finetune.preview import FinetunePreview
from napari_baryir.widgets.finetune.session import FinetuneSession
from napari_baryir.widgets.finetune.status import gain_text

REFRESH_SECONDS = 0.2
"""Least time between two drawings of a training that goes on."""


class FinetunePanel(QGroupBox):
    """Shown from the first validation on."""

    use_asked = Signal(str)
    """Name of the model that is to be used now."""

    def __init__(self, session: FinetuneSession, parent: QWidget | None = None) -> None:
        super().__init__("Training", parent)
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
        self.buttons = QWidget()
        row = QHBoxLayout(self.buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.use_button)
        row.addWidget(self.card_button)
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
        """Show what is known."""
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
