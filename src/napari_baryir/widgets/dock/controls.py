"""Parts of the docks' forms: choices, layout, and controls that are read and remembered."""

from __future__ import annotations

from typing import Any, Literal

from qtpy.QtCore import QSettings, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_baryir.errors import InputError
from napari_baryir.widgets.viewer.regions import Region

LazyMode = Literal["lazy", "memory", "zarr"]
"""How lazy layers are restored: as the user scrolls, at once in memory, or into a file."""

MOST_LETTERS = 22
"""Letters that a list in the dock shows of a name."""

DEVICES = {
    "auto": "automatic",
    "cpu": "processor (CPU)",
    "cuda": "graphics card (NVIDIA)",
    "mps": "graphics (Apple)",
}

REGIONS: dict[str, Region] = {
    "whole layer": "layer",
    "current plane": "plane",
    "current view": "view",
    "box around shapes": "shapes",
}

LAZY: dict[str, LazyMode] = {
    "restore as one scrolls": "lazy",
    "at once, in memory": "memory",
    "at once, into OME-Zarr": "zarr",
}


def lay_out(controls: list[Any]) -> QWidget:
    """Put controls below each other with their labels in a column."""
    page = QWidget()
    form = QFormLayout(page)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for control in controls:
        native = control.native
        # A long name is cut short instead of making the dock wider.
        native.setMinimumWidth(80)
        native.setSizePolicy(QSizePolicy.Policy.Ignored, native.sizePolicy().verticalPolicy())
        form.addRow(control.label, native)
    return page


def side_by_side(*widgets: QWidget) -> QWidget:
    """Put widgets of equal width beside each other."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 1)
    return row


def faint(color: QColor, alpha: int) -> QColor:
    """Return a colour with an opacity of 0 to 255."""
    return QColor(color.red(), color.green(), color.blue(), alpha)


def short(name: str) -> str:
    """Return a name without its middle where it is too long for a dock; the ends say most."""
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS // 2]}…{name[-10:]}"


def set_shown(control: Any, shown: bool) -> None:
    """Show or hide a control with its label."""
    form = _form_of(control)
    if form is not None:
        form.setRowVisible(control.native, shown)


def set_label(control: Any, label: str) -> None:
    """Change a control's label."""
    control.label = label
    form = _form_of(control)
    if form is not None:
        form.labelForField(control.native).setText(label)


def _form_of(control: Any) -> QFormLayout | None:
    """Return the layout of `lay_out` that a control is in, if any."""
    page = control.native.parentWidget()
    form = page.layout() if page is not None else None
    return form if isinstance(form, QFormLayout) and form.indexOf(control.native) >= 0 else None


def store(group: str) -> QSettings:
    """Return the settings in which a dock's controls are remembered."""
    kept = QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-baryir", "dock")
    kept.beginGroup(group)
    return kept


def model_choices() -> list[tuple[str, str]]:
    """Return titles and names of the models that there are now."""
    from napari_baryir.weights.registry import available_models

    cards = [(card.title, card.name) for card in available_models()]
    return [("Automatic", "auto"), *cards]


def card_text(name: str) -> str:
    """Return a model's summary, licence and card, for a tooltip."""
    from napari_baryir.weights.registry import available_models

    if name == "auto":
        return "Photographs (compact) for RGB images, Microscopy (compact) for all others."
    for card in available_models():
        if card.name == name:
            lines = [card.title, "", card.summary, f"Licence: {card.licence}"]
            if card.card_path is not None:
                lines += ["", card.card_path.read_text(encoding="utf-8")[:1500]]
            return "\n".join(lines)
    return ""


def read_pixels(name: str, text: str, words: tuple[str, ...]) -> int | str:
    """Return the pixels or the word that were typed; `InputError` names the control."""
    text = text.strip().lower()
    if text in words or not text:
        return text or "auto"
    if not text.isdecimal():
        raise InputError(f"{name} is '{text}'; give {' or '.join(words)}, or a number of pixels")
    return int(text)


class FolderEdit(QWidget):
    """Asks for a folder; `title` says what it is for, and `hint` what belongs there."""

    chosen = Signal()
    """Another folder was typed or chosen."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self._title = title
        self._before = ""
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
        """The typed path; may be empty."""
        return str(self.edit.text()).strip()

    @path.setter
    def path(self, path: str) -> None:
        self.edit.setText(path)
        self._before = path

    def _on_edited(self) -> None:
        # Qt also emits this whenever the keyboard focus goes elsewhere.
        if self.path != self._before:
            self._before = self.path
            self.chosen.emit()

    def _browse(self) -> None:
        found = QFileDialog.getExistingDirectory(self, self._title, self.path)
        if found:
            self.path = found
            self.chosen.emit()
