"""A line in the Restore dock: what was wrong with the plane in view of what was just restored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_baryir.domains import CLEAN
from napari_baryir.errors import BaryIRError
from napari_baryir.widgets import layers
from napari_baryir.widgets.compare import Result
from napari_baryir.widgets.degradation_maps import PlaneSummary
from napari_baryir.widgets.estimate_job import (
    Estimated,
    EstimateJob,
    EstimateSettings,
    estimate_steps,
)
from napari_baryir.widgets.job import Failed
from napari_baryir.widgets.legend import in_words, percent
from napari_baryir.widgets.queue import run_queue
from napari_baryir.widgets.regions import Box, plane_in_view
from napari_baryir.widgets.session import RestoreSession
from napari_baryir.widgets.worker import Run

if TYPE_CHECKING:
    from napari.components import ViewerModel

logger = logging.getLogger(__name__)

PLUGIN, DOCK = "napari-baryir", "Degradation map"

LINK = "#5b9bd5"
"""Colour of the link: Qt's own is too dark on napari's dark themes."""

MOST = 1024
"""Side of the part that is looked at, in pixels: a line is not worth a minute."""


class SummaryLine(QLabel):
    """Hidden unless the model is calibrated.

    Looking costs about half as much as restoring the plane, waits behind other runs, and gives way
    to the next restoration.
    """

    def __init__(
        self, viewer: ViewerModel, session: RestoreSession, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self.run: Run | None = None
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setToolTip(
            "What the model sees in the original: the plane in view, of large planes the middle. "
            "The Degradation map dock shows where."
        )
        self.linkActivated.connect(self._open_dock)
        self.hide()
        session.finished.connect(self.look)
        session.changed.connect(self._on_session)

    def look(self, result: Result) -> None:
        """Look at what was restored, in the background."""
        self.stop()
        record = layers.record_of(result.layer)
        if record is None or not _is_calibrated(record["settings"]["model"]):
            self.hide()
            return
        run = Run(
            estimate_steps(_job(self._viewer, result, record["settings"])),
            f"Looking at {result.source.name}",
        )
        run.ended.connect(self._on_ended)
        self.run = run
        self.setText("Looking at what was wrong…")
        self.show()
        run_queue().submit(run)

    def stop(self) -> None:
        """Stop looking."""
        if self.run is not None:
            self.run.cancel()

    def _on_session(self) -> None:
        """Give way to another run, and go away with the result."""
        if self._session.run is not None or self._session.comparison.result is None:
            self.stop()
            self.hide()

    def _on_ended(self) -> None:
        run = self.sender()
        if run is not self.run or self.run is None:
            return
        outcome, self.run = self.run.outcome, None
        if isinstance(outcome, Estimated):
            summary = outcome.maps.summary((None,) * len(outcome.maps.outer))
            self.setText(_sentence(summary))
            self.setVisible(summary is not None)
            return
        if isinstance(outcome, Failed):
            # The restoration went well; that this did not is no reason to trouble anybody.
            logger.warning("no summary: %s", outcome.error)
        self.hide()

    def _open_dock(self, _: str) -> None:
        window = getattr(self._viewer, "window", None)
        if window is not None:
            window.add_plugin_dock_widget(PLUGIN, DOCK)


def _is_calibrated(model: str) -> bool:
    """Whether a model's estimates can be read; looks at the head of its file only."""
    from napari_baryir.weights.header import read_header
    from napari_baryir.weights.registry import find_weights

    try:
        return bool(read_header(find_weights(model)).calibration)
    except BaryIRError:  # gone since, or never in a file
        return False


def _job(viewer: ViewerModel, result: Result, settings: dict[str, Any]) -> EstimateJob:
    """Look at the plane in view, with the model and the intensities of the restoration."""
    data = result.originals[0]
    place = iter(plane_in_view(viewer, result.source, result.axes, result.box))
    intensity = settings["intensity"]
    slices = []
    for letter, length in zip(result.axes, data.shape, strict=True):
        start, stop = 0, int(length)
        if letter in "YX":
            start = max(0, (stop - MOST) // 2)
            stop = min(stop, start + MOST)
        elif letter != "S":
            start = next(place) or 0
            stop = start + 1
        if letter == "C" and len(intensity) > 1:
            intensity = intensity[start:stop]
        slices.append(slice(start, stop))
    return EstimateJob(
        data=data,
        axes=result.axes,
        box=Box(tuple(slices), whole=False),
        settings=EstimateSettings(
            model=settings["model"],
            device=settings["device"],
            precision=settings["precision"],
            intensity=intensity,
        ),
        lazy="memory",
    )


def _sentence(summary: PlaneSummary | None) -> str:
    if summary is None:
        return ""
    clean = summary.shares.get(CLEAN, 0.0)
    wrong = {domain: share for domain, share in summary.shares.items() if domain != CLEAN}
    link = f'<a href="map" style="color: {LINK}">Map…</a>'
    if clean >= 0.5:
        return f"The original looked clean ({percent(clean)}). {link}"
    return f"What was wrong: {in_words(wrong)}; severity {summary.severity:.2f} of 1. {link}"
