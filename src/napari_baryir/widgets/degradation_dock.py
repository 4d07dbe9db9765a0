"""The Degradation map dock: what is wrong with a layer, how much, and where."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_baryir.errors import BaryIRError
from napari_baryir.widgets.cursor_values import CursorValues
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.estimate_form import EstimateForm
from napari_baryir.widgets.estimate_session import EstimateSession, MapResult
from napari_baryir.widgets.form_parts import lay_out
from napari_baryir.widgets.lazy_maps import LazyPlanes
from napari_baryir.widgets.map_panel import MapPanel
from napari_baryir.widgets.queue import run_queue
from napari_baryir.widgets.settings import cache_folder, defaults
from napari_baryir.widgets.status_panel import StatusPanel, duration

if TYPE_CHECKING:
    from napari.components import ViewerModel


class DegradationDock(QWidget):
    """Estimate what is wrong with the layers of a viewer.

    Parameters
    ----------
    napari_viewer
        napari fills it in.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        cache_folder.apply(defaults())
        self.viewer = napari_viewer
        self.form = EstimateForm(napari_viewer)
        self.session = EstimateSession(napari_viewer)
        self.status = StatusPanel()
        self.panel = MapPanel(napari_viewer, self.session)
        self.button = QPushButton("Estimate")
        self.button.setObjectName("estimate")
        self._cursor = CursorValues(napari_viewer, self.session)
        self._docked = False
        self._lay_out()
        self._connect()
        self.form.refresh_layers()

    def estimate(self) -> None:
        """Do what the Estimate button does."""
        try:
            wish = self.form.wish()
            self.form.remember()
            self.session.estimate(
                wish.source,
                wish.settings,
                axes=wish.axes,
                region=wish.region,
                shapes=wish.shapes,
                parts=wish.parts,
                lazy=wish.lazy,
            )
        except BaryIRError as error:
            problem = Problem.of(error)
            notify(problem)
            self.status.complain(problem)

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
        parts = (lay_out(self.form.basic), advanced, self.button, self.status, self.panel)
        for widget in parts:
            layout.addWidget(widget)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        widest = max(inner.minimumSizeHint().width(), self.panel.minimumSizeHint().width())
        margins = 2 * layout.contentsMargins().left()
        scroll.setMinimumWidth(widest + margins + scroll.verticalScrollBar().sizeHint().width())

    def _connect(self) -> None:
        self.button.clicked.connect(self._on_button)
        self.form.changed.connect(self._on_form)
        self.session.changed.connect(self._on_session)
        self.session.failed.connect(self.status.complain)
        self.session.cancelled.connect(self._on_cancelled)
        self.session.finished.connect(self._on_result)
        run_queue().changed.connect(self._on_session)
        self.destroyed.connect(
            functools.partial(_let_go, self.form, self.session, self.panel, self._cursor)
        )

    def changeEvent(self, event: Any) -> None:
        """Go away with the dock: napari deletes only the frame around this widget."""
        super().changeEvent(event)
        if event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is None and self._docked:
            self.session.close()
            self.deleteLater()
        self._docked = self.parent() is not None

    def _on_button(self) -> None:
        if self.session.run is None:
            self.estimate()
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
        self.button.setText("Estimate" if run is None else "Cancel")
        if run is not None:
            self.button.setEnabled(run.state != "cancelling")
            self.status.follow(run, run_queue().ahead_of(run))
        else:
            self._on_form()  # its layer may have gone meanwhile

    def _on_result(self, result: MapResult) -> None:
        estimate = result.estimate
        lazily = isinstance(result.maps.planes, LazyPlanes)
        done = "Other planes are looked at as you scroll" if lazily else "Estimated"
        took = "" if lazily else f" in {duration(estimate.seconds)}"
        self.status.say(f"{done} with {estimate.model} on {estimate.device}{took}.")

    def _on_cancelled(self) -> None:
        self.status.say("Cancelled; nothing was added.")


def _let_go(
    form: EstimateForm,
    session: EstimateSession,
    panel: MapPanel,
    cursor: CursorValues,
    *_: object,
) -> None:
    """End what outlives the dock's widgets: the run, and listening to the viewer."""
    form.close()
    session.close()
    panel.close_down()
    cursor.close()
