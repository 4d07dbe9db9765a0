"""The panel below the Estimate button: the plane in view in words and bars, the stack's plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
)

from napari_baryir.widgets.dock.controls import short
from napari_baryir.widgets.estimate.legend import Legend, in_words, percent
from napari_baryir.widgets.estimate.maps import PlaneSummary
from napari_baryir.widgets.estimate.session import EstimateSession, MapResult
from napari_baryir.widgets.estimate.stack_plot import StackPlot
from napari_baryir.widgets.viewer.regions import plane_in_view, set_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

VIEWS = {
    "domains": ("Domains", "What is wrong where: colours as below, as opaque as it is severe."),
    "severity": ("Severity", "How much is wrong where: black 0, yellow 1."),
    "image": ("Image", "The image without maps."),
}
"""Text and tooltip of the buttons, by name."""


class MapPanel(QGroupBox):
    """Shown when there is a result."""

    def __init__(self, viewer: ViewerModel, session: EstimateSession) -> None:
        super().__init__("Estimate")
        self._viewer = viewer
        self._session = session
        self.headline = QLabel()
        self.headline.setWordWrap(True)
        self.legend = Legend()
        self.plot = StackPlot()
        self.axis = QComboBox()
        self.axis.setToolTip("Axis along which the planes are plotted.")
        self.views = QButtonGroup(self)
        self._plotted: Any = None
        """The plot's result, and the indices before and after its axis."""
        self._lay_out()
        self.views.buttonClicked.connect(self._on_view)
        self.legend.only_changed.connect(self._on_only)
        self.plot.picked.connect(self._on_picked)
        self.axis.currentTextChanged.connect(self._refresh)
        session.shown.connect(self._on_shown)
        session.finished.connect(self._on_finished)
        session.computed.connect(self._on_computed)
        dims = viewer.dims.events
        self._events: list[Any] = [dims.current_step, dims.ndisplay]
        for event in self._events:
            event.connect(self._refresh)
        self.hide()

    def show_view(self, name: str) -> None:
        """Show the domains, the severity or the bare image."""
        result = self._session.result
        if result is None:
            return
        for button in self.views.buttons():
            button.setChecked(button.objectName() == name)
        result.domains.visible = name == "domains"
        result.severity.visible = name == "severity"

    def close_down(self) -> None:
        """Stop listening to the viewer."""
        for event in self._events:
            event.disconnect(self._refresh)
        self._events = []

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(2)
        for name, (text, tooltip) in VIEWS.items():
            button = QPushButton(text)
            button.setObjectName(name)
            button.setToolTip(tooltip)
            button.setCheckable(True)
            self.views.addButton(button)
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addLayout(row)
        for widget in (self.headline, self.legend, self.axis, self.plot):
            layout.addWidget(widget)

    def _on_shown(self) -> None:
        result = self._session.result
        self.setVisible(result is not None)
        self._plotted = None
        if result is None:
            return
        self.setTitle(f"Estimate of {short(result.image_layer.name)}")
        self.legend.set_domains(result.maps.domains, result.only)
        self.plot.set_only(result.only)
        shape = dict(zip(result.maps.outer, result.maps.planes.shape, strict=True))
        letters = [letter for letter, n in shape.items() if n > 1]
        with QSignalBlocker(self.axis):
            self.axis.clear()
            self.axis.addItems([f"along {letter}" for letter in sorted(letters, key="TZC".index)])
        self.axis.setVisible(len(letters) > 1)
        self.plot.setVisible(bool(letters))
        self._refresh()

    @property
    def _letter(self) -> str:
        """Axis of the plot; empty where there is but one plane."""
        return str(self.axis.currentText()[-1:])

    def _refresh(self, _: Any = None) -> None:
        """Show the plane in view."""
        result = self._session.result
        if result is None or result.image_layer.ndim > self._viewer.dims.ndim:
            return
        plane = plane_in_view(self._viewer, result.image_layer, result.axes, result.box)
        summary = result.maps.summary(plane)
        self.headline.setText(_headline(summary, stack=None in plane))
        self.legend.set_shares(summary.shares if summary is not None else None)
        if not self._letter:
            return
        along = result.maps.outer.index(self._letter)
        self._plot(result, plane[:along], plane[along + 1 :])
        self.plot.set_current(plane[along] or 0)

    def _plot(
        self, result: MapResult, before: tuple[int | None, ...], after: tuple[int | None, ...]
    ) -> None:
        """Plot the planes along the axis; not again at each of them, there may be thousands."""
        if self._plotted == (result, before, after):
            return
        self._plotted = (result, before, after)
        planes = [
            result.maps.summary((*before, n, *after))
            for n in range(result.maps.planes.shape[len(before)])
        ]
        self.plot.set_planes(self._letter, planes, result.maps.domains)

    def _on_computed(self) -> None:
        self._plotted = None
        self._refresh()

    def _on_view(self, button: QAbstractButton) -> None:
        self.show_view(button.objectName())

    def _on_finished(self) -> None:
        self.show_view("domains")

    def _on_picked(self, plane: int) -> None:
        result = self._session.result
        if result is None:
            return
        dimension = result.axes.index(self._letter)
        start = result.box.slices[dimension].start
        set_plane(self._viewer, result.image_layer, dimension, start + plane)

    def _on_only(self, domain: str | None) -> None:
        self._session.show_only(domain)
        self.plot.set_only(domain)
        if domain is not None:
            self.show_view("domains")


def _headline(summary: PlaneSummary | None, *, stack: bool) -> str:
    where = "All planes" if stack else "In view"
    if summary is None:
        return "This plane has not been looked at yet."
    if summary.clean >= 0.5 and summary.clean >= max(summary.wrong.values(), default=0.0):
        found, most = f"clean {percent(summary.clean)}", ""
    else:
        found, most = in_words(summary.wrong), " of 1"
    return f"<b>{where}: {found}</b><br>mean severity {summary.severity:.2f}{most}"
