"""Import a model file into the user's folder, and open that folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_baryir.errors import InputError
from napari_baryir.weights.cache import model_folder
from napari_baryir.widgets.dock.form import LayerForm
from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.steps import Failed


class ModelButtons(QWidget):
    """Two buttons below the list of models."""

    failed = Signal(object)
    """A `Problem`."""
    said = Signal(str)
    """A sentence."""

    def __init__(self, form: LayerForm) -> None:
        super().__init__()
        self._form = form
        self.import_button = QPushButton("Import model…")
        self.import_button.setToolTip(
            "A .safetensors file, or a checkpoint published by the authors (.pth, .ckpt); nothing "
            "in it is run."
        )
        self.import_button.clicked.connect(self._ask)
        self.folder_button = QPushButton("My models…")
        self.folder_button.setToolTip(
            "Opens the folder of your own models; files put there appear in the list."
        )
        self.folder_button.clicked.connect(self._open_folder)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.import_button, 1)
        layout.addWidget(self.folder_button, 1)

    def import_file(self, path: Path) -> Any:
        """Copy or convert a file in a thread; the model is chosen when it is there."""
        self.import_button.setEnabled(False)
        self.said.emit(f"Importing {path.name}…")
        done = {"returned": self._on_imported, "finished": self._on_finished}
        return create_worker(_import, path, _connect=done)

    def _ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Import a model", "", "Models (*.safetensors *.pth *.pt *.ckpt)"
        )
        if name:
            self.import_file(Path(name))

    def _open_folder(self) -> None:
        folder = model_folder()
        folder.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(os.fspath(folder)))

    def _on_finished(self) -> None:
        self.import_button.setEnabled(True)

    def _on_imported(self, outcome: Path | Failed) -> None:
        if isinstance(outcome, Failed):
            self.failed.emit(Problem.of(outcome.error))
            return
        self._form.refresh_models(outcome.stem)
        self.said.emit(f"Imported {outcome.stem}.")


def _import(path: Path) -> Path | Failed:
    """Put a model into the user's folder; return errors, so that napari does not report them."""
    try:
        from napari_baryir.weights.header import read_header, refuse_auto

        folder = model_folder()
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{path.stem}.safetensors"
        if target.exists():
            raise InputError(f"{target} is there already; rename one of the two")
        refuse_auto(target)
        if path.suffix.lower() == ".safetensors":
            from napari_baryir.atomic import written_aside

            read_header(path)  # refuses what is not ours
            with written_aside(target) as aside:
                shutil.copyfile(path, aside)
        else:
            from napari_baryir.weights.importer import import_published_weights

            import_published_weights(path, target)
    except Exception as error:
        return Failed(error)  # napari's workers raise exceptions that they get as results
    return target
