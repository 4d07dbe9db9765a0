"""The legend of a domain map, which is its bar chart as well: a row per domain, to be clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QPainter, QPen
from qtpy.QtWidgets import QAbstractButton, QSizePolicy, QVBoxLayout, QWidget

from napari_baryir.domains import CLEAN, UNKNOWN, colors_of, hex_of

SWATCH = 12
"""Side of a colour's square, in pixels."""
GAP = 6


class LegendRow(QAbstractButton):
    """Colour, name, bar and percentage of one domain; checked while it is shown alone."""

    def __init__(self, domain: str, color: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.domain = domain
        self.share: float | None = None
        self.faded = False
        self._color = QColor(color)
        self.setText(domain)
        self.setCheckable(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        meanings = {
            CLEAN: "Nothing wrong: transparent in the map.",
            UNKNOWN: "Something is wrong, but nothing that the model was trained on.",
        }
        meaning = meanings.get(domain, "The fainter its colour in the map, the milder it is there.")
        self.setToolTip(f"{meaning} Click to see only {domain} in the map.")

    def sizeHint(self) -> QSize:
        """Return the size of a line of text with some air."""
        text = self.fontMetrics()
        return QSize(text.horizontalAdvance("background 100 %") + 100, text.height() + 8)

    def minimumSizeHint(self) -> QSize:
        """The bar may become short."""
        return QSize(140, self.sizeHint().height())

    def paintEvent(self, _: Any) -> None:
        """Draw the row."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(0.4 if self.faded else 1.0)
        text = self.palette().color(self.foregroundRole())
        row = QRectF(self.rect())
        if self.isChecked() or self.underMouse() or self.hasFocus():
            wash = QColor(text)
            wash.setAlpha(40 if self.isChecked() else 18)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(wash)
            painter.drawRoundedRect(row, 3, 3)
        self._draw_swatch(painter, row)
        painter.setPen(text)
        name = row.adjusted(SWATCH + 2 * GAP, 0, 0, 0)
        painter.drawText(name, Qt.AlignmentFlag.AlignVCenter, self.domain)
        self._draw_bar(painter, row, text)
        painter.end()

    def _draw_swatch(self, painter: QPainter, row: QRectF) -> None:
        swatch = QRectF(GAP, row.center().y() - SWATCH / 2, SWATCH, SWATCH)
        if self.domain == CLEAN:  # transparent in the map
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._color, 1, Qt.PenStyle.DotLine))
        else:
            painter.setBrush(self._color)
            painter.setPen(Qt.PenStyle.NoPen)
        painter.drawRoundedRect(swatch.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)

    def _draw_bar(self, painter: QPainter, row: QRectF, text: QColor) -> None:
        metrics = self.fontMetrics()
        left = SWATCH + 3 * GAP + metrics.horizontalAdvance("background")
        right = metrics.horizontalAdvance("100 %") + GAP
        trough = row.adjusted(left, 0, -right - GAP, 0)
        trough = QRectF(trough.left(), row.center().y() - 4, max(trough.width(), 0), 8)
        faint = QColor(text)
        faint.setAlpha(30)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(faint)
        painter.drawRoundedRect(trough, 2, 2)
        if self.share is None:
            return
        bar = QRectF(trough)
        bar.setWidth(trough.width() * self.share)
        styles = Qt.BrushStyle
        hollow = self.domain == CLEAN
        style = styles.Dense5Pattern if hollow else styles.SolidPattern
        painter.setBrush(QBrush(self._color, style))
        painter.drawRoundedRect(bar, 2, 2)
        painter.setPen(text)
        number = row.adjusted(row.width() - right, 0, -GAP, 0)
        aligned = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(number, aligned, percent(self.share))


class Legend(QWidget):
    """A row per domain; clicking one shows it alone, clicking it again shows all."""

    only_changed = Signal(object)
    """The domain to show alone, or None."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, LegendRow] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)

    @property
    def only(self) -> str | None:
        """The domain that is shown alone."""
        return next((d for d, row in self.rows.items() if row.isChecked()), None)

    def set_domains(self, domains: Sequence[str], only: str | None = None) -> None:
        """Have a row for each of these."""
        if list(domains) != list(self.rows):
            for row in self.rows.values():
                self._layout.removeWidget(row)
                row.setParent(None)
                row.deleteLater()
            colors = colors_of(domains)
            self.rows = {d: LegendRow(d, hex_of(colors[d]), self) for d in domains}
            for row in self.rows.values():
                row.clicked.connect(self._on_clicked)
                self._layout.addWidget(row)
        self._mark(only)

    def set_shares(self, shares: Mapping[str, float] | None) -> None:
        """Set the bars; None where they are not known yet."""
        for domain, row in self.rows.items():
            row.share = None if shares is None else shares.get(domain, 0.0)
            row.update()

    def _on_clicked(self, checked: bool) -> None:
        row = self.sender()
        self._mark(row.domain if checked else None)
        self.only_changed.emit(self.only)

    def _mark(self, only: str | None) -> None:
        for domain, row in self.rows.items():
            row.setChecked(domain == only)
            row.faded = only is not None and domain != only
            row.update()


def percent(share: float) -> str:
    """Return a share as people read it."""
    if 0 < share < 0.01:
        return "<1 %"
    return f"{round(100 * share)} %"


def in_words(shares: Mapping[str, float], least: float = 0.05) -> str:
    """Return shares as in "haze 62 %, noise 30 %", those worth naming."""
    named = [f"{d} {percent(share)}" for d, share in shares.items() if share >= least]
    return ", ".join(named) or "nothing stands out"
