"""The table of a batch: one row per image, with its state and what there is to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_baryir.widgets.batch_run import Item, State, Update
from napari_baryir.widgets.errors import Problem

COLUMNS = ("Image", "State", "Result")
IMAGE, STATE, RESULT = range(len(COLUMNS))


@dataclass
class Row:
    """What is known of one image."""

    state: State
    text: str = ""
    problem: Problem | None = None


class BatchTable(QTableWidget):
    """Images and what has become of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.rows: list[Row] = []
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(IMAGE, QHeaderView.ResizeMode.Stretch)
        # Not to the contents, which would measure every row whenever one changes.
        self.setColumnWidth(STATE, self.fontMetrics().horizontalAdvance("running 100%xx"))
        header.setSectionResizeMode(RESULT, QHeaderView.ResizeMode.Stretch)

    def show_items(self, items: Sequence[Item], *, again: bool = False) -> None:
        """List images that wait, or that were done before."""
        self.rows = [
            Row(State.DONE, item.outcome()) if item.is_done() and not again else Row(State.WAITING)
            for item in items
        ]
        self.setRowCount(len(items))
        for number, item in enumerate(items):
            name = QTableWidgetItem(item.name)
            name.setToolTip(item.name)
            self.setItem(number, IMAGE, name)
            for column in (STATE, RESULT):
                self.setItem(number, column, QTableWidgetItem())
            self._draw(number)

    def show_update(self, update: Update) -> None:
        """Show news of one image."""
        row = Row(update.state, update.text, update.problem)
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
        """How many images are in a state."""
        return sum(row.state is state for row in self.rows)

    def chosen_problem(self) -> Problem | None:
        """What is wrong with the selected image."""
        number = self.currentRow()
        return self.rows[number].problem if 0 <= number < len(self.rows) else None

    def _draw(self, number: int) -> None:
        row = self.rows[number]
        running = row.state is State.RUNNING
        state, result = self.item(number, STATE), self.item(number, RESULT)
        state.setText(f"{row.state.value} {row.text}".strip() if running else row.state.value)
        result.setText("" if running else row.text)
        result.setToolTip("" if running else row.text)
