"""The buttons below a result: before and after, wipe, what was removed, save, copy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QGridLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSlider,
)

from napari_baryir.widgets.restore.compare import Comparison
from napari_baryir.widgets.restore.record import as_command, as_python
from napari_baryir.widgets.viewer import layers

if TYPE_CHECKING:
    from napari.components import ViewerModel


TOGGLE = "B"
"""The key for before and after. Only labels and shapes layers have a B of their own."""


class ComparePanel(QGroupBox):
    """Shown when there is a result."""

    said = Signal(str)
    """A sentence."""
    save_asked = Signal(object)
    """The path of a file to save the result to."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self._comparison = comparison
        comparison.anchor = self
        self.before = _button(
            f"Before/after ({TOGGLE})",
            f"Hides and shows the result; the key {TOGGLE} does the same.",
            comparison.toggle,
        )
        self.removed = _button(
            "Show removed", "A layer with the original minus the result; again: without it."
        )
        self.removed.setCheckable(True)
        self.removed.toggled.connect(comparison.show_removed)
        self.wipe = QSlider(Qt.Orientation.Horizontal)
        self.wipe.setRange(0, 100)
        self.wipe.setAccessibleName("split view")
        self.wipe.setToolTip(
            "A line on the image: the original is on its left, the result on its right.\n"
            "Drag the line or this slider; at the left end it goes."
        )
        self.wipe.valueChanged.connect(self._on_wipe)
        self.save = _button(
            "Save…",
            "As TIFF, OME-Zarr, PNG and others, with axes, pixel size and the metadata of the "
            "original's file.",
            self._ask_where,
        )
        self.copy_python = _button(
            "Copy as Python",
            "Python that repeats this run, to the clipboard.",
            self._copy_python,
        )
        self.copy_command = _button(
            "Copy as command",
            "The command that repeats this run, to the clipboard.",
            self._copy_command,
        )
        layout = QGridLayout(self)
        layout.addWidget(self.before, 0, 0)
        layout.addWidget(self.removed, 0, 1)
        layout.addWidget(QLabel("split view"), 1, 0)
        layout.addWidget(self.wipe, 1, 1)
        layout.addWidget(self.save, 2, 0, 1, 2)
        layout.addWidget(self.copy_python, 3, 0)
        layout.addWidget(self.copy_command, 3, 1)
        comparison.wiped.connect(self._follow_wipe)
        self.hide()

    def refresh(self) -> None:
        """Show or hide the panel; a preview is only looked at."""
        result = self._comparison.result
        preview = result is not None and result.is_preview
        self.setVisible(result is not None)
        self.setTitle("Preview" if preview else "Result")
        for button in (self.save, self.copy_python, self.copy_command):
            button.setVisible(not preview)
        self.removed.setChecked(self._comparison.shows_removed)

    def _on_wipe(self, percent: int) -> None:
        self._comparison.set_wipe(percent / 100)

    def _follow_wipe(self) -> None:
        with QSignalBlocker(self.wipe):
            self.wipe.setValue(round(100 * self._comparison.wipe))

    def _ask_where(self) -> None:
        from napari_baryir.files import FORMATS

        result = self._comparison.result
        if result is None:
            return
        opened = layers.path_of(result.image_layer)
        name = "".join(
            "-" if letter in '/\\:*?"<>|' else letter for letter in result.image_layer.name
        )
        where = Path(opened).parent if opened else Path()
        kinds = [
            f"{each.title} ({' '.join(f'*{s}' for s in each.suffixes if s not in each.read_only)})"
            for each in FORMATS.values()
        ]
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the result", str(where / f"{name}-restored.tif"), ";;".join(kinds)
        )
        if path:
            self.save_asked.emit(Path(path))

    def _copy_python(self) -> None:
        self._copy(as_python, "a Python script")

    def _copy_command(self) -> None:
        self._copy(as_command, "a terminal")

    def _copy(self, form: Callable[[Mapping[str, Any]], str], place: str) -> None:
        result = self._comparison.result
        record = layers.record_of(result.layer) if result is not None else None
        clipboard = QApplication.clipboard()
        if record is not None and clipboard is not None:
            clipboard.setText(form(record))
            self.said.emit(f"Copied; paste it into {place}.")


def _button(text: str, tooltip: str, do: Callable[[], None] | None = None) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    if do is not None:
        button.clicked.connect(do)
    return button


class BoundKey:
    """A key of a viewer that calls an action, as long as nobody else has bound it."""

    def __init__(self, viewer: ViewerModel, key: str, action: Callable[[], None]) -> None:
        self._viewer = viewer
        self._key = key
        self._action = action
        self._bound: Any = None

    def bind(self) -> None:
        """Bind the key if it is free."""
        if self._bound is not None:
            return

        def pressed(_: Any) -> None:
            self._action()

        with contextlib.suppress(ValueError):  # another plugin has it
            self._viewer.bind_key(self._key, pressed)
            self._bound = pressed

    def release(self) -> None:
        """Unbind the key if it is still ours."""
        found = {str(k): v for k, v in self._viewer.keymap.items()}.get(self._key)
        if self._bound is not None and getattr(found, "__wrapped__", found) is self._bound:
            self._viewer.bind_key(self._key, None)
        self._bound = None
