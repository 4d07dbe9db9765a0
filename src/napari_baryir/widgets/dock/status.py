"""The status of a dock: a progress bar with time left, a sentence, details behind a button."""

from __future__ import annotations

import sys

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.run import Run


class StatusPanel(QWidget):
    """Progress and messages of one dock."""

    def __init__(self) -> None:
        super().__init__()
        self._details = ""
        self._reason: str | None = None
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.hide()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details_button = QPushButton("Details…")
        self.details_button.hide()
        self.details_button.clicked.connect(self._show_details)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.bar, self.message, self.details_button):
            layout.addWidget(widget)

    def say(self, sentence: str) -> None:
        """Show a sentence, and no progress."""
        self._details = ""
        self._reason = None
        self.bar.hide()
        self.details_button.hide()
        self.message.setStyleSheet("")
        self.message.setText(sentence)

    def give_reason(self, reason: str | None) -> None:
        """Say why nothing can be run; None takes that back, and leaves other sentences."""
        if reason is not None:
            self.say(reason)
        elif self._reason is not None:
            self.say("")
        self._reason = reason

    def complain(self, problem: Problem) -> None:
        """Show what went wrong; the traceback stays behind a button."""
        self.say(problem.sentence)
        self.message.setStyleSheet("color: #e5604d;")
        self._details = problem.details
        self.details_button.setVisible(bool(problem.details))

    def follow(self, run: Run, sentence: str) -> None:
        """Show how far a run is, with a bar and in a sentence."""
        self.say(sentence)
        if run.latest is not None and run.latest.progress.total > 1:
            self.bar.setRange(0, run.latest.progress.total)
            self.bar.setValue(run.latest.progress.done)
        else:
            self.bar.setRange(0, 0)  # moves to and fro
        self.bar.setVisible(run.state != "waiting")

    def _show_details(self) -> None:
        text = QPlainTextEdit(self._details)
        text.setReadOnly(True)
        text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        show_text(self, "Details", text, (720, 360))


def describe(run: Run, ahead: int) -> str:
    """Return how far a run is, in a sentence; `ahead` runs come before it."""
    if run.state == "waiting":
        return f"Waiting for {ahead} other run{'s' * (ahead != 1)}."
    if run.state == "cancelling":
        return "Cancelling: stops after the part in work."
    if run.latest is None:
        return loading("the model and looking at the image")
    progress, left = run.latest.progress, run.seconds_left
    if progress.planes > 1:
        plane = min(progress.done * progress.planes // progress.total + 1, progress.planes)
        said = f"Plane {plane} of {progress.planes}"
    elif progress.total > 1:
        said = f"Part {progress.done} of {progress.total}"
    else:
        return f"{run.title}…"
    return f"{said}." if left is None else f"{said}, {duration(left)} left."


def loading(things: str) -> str:
    """Return what a run begins with, in a sentence; the first one of a process loads PyTorch."""
    first = "" if "torch" in sys.modules else "PyTorch (the first time only), then "
    return f"Loading {first}{things}…"


def duration(seconds: float) -> str:
    """Return seconds in words that fit their size; number and unit stay on one line."""
    if seconds < 90:
        return f"{max(1, round(seconds))}\N{NO-BREAK SPACE}s"
    if seconds < 5400:
        return f"{round(seconds / 60)}\N{NO-BREAK SPACE}min"
    return f"{seconds / 3600:.1f}\N{NO-BREAK SPACE}h"


def show_text(parent: QWidget, title: str, text: QWidget, size: tuple[int, int]) -> None:
    """Show a text in a window in front of `parent`; `size` is its width and height in pixels."""
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(title)
    dialog.resize(*size)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout = QVBoxLayout(dialog)
    layout.addWidget(text)
    layout.addWidget(buttons)
    dialog.open()
