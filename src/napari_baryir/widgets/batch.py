"""The Batch tab: a folder of images, or several layers, one after the other."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_baryir.errors import BaryIRError
from napari_baryir.widgets import layers
from napari_baryir.widgets.batch_run import (
    BatchSettings,
    Item,
    LayerItem,
    State,
    Update,
    find_images,
    list_layers,
    run_batch,
)
from napari_baryir.widgets.batch_table import BatchTable
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.folder_edit import FolderEdit
from napari_baryir.widgets.job import Failed
from napari_baryir.widgets.queue import run_queue
from napari_baryir.widgets.record import make_record
from napari_baryir.widgets.worker import Run

if TYPE_CHECKING:
    from napari import Viewer

FOLDER, LAYERS = "A folder of images", "The selected layers"


class BatchTab(QWidget):
    """Restores many images with the settings of the Restore tab.

    What was done before is skipped, so that a batch that was stopped goes on where it was.

    Parameters
    ----------
    viewer
        Whose selected layers can be restored, and where their results go.
    get_settings
        Gives the arguments of `napari_baryir.restore` to use, when a run begins; may raise
        `BaryIRError`.
    """

    listed = Signal()
    """The table shows the images of the folder or the layers, or the label why there are none."""
    finished = Signal()
    """A batch is over: done, failed or cancelled."""

    def __init__(self, viewer: Viewer, get_settings: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._viewer = viewer
        self._get_settings = get_settings
        self._items: Sequence[Item] = ()
        self._run: Run | None = None
        self._settings = BatchSettings()
        self._listing = 0
        self._proposed = ""
        self._released = False
        self._build()
        viewer.layers.selection.events.changed.connect(self._on_selection)
        viewer.layers.events.removed.connect(self._on_removed)
        self.destroyed.connect(partial(_let_go, weakref.ref(self)))
        self._show_kind()

    def _build(self) -> None:
        self.kind = QComboBox()
        self.kind.addItems([FOLDER, LAYERS])
        self.folder = FolderEdit("Folder", "of TIFF, PNG, JPEG or OME-Zarr")
        self.output = FolderEdit("Save to", "a folder; made if not there")
        self.again = QCheckBox("Restore again what is done")
        self.table = BatchTable()
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.button = QPushButton("Restore")
        self.details_button = QPushButton("Details")
        self.details_button.setCheckable(True)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.details_button)
        layout = QVBoxLayout(self)
        for widget in (self.kind, self.folder, self.output, self.again):
            layout.addWidget(widget)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.label)
        layout.addLayout(buttons)
        layout.addWidget(self.details)
        self.kind.currentTextChanged.connect(self._show_kind)
        self.folder.chosen.connect(self._on_folder)
        self.output.chosen.connect(self.list_images)
        self.again.toggled.connect(self.list_images)
        self.button.clicked.connect(self._on_button)
        self.table.currentCellChanged.connect(self._show_details)
        self.details_button.toggled.connect(self._show_details)
        self._show_details()

    @property
    def running(self) -> bool:
        """Whether a batch runs, or waits for another run to end."""
        return self._run is not None

    def choose_folder(self, folder: str, output: str = "") -> None:
        """Fill in the folders, as if they had been typed."""
        self.kind.setCurrentText(FOLDER)
        self.folder.path = folder
        self.output.path = output
        self._on_folder()

    def _on_folder(self) -> None:
        folder = self.folder.path.rstrip("/\\")
        if self.output.path in ("", self._proposed):
            self.output.path = self._proposed = f"{folder}-restored" if folder else ""
        self.list_images()

    def _show_kind(self) -> None:
        of_files = self.kind.currentText() == FOLDER
        self.folder.setVisible(of_files)
        self.output.setVisible(of_files)
        self.list_images()

    def list_images(self, *_: object) -> None:
        """Fill the table; emits `listed`, for folders when they have been searched."""
        if self.running:
            return
        self._listing += 1
        if self.kind.currentText() == LAYERS:
            chosen = [each for each in self._viewer.layers if each in self._viewer.layers.selection]
            self._show_items(list_layers(chosen, self._items))
            return
        folder, output = self.folder.path, self.output.path
        if not folder:
            self._show_items([])
            return
        # Folders on a network take their time.
        worker = create_worker(
            find_images, folder, output, _start_thread=False, _ignore_errors=True
        )
        worker.returned.connect(partial(self._on_listed, self._listing))
        worker.start()

    def _on_listed(self, listing: int, found: Sequence[Item] | Problem) -> None:
        if listing != self._listing or self.running:
            return  # asked for something else since
        failed = isinstance(found, Problem)
        self._show_items([] if failed else found, found.sentence if failed else "")

    def _show_items(self, items: Sequence[Item], text: str = "") -> None:
        self._items = items
        self.table.show_items(items, again=self.again.isChecked())
        self._show_state(text)
        self._show_details()
        self.listed.emit()

    def _on_selection(self, *_: object) -> None:
        if self.kind.currentText() == LAYERS:
            self.list_images()

    def _on_removed(self, event: Any) -> None:
        for item in self._items:
            if isinstance(item, LayerItem) and item.layer is event.value:
                item.dropped = True

    def _on_button(self) -> None:
        if self.running:
            self.cancel()
        else:
            self.start()

    def start(self) -> None:
        """Restore the images of the table that are not done."""
        if self.running or not self._items:
            return
        try:
            self._settings = BatchSettings.of(self._get_settings())
        except BaryIRError as error:
            self._show_state(Problem.of(error).sentence)
            return
        again = self.again.isChecked()
        for item in self._items:
            if isinstance(item, LayerItem):
                item.dropped = item.layer not in self._viewer.layers
        self.table.show_items(self._items, again=again)
        steps = run_batch(self._items, self._settings, again=again)
        self._run = Run(steps, "Restore a batch")
        self._run.stepped.connect(self._on_update)
        self._run.ended.connect(self._on_ended)
        queue = run_queue()
        queue.submit(self._run)
        waiting = self._run is not None and queue.ahead_of(self._run)
        self._show_state("Waiting for another run to end." if waiting else "")

    def cancel(self) -> None:
        """Stop within a tile; what is done stays."""
        if self._run is not None:
            self._run.cancel()
        if self.running:
            self._show_state("Stopping after the tile in work.")

    def _on_update(self, update: Update) -> None:
        item = self._items[update.row]
        if update.result is not None and isinstance(item, LayerItem):
            if item.dropped:  # since the last tile
                update = Update(update.progress, None, update.row, State.FAILED, "It was removed.")
            else:
                self._add_result(item, update)
        self.table.show_update(update)
        if update.state is not State.RUNNING:
            self._show_state()
            self._show_details()

    def _add_result(self, item: LayerItem, update: Update) -> None:
        result = update.result
        assert result is not None
        source = item.layer.source.path
        record = make_record(
            result.restoration,
            source=item.name,
            path=os.fspath(source) if source else None,
            box=item.box,
            strength=self._settings.strength,
        )
        name = f"{item.name} restored"
        layers.add_result(self._viewer, item.layer, item.box, result.data, name=name, record=record)
        item.done = True

    def _on_ended(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        self.table.stop_running()
        failed = self.table.count(State.FAILED)
        text = "Cancelled." if run.state == "cancelled" else ""
        if isinstance(run.outcome, Failed):  # of no image in particular
            problem = Problem.of(run.outcome.error)
            text = problem.sentence
            notify(problem)
        elif failed and not text:
            some = f"{failed} image{'s' * (failed != 1)}"
            notify(Problem(f"{some} could not be restored; the Batch tab says why.", "", True))
        self._show_state(text)
        self._show_details()
        self.finished.emit()

    def _show_state(self, text: str = "") -> None:
        """Say how far everything is, and what else there is to say."""
        counts = [(self.table.count(state), state.value) for state in State]
        told = ", ".join(f"{count} {name}" for count, name in counts if count)
        if not told and not text:
            of_files = self.kind.currentText() == FOLDER
            text = "Choose a folder." if of_files else "Select layers in the layer list."
        self.label.setText("\n".join(part for part in (text, told) if part))
        self.button.setText("Cancel" if self.running else "Restore")
        waiting = self.table.count(State.WAITING) + self.table.count(State.FAILED)
        self.button.setEnabled(self.running or waiting > 0)
        for widget in (self.kind, self.folder, self.output, self.again):
            widget.setEnabled(not self.running)

    def _show_details(self, *_: object) -> None:
        problem = self.table.chosen_problem()
        self.details_button.setEnabled(problem is not None)
        self.details.setVisible(problem is not None and self.details_button.isChecked())
        text = f"{problem.sentence}\n\n{problem.details}".strip() if problem else ""
        self.details.setPlainText(text)

    def release(self) -> None:
        """Stop, and listen to the viewer no more; touches no widget, since they may be gone."""
        if self._run is not None:
            self._run.cancel()
        if not self._released:
            self._viewer.layers.selection.events.changed.disconnect(self._on_selection)
            self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._released = True


def _let_go(tab: weakref.ref[BatchTab], *_: object) -> None:
    """End what outlives the tab's widgets."""
    found = tab()
    if found is not None:
        found.release()
