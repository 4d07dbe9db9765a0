"""The Batch tab: a folder of images, or several layers, one after the other."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from napari_baryir.batch.run import State
from napari_baryir.errors import BaryIRError
from napari_baryir.widgets.dock.problem import Problem, notify
from napari_baryir.widgets.dock.run import Run, run_queue
from napari_baryir.widgets.dock.status import duration, loading
from napari_baryir.widgets.dock.steps import Failed
from napari_baryir.widgets.restore.batch.choice import BatchChoice
from napari_baryir.widgets.restore.batch.items import BatchSettings, LayerItem, Update, run_batch
from napari_baryir.widgets.restore.batch.table import BatchTable
from napari_baryir.widgets.restore.job import Done
from napari_baryir.widgets.restore.record import make_record
from napari_baryir.widgets.viewer import layers

if TYPE_CHECKING:
    from napari import Viewer


class BatchTab(QWidget):
    """Restores many images with the settings of the Layer tab.

    Images that were done before are skipped, so that a batch that was stopped goes on.
    `get_settings` is called when a run begins, and may raise `BaryIRError`.
    """

    listed = Signal()
    """The table shows the chosen images, or the label says why there are none."""
    updated = Signal()
    """The table shows news of the image in work."""
    finished = Signal()
    """A batch is over: done, failed or cancelled."""

    def __init__(self, viewer: Viewer, get_settings: Callable[[], BatchSettings]) -> None:
        super().__init__()
        self._viewer = viewer
        self._get_settings = get_settings
        self._run: Run | None = None
        self._settings = BatchSettings()
        self._released = False
        self.choice = BatchChoice(viewer)
        self.table = BatchTable()
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.button = QPushButton("Restore")
        self.details_button = QPushButton("Details")
        self.details_button.setCheckable(True)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self._lay_out()
        self._connect()
        self.choice.list_images()
        self._show_details()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.details_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.choice)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.details)
        layout.addWidget(self.label)
        layout.addLayout(buttons)

    def _connect(self) -> None:
        self.choice.listed.connect(self._on_listed)
        self.button.clicked.connect(self._on_button)
        self.table.currentCellChanged.connect(self._show_details)
        self.details_button.toggled.connect(self._show_details)
        self._viewer.layers.selection.events.changed.connect(self._on_selection)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self.destroyed.connect(partial(_let_go, weakref.ref(self)))

    @property
    def running(self) -> bool:
        """Whether a batch runs, or waits for another run to end."""
        return self._run is not None

    def start(self) -> None:
        """Restore the images of the table that are not done."""
        items, again = self.choice.items, self.choice.again.isChecked()
        if self.running or not items:
            return
        try:
            self._settings = self._get_settings()
        except BaryIRError as error:
            self._show_state(Problem.of(error).sentence)
            return
        for item in items:
            if isinstance(item, LayerItem):
                item.dropped = item.layer not in self._viewer.layers
        self.table.show_items(items, again=again)
        run = self._run = Run(run_batch(items, self._settings, again=again), "Restoring a batch")
        run.started.connect(self._on_started)
        run.stepped.connect(self._on_update)
        run.ended.connect(self._on_ended)
        run_queue().submit(run)
        if run.state == "waiting":
            self._show_state("Waiting for another run to end.")

    def cancel(self) -> None:
        """Stop after the tile in work; finished results stay."""
        if self._run is not None:
            self._run.cancel()
        if self.running:
            self._show_state("Stopping after the tile in work.")

    def release(self) -> None:
        """Cancel the batch and disconnect from the viewer; the widgets may be gone."""
        if self._run is not None:
            self._run.cancel()
        if not self._released:
            layers = self._viewer.layers
            # napari 0.7 compares the owners of callbacks, and a widget that is gone has no answer.
            with contextlib.suppress(RuntimeError):
                layers.selection.events.changed.disconnect(self._on_selection)
            with contextlib.suppress(RuntimeError):
                layers.events.removed.disconnect(self._on_removed)
        self._released = True

    def _on_button(self) -> None:
        (self.cancel if self.running else self.start)()

    def _on_selection(self, *_: object) -> None:
        if not self._released and not self.choice.of_files:
            self.choice.list_images()

    def _on_removed(self, event: Any) -> None:
        for item in self.choice.items:
            if isinstance(item, LayerItem) and item.layer is event.value:
                item.dropped = True

    def _on_listed(self) -> None:
        self.table.show_items(self.choice.items, again=self.choice.again.isChecked())
        self._show_state(self.choice.note)
        self._show_details()
        self.listed.emit()

    def _on_started(self) -> None:
        self._show_state(loading("the model"))

    def _on_update(self, update: Update) -> None:
        item = self.choice.items[update.row]
        done = update.result
        if done is not None and isinstance(item, LayerItem):
            if item.dropped:  # since the last tile
                update = Update(update.progress, None, update.row, State.FAILED, "It was removed.")
            else:
                self._add_result(item, done)
        self.table.show_update(update)
        if update.state is not State.RUNNING or not update.text:  # it has just begun
            self._show_state()
        self.updated.emit()

    def _add_result(self, item: LayerItem, done: Done) -> None:
        record = make_record(done.restoration, item.layer, item.box, self._settings.strength)
        name = f"{item.name} restored"
        data = done.data
        if done.lazy:
            from napari_baryir.widgets.restore.seen import seen_levels  # late: dask

            data, _ = seen_levels(done, self._viewer)
        layers.add_result(self._viewer, item.layer, item.box, data, name=name, record=record)
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
        """Show a text, the states of the images, and the settings of the run."""
        parts = [text, self.table.summary()]
        if self._run is not None:
            left = self._run.seconds_left
            parts[1] += "" if left is None else f"; {duration(left)} left"
            parts.append(f"As set in the Layer tab: {self._settings.in_words()}.")
        self.label.setText("\n".join(part for part in parts if part))
        self.button.setText("Cancel" if self.running else "Restore")
        self.button.setEnabled(self.running or self.table.has_work())
        self.choice.setEnabled(not self.running)

    def _show_details(self, *_: object) -> None:
        """Show the result's path, or the error, of the selected image."""
        text = self.table.chosen_text()
        self.details_button.setEnabled(bool(text))
        self.details.setVisible(bool(text) and self.details_button.isChecked())
        self.details.setPlainText(text)


def _let_go(tab: weakref.ref[BatchTab], *_: object) -> None:
    """Release a tab whose widgets have gone."""
    found = tab()
    if found is not None:
        found.release()
