"""A window with a text to read."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget


def show_text(parent: QWidget, title: str, text: QWidget, size: tuple[int, int]) -> None:
    """Open a window that is gone once it is closed.

    Parameters
    ----------
    parent
        It stays in front of it.
    title
        Of the window.
    text
        What it shows.
    size
        Width and height, pixels.
    """
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
