"""The Restore dock: connects its controls to runs, runs to layers, and says what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QTabWidget

from napari_baryir.widgets.dock.controls import lay_out
from napari_baryir.widgets.dock.dock import RunDock
from napari_baryir.widgets.dock.status import duration
from napari_baryir.widgets.restore.batch.tab import BatchTab
from napari_baryir.widgets.restore.compare import Result
from napari_baryir.widgets.restore.compare_panel import TOGGLE, BoundKeys, ComparePanel
from napari_baryir.widgets.restore.form import RestoreForm
from napari_baryir.widgets.restore.model_buttons import ModelButtons
from napari_baryir.widgets.restore.session import RestoreSession
from napari_baryir.widgets.restore.summary_line import SummaryLine

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RestoreDock(RunDock):
    """Restore the layers of a viewer.

    Parameters
    ----------
    napari_viewer
        napari fills it in.
    """

    form: RestoreForm
    session: RestoreSession

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, RestoreForm, RestoreSession, "Restore")
        self.summary = SummaryLine(napari_viewer, self.session)
        self.compare = ComparePanel(self.session.comparison)
        self.models = ModelButtons(self.form)
        self.batch = BatchTab(napari_viewer, self.form.arguments)
        self._keys = BoundKeys(napari_viewer, {TOGGLE: self.compare.toggle})
        self._closers += [self.summary.stop, self._keys.release]
        self._lay_out()
        self._connect()
        self._begin()

    def _start(self) -> None:
        job = self.form.job()
        self.form.remember()
        self.session.restore(job)

    def _lay_out(self) -> None:
        page = self._column(
            [
                lay_out(self.form.basic),
                self.models,
                self.advanced,
                self.button,
                self.status,
                self.summary,
                self.compare,
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
        self.models.failed.connect(self._complain)
        self.models.said.connect(self.status.say)

    def showEvent(self, event: Any) -> None:
        """Bind the keys."""
        self._keys.bind()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        """Give the keys back: the dock was hidden or closed."""
        self._keys.release()
        super().hideEvent(event)

    def _on_session(self) -> None:
        super()._on_session()
        self.compare.refresh()

    def _on_result(self, result: Result) -> None:
        record = result.layer.metadata["napari_baryir"]
        lazily = record["non_finite"] is None
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
