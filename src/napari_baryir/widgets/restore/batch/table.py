"""The table of a batch: one row per image, with its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_baryir.batch.run import State
from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.restore.batch.items import Item, Update

COLUMNS = ("Image", "State")
IMAGE, STATE = range(len(COLUMNS))


@dataclass
class Row:
    """The state of one image."""

    state: State
    text: str = ""
    problem: Problem | None = None
    unchanged: bool = False

    def __str__(self) -> str:
        if self.state is State.RUNNING:
            return f"{self.state.value} {self.text}".strip()
        if self.state is State.FAILED:
            return f"failed: {self.text}"
        return f"{self.state.value}{', practically unchanged' * self.unchanged}"


class BatchTable(QTableWidget):
    """A row for each image of a batch."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.rows: list[Row] = []
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.verticalHeader().setVisible(False)
        # Stretched: fitting the contents would measure every row whenever one changes.
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)

    def show_items(self, items: Sequence[Item], *, again: bool = False) -> None:
        """List images that wait, or that were done before."""
        self.rows = [
            Row(State.DONE, item.outcome) if item.is_done() and not again else Row(State.WAITING)
            for item in items
        ]
        self.setRowCount(len(items))
        for number, item in enumerate(items):
            name = QTableWidgetItem(item.name)
            name.setToolTip(item.name)
            self.setItem(number, IMAGE, name)
            self.setItem(number, STATE, QTableWidgetItem())
            self._draw(number)

    def show_update(self, update: Update) -> None:
        """Show news of one image."""
        row = Row(update.state, update.text, update.problem, update.unchanged)
        if self.rows[update.row].state is not row.state:
            self.scrollToItem(self.item(update.row, IMAGE))
        self.rows[update.row] = row
        self._draw(update.row)

    def stop_running(self) -> None:
        """Let the image in work wait again."""
        for number, row in enumerate(self.rows):
            if row.state is State.RUNNING:
                self.rows[number] = Row(State.WAITING)
                self._draw(number)

    def count(self, state: State) -> int:
        """Return how many images are in a state."""
        return sum(row.state is state for row in self.rows)

    def has_work(self) -> bool:
        """Return whether some image is not done."""
        return any(row.state is not State.DONE for row in self.rows)

    def summary(self) -> str:
        """Return how many images are in each state."""
        counts = [(self.count(state), state.value) for state in State]
        return ", ".join(f"{count} {name}" for count, name in counts if count)

    def chosen_text(self) -> str:
        """Return the path of the selected image's result, or its error."""
        number: int = self.currentRow()
        if not 0 <= number < len(self.rows) or self.rows[number].state is State.RUNNING:
            return ""
        problem = self.rows[number].problem
        if problem is None:
            return self.rows[number].text
        return f"{problem.sentence}\n\n{problem.details}".strip()

    def _draw(self, number: int) -> None:
        row, cell = self.rows[number], self.item(number, STATE)
        cell.setText(str(row))
        cell.setToolTip("" if row.state is State.RUNNING else row.text)
