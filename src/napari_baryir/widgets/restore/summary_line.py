"""A line in the Restore dock: the degradations of the image that was just restored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_baryir.errors import BaryIRError
from napari_baryir.restoration.results import is_little
from napari_baryir.widgets.dock.dock import open_dock
from napari_baryir.widgets.dock.run import Run, run_queue
from napari_baryir.widgets.dock.steps import Failed
from napari_baryir.widgets.estimate.job import Estimated, EstimateJob, estimate_steps
from napari_baryir.widgets.estimate.legend import in_words, percent
from napari_baryir.widgets.estimate.maps import PlaneSummary
from napari_baryir.widgets.restore.compare import Result
from napari_baryir.widgets.restore.session import RestoreSession
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box, plane_in_view

if TYPE_CHECKING:
    from napari.components import ViewerModel

logger = logging.getLogger(__name__)

LINK = '<a href="map" style="color: #5b9bd5">Map…</a>'
"""Opens the Degradation map dock. Qt's own colour of links is too dark on napari's dark themes."""

MOST = 1024
"""Side of the part that is estimated, in pixels: a line is not worth a minute."""


class SummaryLine(QLabel):
    """Hidden unless the model is calibrated. The estimate gives way to the next restoration."""

    def __init__(self, viewer: ViewerModel, session: RestoreSession) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.run: Run | None = None
        self._found: PlaneSummary | None = None
        self._change: float | None = None
        """How far the result at full strength is from the original."""
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setToolTip(
            "What the model sees in the original: the plane in view, of large planes the middle. "
            "The Degradation map dock shows where."
        )
        self.linkActivated.connect(self._on_link)
        self.hide()
        session.finished.connect(self.look)
        session.changed.connect(self._on_session)
        session.comparison.settled.connect(self._write)

    def look(self, result: Result) -> None:
        """Estimate the original of a result, in the background."""
        self.stop()
        record = layers.record_of(result.layer)
        if record is None or not _is_calibrated(record["settings"]["model"]):
            self.hide()
            return
        self._found, self._change = None, record.get("change")
        self.setText("Looking at what was wrong…")
        self.show()
        plane = plane_in_view(self._viewer, result.image_layer, result.axes, result.box)
        job = _job(result.axes, plane, result.originals[0], record["settings"])
        self.run = Run(estimate_steps(job), f"Looking at {result.image_layer.name}")
        self.run.ended.connect(self._on_ended)
        run_queue().submit(self.run)

    def stop(self) -> None:
        """Stop looking."""
        if self.run is not None:
            self.run.cancel()

    def _on_session(self) -> None:
        """Give way to another run, and go away with the result."""
        result = self._session.comparison.result
        in_the_way = self.run is not None and self._session.run is not None
        if in_the_way or result is None or result.is_preview:
            self.stop()
            self.hide()

    def _on_ended(self) -> None:
        run = self.sender()
        if run is not self.run or self.run is None:
            return
        outcome, self.run = self.run.outcome, None
        if isinstance(outcome, Failed):
            # Only logged, since the restoration went well.
            logger.warning("no summary: %s", outcome.error)
        if isinstance(outcome, Estimated):
            self._found = outcome.maps.summary((None,) * len(outcome.maps.outer))
        self.setVisible(self._found is not None)
        self._write()

    def _write(self) -> None:
        """Write what was found, and whether the strength in view leaves a change to speak of."""
        if self._found is not None:
            strength = self._session.comparison.strength
            little = self._change is not None and is_little(strength * self._change)
            self.setText(_sentence(self._found, little))

    def _on_link(self, _: str) -> None:
        open_dock(self._viewer, "Degradation map")


def _is_calibrated(model: str) -> bool:
    """Whether a model has a calibration; reads only the head of its file."""
    from napari_baryir.weights.header import read_header
    from napari_baryir.weights.registry import find_weights

    try:
        return bool(read_header(find_weights(model)).calibration)
    except BaryIRError:  # gone since, or never in a file
        return False


def _job(
    axes: str, plane: tuple[int | None, ...], data: Any, settings: dict[str, Any]
) -> EstimateJob:
    """Return the estimate of a plane, with the model and intensities of its restoration."""
    index = iter(plane)
    intensity = settings["intensity"]
    slices = []
    for letter, length in zip(axes, data.shape, strict=True):
        start, stop = 0, int(length)
        if letter in "YX":
            start = max(0, (stop - MOST) // 2)
            stop = min(stop, start + MOST)
        elif letter != "S":
            start = next(index) or 0
            stop = start + 1
        if letter == "C" and len(intensity) > 1:
            intensity = intensity[start:stop]
        slices.append(slice(start, stop))
    return EstimateJob(
        data=data,
        axes=axes,
        box=Box(tuple(slices), whole=False),
        settings={
            **{name: settings[name] for name in ("model", "device", "precision")},
            "intensity": intensity,
        },
        lazy="memory",
    )


def _sentence(summary: PlaneSummary, unchanged: bool) -> str:
    wrong = f"What was wrong: {in_words(summary.wrong)}; severity {summary.severity:.2f} of 1."
    if summary.clean >= 0.5:
        wrong = f"The original looked clean ({percent(summary.clean)})."
    done = "The result is practically unchanged. " if unchanged else ""
    return f"{wrong} {done}{LINK}"
