"""The legend and bar chart of a domain map: a row per domain, to be clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QGraphicsOpacityEffect,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_baryir.domains import CLEAN, UNKNOWN, colors_of, hex_of

SWATCH = 12
"""Side of a colour's square, in pixels."""

MEANINGS = {
    CLEAN: "Nothing wrong: transparent in the map.",
    UNKNOWN: "Something is wrong, but nothing that the model was trained on.",
}


class LegendRow(QPushButton):
    """Colour, name, bar and percentage of one domain; checked while it is shown alone."""

    def __init__(self, domain: str, color: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.domain = domain
        self.share: float | None = None
        self.setAccessibleName(domain)
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        meaning = MEANINGS.get(domain, "The fainter its colour in the map, the milder it is there.")
        self.setToolTip(f"{meaning} Click to see only {domain} in the map.")
        swatch, name, self._bar, self._number = QLabel(), QLabel(domain), QProgressBar(), QLabel()
        # Clean is transparent in the map.
        fill = f"border: 1px dotted {color}" if domain == CLEAN else f"background: {color}"
        swatch.setFixedSize(SWATCH, SWATCH)
        swatch.setStyleSheet(f"{fill}; border-radius: 2px;")
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(8)
        self._bar.setMinimumWidth(30)
        self._bar.setStyleSheet(f"QProgressBar::chunk {{ {fill}; }}")
        self.ensurePolished()  # in the font of the window
        measure = self.fontMetrics().horizontalAdvance
        name.setMinimumWidth(measure("background   "))
        self._number.setAlignment(Qt.AlignmentFlag.AlignRight)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 3, 6, 3)
        for each in (swatch, name, self._bar, self._number):
            each.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            row.addWidget(each)
        row.setStretchFactor(self._bar, 1)
        # A button is never narrower than its hint; bars are what can give way.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the size of the row's widgets; a button would return that of its text."""
        return self.layout().sizeHint()

    def minimumSizeHint(self) -> QSize:
        """Return the size with the shortest bar."""
        return self.layout().minimumSize()

    def set_share(self, share: float | None) -> None:
        """Set bar and percentage; None where they are not known yet."""
        self.share = share
        self._bar.setValue(round(100 * (share or 0.0)))
        self._number.setText(percent(1.0))  # as wide as the longest, so that the bars line up
        self._number.setMinimumWidth(self._number.sizeHint().width())
        self._number.setText("" if share is None else percent(share))

    def fade(self, faded: bool) -> None:
        """Draw the row faintly while another domain is shown alone."""
        effect = QGraphicsOpacityEffect(self)
        effect.setOpacity(0.4)
        self.setGraphicsEffect(effect if faded else None)


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
        """Make a row for each of these."""
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
            row.set_share(None if shares is None else shares.get(domain, 0.0))

    def _on_clicked(self, checked: bool) -> None:
        row = self.sender()
        self._mark(row.domain if checked else None)
        self.only_changed.emit(self.only)

    def _mark(self, only: str | None) -> None:
        for domain, row in self.rows.items():
            row.setChecked(domain == only)
            row.fade(only not in (None, domain))


def percent(share: float) -> str:
    """Return a share in percent."""
    if 0 < share < 0.01:
        return "<1 %"
    return f"{round(100 * share)} %"


def in_words(shares: Mapping[str, float], least: float = 0.05) -> str:
    """Return the shares of at least `least`, as in "haze 62 %, noise 30 %"."""
    named = [f"{d} {percent(share)}" for d, share in shares.items() if share >= least]
    return ", ".join(named) or "nothing stands out"
