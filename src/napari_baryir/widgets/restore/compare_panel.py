"""The buttons below a result: before and after, wipe, what was removed, and its call as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
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
"""Before and after. Free for image layers; labels and shapes layers have their own B."""


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
            self.toggle,
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

    def toggle(self) -> None:
        """Before instead of after, or back."""
        self._comparison.toggle()

    def _on_wipe(self, percent: int) -> None:
        self._comparison.set_wipe(percent / 100)

    def _follow_wipe(self) -> None:
        self.wipe.blockSignals(True)
        self.wipe.setValue(round(100 * self._comparison.wipe))
        self.wipe.blockSignals(False)

    def _ask_where(self) -> None:
        from napari_baryir.files import FORMATS

        result = self._comparison.result
        if result is None:
            return
        opened = getattr(result.source.source, "path", None)
        name = "".join("-" if letter in '/\\:*?"<>|' else letter for letter in result.source.name)
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


class BoundKeys:
    """Binds keys of a viewer and gives back only what it bound."""

    def __init__(self, viewer: ViewerModel, actions: dict[str, Callable[[], None]]) -> None:
        self._viewer = viewer
        self._actions = actions
        self._bound: dict[str, Any] = {}

    def bind(self) -> None:
        """Bind those keys that are still free."""
        for key, action in self._actions.items():
            if key in self._bound:
                continue

            def pressed(viewer: Any, action: Callable[[], None] = action) -> None:
                action()

            try:
                self._viewer.bind_key(key, pressed)
            except ValueError:  # another plugin has it
                continue
            self._bound[key] = pressed

    def release(self) -> None:
        """Unbind what is still ours."""
        for key, pressed in self._bound.items():
            found = {str(k): v for k, v in self._viewer.keymap.items()}.get(key)
            if getattr(found, "__wrapped__", found) is pressed or found is pressed:
                self._viewer.bind_key(key, None)
        self._bound.clear()
