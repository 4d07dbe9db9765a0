"""A training as it goes: scores on the validation images above, the loss below.

Qt draws 1,500 steps in 16 ms, several times a second while the training needs the processor.
matplotlib takes 80 ms for the same plot, and 0.4 s to import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_baryir.widgets.dock.controls import faint
from napari_baryir.widgets.finetune.history import History

LEFT, RIGHT, TITLE, BOTTOM, GAP = 52, 8, 18, 20, 10
"""Margins, in pixels; each of the two plots has a title above it."""
SCORE_SHARE = 0.58
"""Share of the height that the scores take."""

SCORE, LOSS, BEST = "#56b4e9", "#e69f00", "#2fc08a"
"""Colours that colour-blind eyes can distinguish (Okabe and Ito)."""

SMOOTHING = 0.9
"""Memory of the drawn loss: single steps scatter too much to show a trend."""

LEAST_RANGE = 0.5
"""Least range of the scores' axis, in dB: small differences stay small."""


class FinetunePlot(QWidget):
    """Draws a `History`; a tooltip describes the step under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._history = History()
        self._smooth: dict[int, float] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return a fixed height; the width follows the dock."""
        return QSize(260, 210)

    def show_history(self, history: History) -> None:
        """Draw a history."""
        self._history = history
        self._smooth = smoothed(history.losses)
        self.update()

    @property
    def last_step(self) -> int:
        """The step at the right end: past the last one, so that the curves do not jump often."""
        history = self._history
        done = max([history.step, *history.scores, *history.losses, 1])
        room = 4 * max(history.validate_every, 1)
        while room < done:
            room *= 2
        return min(room, max(history.steps, done))

    def areas(self) -> tuple[QRectF, QRectF]:
        """Return where scores and loss are drawn."""
        inside = QRectF(self.rect()).adjusted(LEFT, TITLE, -RIGHT, -BOTTOM)
        height = inside.height() - GAP - TITLE
        scores = QRectF(inside.left(), inside.top(), inside.width(), SCORE_SHARE * height)
        top = scores.bottom() + GAP + TITLE
        return scores, QRectF(inside.left(), top, inside.width(), inside.bottom() - top)

    def paintEvent(self, _: Any) -> None:
        """Draw both plots."""
        if not self._history.scores and not self._history.losses:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(self.foregroundRole())
        above, below = self.areas()
        self._draw_scores(painter, above, text)
        self._draw_losses(painter, below, text)
        self._draw_steps(painter, below, text)
        painter.end()

    def _draw_scores(self, painter: QPainter, area: QRectF, text: QColor) -> None:
        history = self._history
        before = history.scores.get(0)
        values = list(history.scores.values())
        low, high = _range(values, LEAST_RANGE)
        _draw_frame(painter, area, text, (low, high), "PSNR of your validation images, dB")
        if before is not None:
            painter.setPen(QPen(text, 1, Qt.PenStyle.DashLine))
            y = _height(before, low, high, area)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            rather_low = y > area.center().y()
            label = QRectF(area.left(), y - 17 if rather_low else y + 1, area.width() - 3, 16)
            painter.drawText(label, Qt.AlignmentFlag.AlignRight, "starting model")
        points = self._points(history.scores, low, high, area)
        painter.setPen(QPen(QColor(SCORE), 2))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(SCORE))
        for point in points:
            painter.drawEllipse(point, 2.5, 2.5)
        if history.best_step and history.best_step in history.scores:
            self._draw_best(painter, area, (low, high))

    def _draw_best(self, painter: QPainter, area: QRectF, limits: tuple[float, float]) -> None:
        step = self._history.best_step
        point = QPointF(self._x(step, area), _height(self._history.scores[step], *limits, area))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(BEST), 2))
        painter.drawEllipse(point, 6.0, 6.0)

    def _draw_losses(self, painter: QPainter, area: QRectF, text: QColor) -> None:
        losses = self._history.losses
        # Without outliers, which would flatten the rest of the curve.
        low, high = _range(list(losses.values()), 0.0, outliers=True)
        _draw_frame(painter, area, text, (low, high), "loss: log of the squared error")
        painter.setClipRect(area.adjusted(0, -1, 0, 1))
        painter.setPen(QPen(faint(QColor(LOSS), 80), 1))
        painter.drawPolyline(QPolygonF(self._points(losses, low, high, area)))
        painter.setPen(QPen(QColor(LOSS), 2))
        painter.drawPolyline(QPolygonF(self._points(self._smooth, low, high, area)))
        painter.setClipping(False)

    def _draw_steps(self, painter: QPainter, area: QRectF, text: QColor) -> None:
        painter.setPen(text)
        below = QRectF(area.left(), area.bottom() + 2, area.width(), BOTTOM - 2)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "step")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, str(self.last_step))

    def _points(
        self, values: Mapping[int, float], low: float, high: float, area: QRectF
    ) -> list[QPointF]:
        """Return a point per value, but not more than there are pixels to draw them in."""
        steps = sorted(values)
        stride = max(1, len(steps) // max(int(area.width()), 1))
        chosen = steps[::stride] + (steps[-1:] if steps and (len(steps) - 1) % stride else [])
        return [
            QPointF(self._x(step, area), _height(values[step], low, high, area)) for step in chosen
        ]

    def _x(self, step: int, area: QRectF) -> float:
        return float(area.left() + step / self.last_step * area.width())

    def event(self, event: Any) -> bool:
        """Describe the step under the cursor."""
        if event.type() == QEvent.Type.ToolTip:
            area, _ = self.areas()
            share = (event.pos().x() - area.left()) / max(area.width(), 1.0)
            text = self.describe(round(share * self.last_step))
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def describe(self, step: int) -> str:
        """Return the nearest validation, and the loss there, in words."""
        history = self._history
        if not history.scores:
            return "PSNR on images that are never trained on; higher is better."
        nearest = min(history.scores, key=lambda known: abs(known - step))
        score = history.scores[nearest]
        text = f"step {nearest}: {score:.2f} dB"
        if 0 in history.scores and nearest:
            text += f", {score - history.scores[0]:+.2f} dB over the starting model"
        if nearest == history.best_step and nearest:
            text += "; this one is kept"
        if self._smooth and nearest:
            near = min(self._smooth, key=lambda known: abs(known - nearest))
            text += f"\nloss {self._smooth[near]:.3f}"
        return text


def smoothed(values: Mapping[int, float]) -> dict[int, float]:
    """Return the running mean of memory `SMOOTHING`, without a bias to the first values."""
    mean, weight, out = 0.0, 0.0, {}
    for step in sorted(values):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * values[step]
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        out[step] = mean / weight
    return out


def _range(values: list[float], least: float, *, outliers: bool = False) -> tuple[float, float]:
    """Return limits with some room around the values."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return 0.0, 1.0
    cut = len(finite) // 50 if outliers else 0
    low, high = finite[cut], finite[-1 - cut]
    room = max(0.08 * (high - low), (least - (high - low)) / 2, 1e-3)
    return low - room, high + room


def _height(value: float, low: float, high: float, area: QRectF) -> float:
    return float(area.bottom() - (value - low) / (high - low) * area.height())


def _draw_frame(
    painter: QPainter, area: QRectF, text: QColor, limits: tuple[float, float], title: str
) -> None:
    """Draw the title, and a line with its value for each limit."""
    painter.setPen(text)
    above = QRectF(0, area.top() - TITLE, area.right(), TITLE - 2)
    painter.drawText(above, Qt.AlignmentFlag.AlignLeft, title)
    span = limits[1] - limits[0]
    digits = max(0, min(3, 1 - math.floor(math.log10(span))))
    for value, y in ((limits[1], area.top()), (limits[0], area.bottom())):
        painter.setPen(QPen(faint(text, 60), 1))
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        painter.setPen(text)
        inward = 0.0 if value == limits[1] else -16.0
        beside = QRectF(0, y + inward, LEFT - 5, 16)
        painter.drawText(beside, Qt.AlignmentFlag.AlignRight, f"{value:.{digits}f}")
