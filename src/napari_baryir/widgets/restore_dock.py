"""The Restore dock: connects its controls to runs, runs to layers, and tells what happens."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QTabWidget, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_baryir.errors import BaryIRError
from napari_baryir.widgets.batch import BatchTab
from napari_baryir.widgets.compare import Result
from napari_baryir.widgets.compare_panel import ComparePanel
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.form_parts import lay_out
from napari_baryir.widgets.keys import TOGGLE, BoundKeys
from napari_baryir.widgets.model_buttons import ModelButtons
from napari_baryir.widgets.queue import run_queue
from napari_baryir.widgets.restore_form import RestoreForm
from napari_baryir.widgets.session import RestoreSession
from napari_baryir.widgets.settings import cache_folder, defaults
from napari_baryir.widgets.status_panel import StatusPanel, duration
from napari_baryir.widgets.summary_line import SummaryLine

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RestoreDock(QWidget):
    """Restore the layers of a viewer.

    Parameters
    ----------
    napari_viewer
        napari fills it in.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        cache_folder.apply(defaults())
        self.viewer = napari_viewer
        self.form = RestoreForm(napari_viewer)
        self.session = RestoreSession(napari_viewer)
        self.status = StatusPanel()
        self.summary = SummaryLine(napari_viewer, self.session)
        self.compare = ComparePanel(self.session.comparison)
        self.models = ModelButtons(self.form)
        self.batch = BatchTab(napari_viewer, self.form.arguments)
        self.button = QPushButton("Restore")
        self.button.setObjectName("restore")
        self._keys = BoundKeys(napari_viewer, {TOGGLE: self.compare.toggle})
        self._docked = False
        self._lay_out()
        self._connect()
        self.form.refresh_layers()

    def restore(self) -> None:
        """Do what the Restore button does."""
        try:
            wish = self.form.wish()
            self.form.remember()
            self.session.restore(
                wish.source,
                wish.settings,
                axes=wish.axes,
                region=wish.region,
                shapes=wish.shapes,
                strength=wish.strength,
                lazy=wish.lazy,
                target=wish.target,
            )
        except BaryIRError as error:
            self._complain(Problem.of(error))

    def _lay_out(self) -> None:
        advanced = QCollapsible("Advanced")
        advanced.setDuration(0)
        advanced.setCollapsedIcon("▸")
        advanced.setExpandedIcon("▾")
        advanced.addWidget(lay_out(self.form.advanced))
        self.advanced = advanced
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        for widget in (
            lay_out(self.form.basic),
            self.models,
            advanced,
            self.button,
            self.status,
            self.summary,
            self.compare,
        ):
            layout.addWidget(widget)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        self.tabs = QTabWidget()
        self.tabs.addTab(scroll, "Layer")
        self.tabs.addTab(self.batch, "Batch")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.tabs)
        widest = max(inner.minimumSizeHint().width(), self.compare.minimumSizeHint().width())
        margins = 2 * layout.contentsMargins().left()
        scroll.setMinimumWidth(widest + margins + scroll.verticalScrollBar().sizeHint().width())

    def _connect(self) -> None:
        self.button.clicked.connect(self._on_button)
        self.form.changed.connect(self._on_form)
        self.form.strength_changed.connect(self.session.comparison.set_strength)
        self.session.changed.connect(self._on_session)
        self.session.failed.connect(self.status.complain)
        self.session.cancelled.connect(self._on_cancelled)
        self.session.finished.connect(self._on_result)
        self.session.looking.connect(self._on_looking)
        self.models.failed.connect(self._complain)
        self.models.told.connect(self.status.say)
        run_queue().changed.connect(self._on_session)
        self.destroyed.connect(functools.partial(_let_go, self.form, self.session, self._keys))
        self.destroyed.connect(functools.partial(_stop, self.summary))

    def changeEvent(self, event: Any) -> None:
        """Go away with the dock: napari deletes only the frame around this widget."""
        super().changeEvent(event)
        if event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is None and self._docked:
            self._keys.release()
            self.session.close()
            self.deleteLater()
        self._docked = self.parent() is not None

    def showEvent(self, event: Any) -> None:
        """Bind the keys."""
        self._keys.bind()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        """Give the keys back: the dock was hidden or closed."""
        self._keys.release()
        super().hideEvent(event)

    def _on_button(self) -> None:
        if self.session.run is None:
            self.restore()
        else:
            self.session.cancel()

    def _on_form(self) -> None:
        if self.session.run is not None:
            return
        problem = self.form.problem()
        self.button.setEnabled(problem is None)
        self.status.give_reason(problem)

    def _on_session(self) -> None:
        run = self.session.run
        self.button.setText("Restore" if run is None else "Cancel")
        if run is not None:
            self.button.setEnabled(run.state != "cancelling")
            self.status.follow(run, run_queue().ahead_of(run))
        else:
            self._on_form()  # its layer may have gone meanwhile
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

    def _on_cancelled(self) -> None:
        self.status.say("Cancelled; nothing was added.")

    def _complain(self, problem: Problem) -> None:
        notify(problem)
        self.status.complain(problem)


def _let_go(form: RestoreForm, session: RestoreSession, keys: BoundKeys, *_: object) -> None:
    """End what outlives the dock's widgets: the run, the keys, and listening to the viewer."""
    keys.release()
    form.close()
    session.close()


def _stop(summary: SummaryLine, *_: object) -> None:
    """Stop looking at a result that nobody sees any more."""
    summary.stop()
