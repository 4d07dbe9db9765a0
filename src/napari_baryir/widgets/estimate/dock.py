"""The Degradation map dock: what is wrong with a layer, how much, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_baryir.widgets.dock.controls import lay_out
from napari_baryir.widgets.dock.dock import Column, RunDock
from napari_baryir.widgets.dock.status import duration
from napari_baryir.widgets.estimate.cursor import CursorValues
from napari_baryir.widgets.estimate.form import EstimateForm
from napari_baryir.widgets.estimate.maps import LazyPlanes
from napari_baryir.widgets.estimate.panel import MapPanel
from napari_baryir.widgets.estimate.session import EstimateSession, MapResult

if TYPE_CHECKING:
    from napari.components import ViewerModel


class DegradationDock(RunDock):
    """Estimate what is wrong with the layers of a viewer."""

    form: EstimateForm
    session: EstimateSession
    page = "estimates.md"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, EstimateForm, EstimateSession, "Estimate")
        self.panel = MapPanel(napari_viewer, self.session)
        self._cursor = CursorValues(napari_viewer, self.session)
        self._closers += [self.panel.close_down, self._cursor.close]
        page = [lay_out(self.form.basic), self.advanced, self.button, self.status, self.panel]
        self._fill(Column(page, hidden=self.panel))
        self._begin()

    def _start(self) -> None:
        job = self.form.job()
        self.form.remember()
        self.session.estimate(job)

    def _on_result(self, result: MapResult) -> None:
        estimate = result.estimate
        lazily = isinstance(result.maps.planes, LazyPlanes)
        done = "Other planes are looked at as you scroll" if lazily else "Estimated"
        took = "" if lazily else f" in {duration(estimate.seconds)}"
        self.status.say(f"{done} with {estimate.model} on {estimate.device}{took}.")
