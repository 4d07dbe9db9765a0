"""The choice of a batch's images: a folder of files, or the selected layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from napari_baryir.widgets.dock.controls import FolderEdit
from napari_baryir.widgets.restore.batch.items import Item, find_images, list_layers

if TYPE_CHECKING:
    from napari import Viewer

FOLDER, LAYERS = "A folder of images", "The selected layers"


class BatchChoice(QWidget):
    """Asks for images and lists them, except while it is disabled."""

    listed = Signal()
    """`items` are those of the chosen folder or layers; `note` says why there are none, or which
    files are left out."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.items: Sequence[Item] = ()
        self.note = ""
        self._viewer = viewer
        self._listing = 0
        self._proposed = ""
        self.kind = QComboBox()
        self.kind.addItems([FOLDER, LAYERS])
        self.folder = FolderEdit("Folder", "of TIFF, PNG, JPEG or OME-Zarr")
        self.output = FolderEdit("Save to", "a folder; made if not there")
        self.again = QCheckBox("Restore again what is done")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.kind, self.folder, self.output, self.again):
            layout.addWidget(widget)
        self.kind.currentTextChanged.connect(self._on_kind)
        self.folder.chosen.connect(self._on_folder)
        self.output.chosen.connect(self.list_images)
        self.again.toggled.connect(self.list_images)

    @property
    def of_files(self) -> bool:
        """Whether files are restored, and not layers."""
        return bool(self.kind.currentText() == FOLDER)

    def choose_folder(self, folder: str, output: str = "") -> None:
        """Fill in the folders, as if they had been typed."""
        self.kind.setCurrentText(FOLDER)
        self.folder.path = folder
        self.output.path = output
        self._on_folder()

    def list_images(self, *_: object) -> None:
        """Find the images; emits `listed`, for folders when they have been searched."""
        if not self.isEnabled():
            return
        self._listing += 1
        folder = self.folder.path
        if not self.of_files:
            selected = self._viewer.layers.selection
            chosen = [layer for layer in self._viewer.layers if layer in selected]
            self._show(list_layers(chosen, self.items))
        elif not folder:
            self._show([])
        else:
            # In a thread, since folders on a network are slow.
            found = {"returned": partial(self._on_found, self._listing)}
            create_worker(find_images, folder, self.output.path, _connect=found)

    def _on_kind(self) -> None:
        self.folder.setVisible(self.of_files)
        self.output.setVisible(self.of_files)
        self.list_images()

    def _on_folder(self) -> None:
        folder = self.folder.path.rstrip("/\\")
        if self.output.path in ("", self._proposed):
            self.output.path = self._proposed = f"{folder}-restored" if folder else ""
        self.list_images()

    def _on_found(self, listing: int, found: tuple[Sequence[Item], str]) -> None:
        if listing == self._listing and self.isEnabled():  # else something was asked for since
            self._show(*found)

    def _show(self, items: Sequence[Item], note: str = "") -> None:
        if not items and not note:
            note = "Choose a folder." if self.of_files else "Select layers in the layer list."
        self.items, self.note = items, note
        self.listed.emit()
