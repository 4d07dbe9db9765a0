"""A folder's name to type, and a button to look for it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget


class FolderEdit(QWidget):
    """Asks for a folder.

    Parameters
    ----------
    title
        What it is for.
    hint
        What belongs there.
    """

    chosen = Signal()
    """Someone has typed or chosen another folder."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self._title = title
        self._told = ""
        self.edit = QLineEdit()
        self.edit.setPlaceholderText(f"{title}: {hint}")
        self.edit.setToolTip(f"{title}: {hint}")
        self.edit.setAccessibleName(title)
        browse = QPushButton("…")
        browse.setToolTip(f"Choose: {title}")
        browse.setFixedWidth(browse.fontMetrics().horizontalAdvance("MMM"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit, 1)
        layout.addWidget(browse)
        self.edit.editingFinished.connect(self._on_edited)
        browse.clicked.connect(self._browse)

    @property
    def path(self) -> str:
        """What is typed; may be empty."""
        return str(self.edit.text()).strip()

    @path.setter
    def path(self, path: str) -> None:
        self.edit.setText(path)
        self._told = path

    def _on_edited(self) -> None:
        # Qt says so whenever the keyboard goes elsewhere, too.
        if self.path != self._told:
            self._told = self.path
            self.chosen.emit()

    def _browse(self) -> None:
        found = QFileDialog.getExistingDirectory(self, self._title, self.path)
        if found:
            self.path = found
            self.chosen.emit()
