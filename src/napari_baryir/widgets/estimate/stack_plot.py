"""Severity and domains along an axis of a stack: a bar per plane, to be clicked.

Qt draws 200 bars of 5 colours in 5 ms; matplotlib takes 500 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_baryir.domains import CLEAN, colors_of, hex_of
from napari_baryir.widgets.dock.controls import faint
from napari_baryir.widgets.estimate.legend import in_words
from napari_baryir.widgets.estimate.maps import PlaneSummary

LEFT, RIGHT, TOP, BOTTOM = 34, 6, 32, 20
"""Margins around the bars, in pixels."""

STEPS = (0.1, 0.2, 0.5, 1.0)
"""Severities that the top of the plot may have."""


class StackPlot(QWidget):
    """A bar per plane: as high as the plane is severe, coloured by its domains but clean."""

    picked = Signal(int)
    """A plane was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self.current = 0
        self.only: str | None = None
        self._letter = ""
        self._planes: Sequence[PlaneSummary | None] = ()
        self.highest = 1.0
        """Severity at the top of the plot."""
        self._colors: dict[str, QColor] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(
            "Height: mean severity of a plane. Colours: shares of what is wrong. Click to go there."
        )

    def sizeHint(self) -> QSize:
        """Return a low size; the width follows the dock."""
        return QSize(260, 146)

    def set_planes(
        self, letter: str, planes: Sequence[PlaneSummary | None], domains: Sequence[str]
    ) -> None:
        """Draw these planes along the axis of that letter; None for planes not known yet."""
        self._letter = letter
        self._planes = planes
        most = max((plane.severity for plane in planes if plane is not None), default=0.0)
        self.highest = next((step for step in STEPS if most <= step), 1.0)
        self._colors = {d: QColor(hex_of(color)) for d, color in colors_of(domains).items()}
        self.update()

    def set_current(self, plane: int) -> None:
        """Mark the plane in view."""
        self.current = plane
        self.update()

    def set_only(self, domain: str | None) -> None:
        """Draw only the part of one domain, or of all."""
        self.only = domain
        self.update()

    def plane_at(self, x: float) -> int:
        """Return the plane whose bar is at a horizontal position, in pixels."""
        area = self._area()
        number = int((x - area.left()) / max(area.width(), 1) * len(self._planes))
        return min(max(number, 0), max(len(self._planes) - 1, 0))

    def bar(self, plane: int) -> QRectF:
        """Return the column of a plane's bar, up to the highest severity."""
        area = self._area()
        width = area.width() / max(len(self._planes), 1)
        return QRectF(area.left() + plane * width, area.top(), width, area.height())

    def _area(self) -> QRectF:
        return QRectF(self.rect()).adjusted(LEFT, TOP, -RIGHT, -BOTTOM)

    def paintEvent(self, _: Any) -> None:
        """Draw axes, bars and the mark of the plane in view."""
        if not self._planes:
            return
        painter = QPainter(self)
        text = self.palette().color(self.foregroundRole())
        self._draw_axes(painter, text)
        # Not more bars than pixels, each for the plane below it.
        columns = min(len(self._planes), max(1, int(self._area().width())))
        for column in range(columns):
            self._draw_plane(painter, int(column * len(self._planes) / columns), text)
        self._draw_mark(painter, text)
        painter.end()

    def _draw_axes(self, painter: QPainter, text: QColor) -> None:
        area = self._area()
        for share in (0.0, 0.5, 1.0):
            y = area.bottom() - share * area.height()
            painter.setPen(QPen(faint(text, 60), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            painter.drawText(
                QRectF(0, y - 10, LEFT - 5, 20),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                f"{share * self.highest:.2g}",
            )
        caption = QRectF(0, 0, self.width(), TOP - 14)
        painter.drawText(caption, Qt.AlignmentFlag.AlignLeft, "mean severity of each plane")
        below = QRectF(area.left(), area.bottom() + 2, area.width(), BOTTOM - 2)
        for side, label in (
            (Qt.AlignmentFlag.AlignLeft, "0"),
            (Qt.AlignmentFlag.AlignHCenter, f"{self._letter} {self.current}"),
            (Qt.AlignmentFlag.AlignRight, str(len(self._planes) - 1)),
        ):
            painter.drawText(below, side | Qt.AlignmentFlag.AlignTop, label)

    def _draw_plane(self, painter: QPainter, number: int, text: QColor) -> None:
        bar = self.bar(number)
        gap = 1.0 if bar.width() >= 4 else 0.0
        bar = QRectF(bar.left(), bar.top(), max(bar.width() - gap, 1.0), bar.height())
        plane = self._planes[number]
        if plane is None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QBrush(faint(text, 70), Qt.BrushStyle.BDiagPattern))
            painter.drawRect(bar)
            return
        height = bar.height() * min(plane.severity / self.highest, 1.0)
        bottom = bar.bottom()
        for domain, share in self._parts(plane):
            part = QRectF(bar.left(), bottom - height * share, bar.width(), height * share)
            painter.fillRect(part, self._colors[domain])
            bottom -= height * share

    def _parts(self, plane: PlaneSummary) -> list[tuple[str, float]]:
        """Return the domains of a bar from the bottom up, with their parts of its height."""
        wrong = {d: plane.shares.get(d, 0.0) for d in self._colors if d != CLEAN}
        total = sum(wrong.values())
        parts = [(d, share / total) for d, share in wrong.items()] if total > 1e-6 else []
        if self.only is None:
            return parts or [(CLEAN, 1.0)]
        return [(d, share) for d, share in parts if d == self.only]

    def _draw_mark(self, painter: QPainter, text: QColor) -> None:
        here = self.bar(self.current)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(text, 1))
        if here.width() >= 6:
            painter.drawRect(here.adjusted(-0.5, -1, -0.5, 0))
        else:
            painter.drawLine(
                QPointF(here.center().x(), here.top()), QPointF(here.center().x(), here.bottom())
            )
        tip = QPointF(here.center().x(), here.top() - 2)
        painter.setBrush(text)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.drawPolygon(QPolygonF([tip, tip + QPointF(-5, -8), tip + QPointF(5, -8)]))

    def mouseMoveEvent(self, event: Any) -> None:
        """Go to the plane that is clicked, or dragged to."""
        if event.buttons() & Qt.MouseButton.LeftButton and self._planes:
            self.picked.emit(self.plane_at(event.position().x()))

    mousePressEvent = mouseMoveEvent

    def keyPressEvent(self, event: Any) -> None:
        """Arrow keys go from plane to plane."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None or not self._planes:
            super().keyPressEvent(event)
            return
        self.picked.emit(min(max(self.current + step, 0), len(self._planes) - 1))

    def event(self, event: Any) -> bool:
        """Describe the plane under the cursor."""
        if event.type() == QEvent.Type.ToolTip and self._planes:
            number = self.plane_at(event.pos().x())
            QToolTip.showText(event.globalPos(), self._describe(number), self)
            return True
        return bool(super().event(event))

    def _describe(self, number: int) -> str:
        plane = self._planes[number]
        if plane is None:
            return f"{self._letter} {number}: not looked at yet; go there to see it"
        shares = in_words(plane.shares)
        return f"{self._letter} {number}: {shares}; severity {plane.severity:.2f}"
