"""The buttons below a result: before and after, wipe, what was removed, and its call as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
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

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("Result")
        self._comparison = comparison
        self.before = QPushButton(f"Before/after ({TOGGLE})")
        self.before.setToolTip(f"Hides and shows the result; the key {TOGGLE} does the same.")
        self.before.clicked.connect(self.toggle)
        self.removed = QPushButton("Show removed")
        self.removed.setToolTip("A layer with the original minus the result; again: without it.")
        self.removed.setCheckable(True)
        self.removed.toggled.connect(comparison.show_removed)
        self.wipe = QSlider(Qt.Orientation.Horizontal)
        self.wipe.setRange(0, 100)
        self.wipe.setToolTip("Shows the original from the left edge up to here.")
        self.wipe.valueChanged.connect(self._on_wipe)
        self.copy_python = QPushButton("Copy as Python")
        self.copy_python.setToolTip("Python that repeats this run, to the clipboard.")
        self.copy_python.clicked.connect(self._copy_python)
        self.copy_command = QPushButton("Copy as command")
        self.copy_command.setToolTip("The command that repeats this run, to the clipboard.")
        self.copy_command.clicked.connect(self._copy_command)
        layout = QGridLayout(self)
        layout.addWidget(self.before, 0, 0)
        layout.addWidget(self.removed, 0, 1)
        layout.addWidget(QLabel("wipe"), 1, 0)
        layout.addWidget(self.wipe, 1, 1)
        layout.addWidget(self.copy_python, 2, 0)
        layout.addWidget(self.copy_command, 2, 1)
        self.hide()

    def refresh(self) -> None:
        """Show or hide the panel."""
        there = self._comparison.result is not None
        self.setVisible(there)
        self.removed.setChecked(self._comparison.shows_removed)
        if self._comparison.wipe_layer is None and self.wipe.value():
            self.wipe.blockSignals(True)
            self.wipe.setValue(0)
            self.wipe.blockSignals(False)

    def toggle(self) -> None:
        """Before instead of after, or back."""
        self._comparison.toggle()

    def _on_wipe(self, percent: int) -> None:
        self._comparison.set_wipe(percent / 100)

    def _copy_python(self) -> None:
        self._copy(as_python)

    def _copy_command(self) -> None:
        self._copy(as_command)

    def _copy(self, form: Callable[[Mapping[str, Any]], str]) -> None:
        result = self._comparison.result
        record = layers.record_of(result.layer) if result is not None else None
        clipboard = QApplication.clipboard()
        if record is not None and clipboard is not None:
            clipboard.setText(form(record))


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
