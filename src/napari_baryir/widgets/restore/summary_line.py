"""A line in the Restore dock: what was wrong with what was just restored, and what still is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_baryir.domains import CLEAN
from napari_baryir.errors import BaryIRError
from napari_baryir.widgets.dock.opening import open_dock
from napari_baryir.widgets.dock.run import Run, run_queue
from napari_baryir.widgets.estimate.job import (
    Estimated,
    EstimateJob,
    EstimateSettings,
    estimate_steps,
)
from napari_baryir.widgets.estimate.legend import in_words, percent
from napari_baryir.widgets.estimate.maps import PlaneSummary
from napari_baryir.widgets.restore.compare import Result
from napari_baryir.widgets.restore.job import Failed
from napari_baryir.widgets.restore.session import RestoreSession
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box, plane_in_view

if TYPE_CHECKING:
    from napari.components import ViewerModel

logger = logging.getLogger(__name__)

MAP, AGAIN = "map", "again"
"""What the links lead to."""

LINK = "#5b9bd5"
"""Colour of the link: Qt's own is too dark on napari's dark themes."""

LEAST_LEFT = 0.1
"""Severity below which it is not worth while to restore once more."""

HIDDEN = 0.1
"""Share in the original below which a degradation of the result was hidden by another one."""

RENEW_MS = 500
"""Pause of the strength slider, milliseconds, after which the result is looked at once more."""

MOST = 1024
"""Side of the part that is looked at, in pixels: a line is not worth a minute."""


class SummaryLine(QLabel):
    """Hidden unless the model is calibrated.

    Looking costs about half as much as restoring the plane, once for the original and once for the
    result, waits behind other runs, and gives way to the next restoration.
    """

    again = Signal()
    """The result is to be restored once more."""

    def __init__(
        self, viewer: ViewerModel, session: RestoreSession, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._result: Result | None = None
        self._told = ""  # of the original
        self._before: PlaneSummary | None = None  # of the original
        self._place: tuple[int | None, ...] = ()  # of the plane that is looked at
        self._renew = QTimer(self)
        self._renew.setSingleShot(True)
        self._renew.setInterval(RENEW_MS)
        self._renew.timeout.connect(self._look_at_result)
        self.run: Run | None = None
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setToolTip(
            "What the model sees in the original and then in the result: the plane in view, of "
            "large planes the middle. The Degradation map dock shows where. Of two degradations "
            "on top of each other, the second often comes to light only when the first is gone."
        )
        self.linkActivated.connect(self._on_link)
        self.hide()
        session.finished.connect(self.look)
        session.changed.connect(self._on_session)
        session.comparison.settled.connect(self._on_strength)

    def look(self, result: Result) -> None:
        """Look at what was restored, in the background."""
        self.stop()
        record = layers.record_of(result.layer)
        if record is None or not _is_calibrated(record["settings"]["model"]):
            self.hide()
            return
        self._result, self._told = result, ""
        self._place = plane_in_view(self._viewer, result.source, result.axes, result.box)
        self.setText("Looking at what was wrong…")
        self.show()
        self._look_at(result, result.originals[0], record["settings"])

    def stop(self) -> None:
        """Stop looking."""
        self._renew.stop()
        if self.run is not None:
            self.run.cancel()

    def _look_at(self, result: Result, data: Any, settings: dict[str, Any]) -> None:
        job = _job(result.axes, self._place, data, settings)
        self.run = Run(estimate_steps(job), f"Looking at {result.source.name}")
        self.run.ended.connect(self._on_ended)
        run_queue().submit(self.run)

    def _on_session(self) -> None:
        """Give way to another run, and go away with the result."""
        if self._session.run is not None or self._session.comparison.result is None:
            self.stop()
            self.hide()

    def _on_strength(self) -> None:
        """What is left is another question now."""
        if self._told and self._result is self._session.comparison.result:
            self.stop()
            self.setText(self._told)
            self._renew.start()

    def _look_at_result(self) -> None:
        """As its layer is now, unless that is the original; lazy ones would be restored for it."""
        result = self._result
        if result is None or result.seen or result.strength == 0 or not self._told:
            return
        record = layers.record_of(result.layer)
        if record is not None:
            self._look_at(result, layers.levels(result.layer)[0], record["settings"])

    def _on_ended(self) -> None:
        run = self.sender()
        if run is not self.run or self.run is None:
            return
        outcome, self.run = self.run.outcome, None
        if isinstance(outcome, Estimated):
            self._tell(outcome.maps.summary((None,) * len(outcome.maps.outer)))
            return
        if isinstance(outcome, Failed):
            # The restoration went well; that this did not is no reason to trouble anybody.
            logger.warning("no summary: %s", outcome.error)
        if not self._told:
            self.hide()

    def _tell(self, summary: PlaneSummary | None) -> None:
        """Of the original, and then of the result."""
        if self._told:
            self.setText(f"{self._told}<br>{_left(summary, self._before)}")
            return
        text = _sentence(summary)
        self.setText(text)
        self.setVisible(summary is not None)
        if summary is not None and not _is_clean(summary):
            self._told, self._before = text, summary
            self._look_at_result()

    def _on_link(self, link: str) -> None:
        if link == AGAIN:
            self.again.emit()
        else:
            open_dock(self._viewer, "Degradation map")


def _is_calibrated(model: str) -> bool:
    """Whether a model's estimates can be read; looks at the head of its file only."""
    from napari_baryir.weights.header import read_header
    from napari_baryir.weights.registry import find_weights

    try:
        return bool(read_header(find_weights(model)).calibration)
    except BaryIRError:  # gone since, or never in a file
        return False


def _job(
    axes: str, plane: tuple[int | None, ...], data: Any, settings: dict[str, Any]
) -> EstimateJob:
    """Look at a plane, with the model and the intensities of the restoration."""
    place = iter(plane)
    intensity = settings["intensity"]
    slices = []
    for letter, length in zip(axes, data.shape, strict=True):
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
        axes=axes,
        box=Box(tuple(slices), whole=False),
        settings=EstimateSettings(
            model=settings["model"],
            device=settings["device"],
            precision=settings["precision"],
            intensity=intensity,
        ),
        lazy="memory",
    )


def _is_clean(summary: PlaneSummary) -> bool:
    return summary.shares.get(CLEAN, 0.0) >= 0.5


def _sentence(summary: PlaneSummary | None) -> str:
    """Of the original."""
    if summary is None:
        return ""
    link = _link(MAP, "Map…")
    if _is_clean(summary):
        return f"The original looked clean ({percent(summary.shares[CLEAN])}). {link}"
    return f"What was wrong: {_figures(summary)}. {link}"


def _left(summary: PlaneSummary | None, before: PlaneSummary | None) -> str:
    """Of the result; `before` is of the original, which may have hidden something."""
    if summary is None or _is_clean(summary) or summary.severity < LEAST_LEFT:
        return "Another run is unlikely to help."
    hidden = before is not None and before.shares.get(_worst(summary), 0.0) < HIDDEN
    words = "Came to light" if hidden else "Still there"
    return f"{words}: {_figures(summary)}. {_link(AGAIN, 'Restore again')}"


def _worst(summary: PlaneSummary) -> str:
    """The domain with the largest share, clean apart."""
    wrong = {domain: share for domain, share in summary.shares.items() if domain != CLEAN}
    return max(wrong, key=wrong.__getitem__, default=CLEAN)


def _figures(summary: PlaneSummary) -> str:
    wrong = {domain: share for domain, share in summary.shares.items() if domain != CLEAN}
    return f"{in_words(wrong)}; severity {summary.severity:.2f} of 1"


def _link(target: str, text: str) -> str:
    return f'<a href="{target}" style="color: {LINK}">{text}</a>'
