"""Which degradations to remove, and how much of each: check boxes and amounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSpinBox, QWidget

NONE_LEFT = "Nothing is to be removed; tick at least one degradation."
"""Why an image cannot be restored when no box is on, or all amounts are 0."""

WHAT = (
    "What to remove. Untick what should stay, for instance haze.\n"
    "Each degradation has its own directions of the residual (in the paper: residual subspaces)."
)
HOW_MUCH = "How much of each to remove: 100 % is all of it, 50 % leaves about half."


class Row(QWidget):
    """A control for `lay_out` that holds several widgets, in columns of equal width."""

    def __init__(self, label: str, columns: int) -> None:
        super().__init__()
        self.label = label
        self._columns = columns
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)

    @property
    def native(self) -> QWidget:
        """The widget that `lay_out` puts into the dock."""
        return self

    def refill(self, before: Iterable[QWidget], after: Iterable[QWidget]) -> None:
        """Put widgets in place of others, which go."""
        for widget in before:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        for number, widget in enumerate(after):
            self._grid.addWidget(widget, *divmod(number, self._columns))


class RemoveChoice(QObject):
    """One check box and one amount for each degradation that a model can remove by itself."""

    changed = Signal()
    """Something else is to be removed."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: dict[str, QCheckBox] = {}
        self.amounts: dict[str, QSpinBox] = {}
        """In percent."""
        self.row = Row("remove", columns=2)
        self.amounts_row = Row("amounts", columns=1)
        self.amounts_row.setToolTip(HOW_MUCH)
        self._everything = QLabel("whatever is there")
        self.row.refill((), [self._everything])

    @property
    def value(self) -> str | dict[str, float]:
        """The argument `remove` of `napari_baryir.restore`; empty where nothing is to go."""
        wanted = {
            name: self.amounts[name].value() / 100
            for name, box in self.boxes.items()
            if box.isChecked() and self.amounts[name].value()
        }
        return "auto" if wanted == dict.fromkeys(self.boxes, 1.0) else wanted

    def offer(self, names: Sequence[str], why_not: str) -> None:
        """Show a box for each name, all of them on; without names, have a tooltip say why not."""
        self._everything.setVisible(not names)
        self.row.setToolTip(WHAT if names else why_not)
        if tuple(names) == tuple(self.boxes):
            return
        boxes = {name: QCheckBox(name) for name in names}
        amounts = {name: _amount(name) for name in names}
        self.row.refill(self.boxes.values(), boxes.values())
        self.amounts_row.refill(self.amounts.values(), amounts.values())
        self.boxes, self.amounts = boxes, amounts
        self.reset()
        for box in boxes.values():
            box.toggled.connect(self._on_change)
        for amount in amounts.values():
            amount.valueChanged.connect(self._on_change)

    def reset(self) -> None:
        """Remove all of everything."""
        for box in self.boxes.values():
            box.setChecked(True)
        for amount in self.amounts.values():
            amount.setValue(100)
        self._on_change()

    def _on_change(self, *_: Any) -> None:
        for name, box in self.boxes.items():
            amount = self.amounts[name]
            amount.setEnabled(box.isChecked())
            # The amounts may be folded away.
            box.setText(name if amount.value() == 100 else f"{name} {amount.value()} %")
        self.changed.emit()


def _amount(name: str) -> QSpinBox:
    amount = QSpinBox()
    amount.setRange(0, 100)
    amount.setSingleStep(10)
    amount.setPrefix(f"{name}  ")
    amount.setSuffix(" %")
    amount.setAccessibleName(f"amount of {name}")
    return amount
