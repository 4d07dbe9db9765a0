"""The Restore dock: connects its controls to runs, runs to layers, and says what happens."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton, QTabWidget

from napari_baryir.widgets.dock.controls import lay_out, side_by_side
from napari_baryir.widgets.dock.dock import Column, RunDock
from napari_baryir.widgets.dock.status import duration
from napari_baryir.widgets.restore.batch.tab import BatchTab
from napari_baryir.widgets.restore.compare import Result
from napari_baryir.widgets.restore.compare_panel import TOGGLE, BoundKey, ComparePanel
from napari_baryir.widgets.restore.form import RestoreForm
from napari_baryir.widgets.restore.model_buttons import ModelButtons
from napari_baryir.widgets.restore.session import RestoreSession
from napari_baryir.widgets.restore.summary_line import SummaryLine
from napari_baryir.widgets.viewer.layers import KEY

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RestoreDock(RunDock):
    """Restore the layers of a viewer."""

    form: RestoreForm
    session: RestoreSession
    page = "restore_dock.md"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, RestoreForm, RestoreSession, "Restore")
        self.preview_button = QPushButton("Preview here")
        self.preview_button.setToolTip(
            "Restores a square around the middle of the view, as it will look in the whole image."
        )
        self.keep_button = QPushButton()
        self.keep_button.setToolTip("Adds what was done; the other planes show the original.")
        self.keep_button.hide()
        self.summary = SummaryLine(napari_viewer, self.session)
        self.compare = ComparePanel(self.session.comparison)
        self.models = ModelButtons(self.form)
        self.batch = BatchTab(napari_viewer, self.form.batch_settings)
        self._says_more = False
        """Whether the status says that planes are still to be restored."""
        self._key = BoundKey(napari_viewer, TOGGLE, self.session.comparison.toggle)
        self._closers += [self.summary.stop, self._key.release]
        self._lay_out()
        self._connect()
        self._begin()

    def _start(self) -> None:
        self._restore(preview=False)

    def _restore(self, *, preview: bool) -> None:
        job = self.form.job(preview=preview)
        self.form.remember()
        self.session.restore(job)

    def preview(self) -> None:
        """Restore a part around the middle of the view."""
        self._try(partial(self._restore, preview=True))

    def save(self, path: Path) -> None:
        """Save the result to a file."""
        self._try(partial(self.session.save, path))

    def _lay_out(self) -> None:
        self.advanced.addWidget(self.models)
        page = Column(
            [
                lay_out(self.form.basic),
                side_by_side(self.preview_button, self.button),
                self.status,
                self.keep_button,
                self.summary,
                self.compare,
                self.advanced,  # last, for it is long and rarely needed
            ],
            hidden=self.compare,
        )
        self.tabs = QTabWidget()
        self.tabs.addTab(page, "Layer")
        self.tabs.addTab(self.batch, "Batch")
        self._fill(self.tabs)

    def _connect(self) -> None:
        self.form.strength_changed.connect(self.session.comparison.set_strength)
        self.session.looking.connect(self._on_looking)
        self.session.previewed.connect(self._on_previewed)
        self.session.saved.connect(self._on_saved)
        self.preview_button.clicked.connect(self.preview)
        self.keep_button.clicked.connect(self._on_keep)
        self.compare.save_asked.connect(self.save)
        self.compare.said.connect(self.status.say)
        self.models.failed.connect(self._complain)
        self.models.said.connect(self.status.say)

    def showEvent(self, event: Any) -> None:
        """Bind the key."""
        self._key.bind()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        """Release the key: the dock was hidden or closed."""
        self._key.release()
        super().hideEvent(event)

    def _on_form(self) -> None:
        super()._on_form()
        idle = self.session.run is None
        self.preview_button.setEnabled(idle and self.form.problem() is None)

    def _on_session(self) -> None:
        super()._on_session()
        self._on_form()
        self.compare.refresh()
        self.keep_button.setVisible(bool(self.session.unfinished))
        self.keep_button.setText(f"Keep {self.session.unfinished}")
        if self._says_more and self.session.comparison.result is None:
            self._says_more = False
            self.status.say("")

    def _on_cancelled(self) -> None:
        self.status.say("Cancelled.")

    def _on_keep(self) -> None:
        self.session.keep()
        self._on_session()

    def _on_previewed(self, result: Result) -> None:
        took = duration(result.layer.metadata[KEY]["seconds"])
        self.status.say(
            f"Preview in {took}: the original left of the line, restored right of it. "
            "Restore does all of the image."
        )

    def _on_saved(self, path: Path) -> None:
        self.status.say(f"Saved as {path}.")

    def _on_result(self, result: Result) -> None:
        record = result.layer.metadata[KEY]
        lazily = self._says_more = record["non_finite"] is None
        done = "Will be restored as you scroll" if lazily else "Restored"
        took = "" if lazily else f" in {duration(record['seconds'])}"
        settings = record["settings"]
        self.form.refresh_layers()
        self.status.say(f"{done} with {settings['model']} on {settings['device']}{took}.")
        self.compare.refresh()

    def _on_looking(self, looking: bool) -> None:
        if self.session.run is None:
            self.status.say(
                "Restoring what is in view…"
                if looking
                else "What is in view is restored; the rest will be as you scroll."
            )
