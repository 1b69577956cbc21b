"""The table of *Grouped split*: one row an image, its group and whether it is gold; what is wrong is marked there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_anneal.widgets._icons import run_icon

__all__ = ["GOLD", "GROUP", "NAME", "GroupButtons", "GroupRow", "GroupTable"]

NAME, GROUP, GOLD = 0, 1, 2
TIP = (
    "The specimen, microscope day or batch of every image. Edit one of several selected rows to set them all. "
    "Gold: put the whole group aside; no run sees it."
)
LOCKED_TIP = "Locked in the folder's gold.json: only 'napari-anneal split --release' gives it up."

BUTTONS = (
    (
        "Guess groups from names",
        "Everything before the last number of a name: steel-A_01 and steel-A_02 → steel-A.",
    ),
    ("Groups from CSV …", "Read a table with the columns image and group, one line an image."),
    ("Save groups.csv", "Write the groups into the folder; it is read again next time, and by the terminal."),
    (
        "Lock gold",
        "Lock the ticked groups in the folder's gold.json: from then on nothing reads them but 'napari-anneal evaluate "
        "--gold', which writes it down.",
    ),
)


@dataclass(frozen=True)
class GroupRow:
    """What a row begins with; ``locked``: gold that no tick takes back."""

    name: str
    group: str
    gold: bool = False
    locked: bool = False


class GroupTable(QTableWidget):
    """Image, group, gold.

    Signals
    -------
    edited
        A person changed a group or a tick.
    """

    edited = Signal()

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["image", "group (double-click)", "gold"])
        header = self.horizontalHeader()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(GROUP, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(GOLD, QHeaderView.ResizeMode.ResizeToContents)
        self.verticalHeader().setVisible(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        # napari's style leaves the ticks of tables dark on dark.
        self.setStyleSheet(
            "QTableWidget::indicator { width: 13px; height: 13px; border: 1px solid #9a9da3; }"
            "QTableWidget::indicator:checked { background: #ffd54f; }"
        )
        self.setToolTip(TIP)
        self._typed: list[str] | None = None
        self.itemChanged.connect(self._on_edit)

    def fill(self, rows: Sequence[GroupRow]) -> None:
        """Show other rows."""
        self._typed = None
        self.blockSignals(True)
        self.setRowCount(len(rows))
        for row, told in enumerate(rows):
            name = QTableWidgetItem(told.name)
            name.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            name.setToolTip(told.name)
            gold = QTableWidgetItem()
            ticks = Qt.ItemFlag.NoItemFlags if told.locked else Qt.ItemFlag.ItemIsUserCheckable
            gold.setFlags(Qt.ItemFlag.ItemIsEnabled | ticks)
            gold.setCheckState(_state(told.gold or told.locked))
            gold.setToolTip(LOCKED_TIP if told.locked else "")
            for column, item in ((NAME, name), (GROUP, QTableWidgetItem(told.group)), (GOLD, gold)):
                self.setItem(row, column, item)
        self.blockSignals(False)
        shown = min(9, max(3, len(rows)))
        header = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(header + shown * self.verticalHeader().defaultSectionSize() + 6)

    def group(self, row: int) -> str:
        """The group of a row; what is only shown (`preview`) does not count before it is taken over."""
        if self._typed is not None:
            return self._typed[row]
        return str(self.item(row, GROUP).text()).strip()

    def gold(self, row: int) -> bool:
        """Whether a row is ticked as gold."""
        return bool(self.item(row, GOLD).checkState() == Qt.CheckState.Checked)

    def tick(self, rows: Sequence[int]) -> None:
        """Tick rows as gold."""
        self.blockSignals(True)
        for row in rows:
            self.item(row, GOLD).setCheckState(Qt.CheckState.Checked)
        self.blockSignals(False)

    def set_groups(self, groups: Sequence[str]) -> None:
        """Take groups over, as if they had been typed."""
        self._typed = None
        self._write(groups, preview=False)
        self.edited.emit()

    def preview(self, groups: Sequence[str | None] | None) -> None:
        """Show groups in italics without taking them over; ``None``: again what was typed."""
        if groups is None:
            if self._typed is not None:
                typed, self._typed = self._typed, None
                self._write(typed, preview=False)
            return
        if self._typed is None:
            self._typed = [self.group(row) for row in range(self.rowCount())]
        self._write([group or "–" for group in groups], preview=True)

    def mark(self, sentences: Mapping[int, Sequence[str]]) -> None:
        """Mark the rows that something is wrong with; what it is stands in their tooltips."""
        self.blockSignals(True)
        for row in range(self.rowCount()):
            item, said = self.item(row, NAME), sentences.get(row, ())
            item.setData(Qt.ItemDataRole.DecorationRole, run_icon("warning") if said else None)
            item.setToolTip("\n".join([item.text(), *said]))
        self.blockSignals(False)

    def marked(self) -> list[int]:
        """The rows that are marked."""
        rows = range(self.rowCount())
        return [row for row in rows if self.item(row, NAME).data(Qt.ItemDataRole.DecorationRole) is not None]

    def _write(self, groups: Sequence[str], preview: bool) -> None:
        self.blockSignals(True)
        for row, group in enumerate(groups):
            item = self.item(row, GROUP)
            font = item.font()
            font.setItalic(preview)
            item.setFont(font)
            item.setText(group)
        self.blockSignals(False)

    def _on_edit(self, item: QTableWidgetItem) -> None:
        """Spread an edit to what belongs together: the selected rows, or, of a gold tick, the whole group."""
        self.blockSignals(True)
        row, column = item.row(), item.column()
        if column == GROUP and item.isSelected():
            for other in self.selectedItems():
                if other.column() == GROUP:
                    other.setText(item.text())
        if column == GOLD and self.group(row):
            for other in range(self.rowCount()):
                if self.group(other) == self.group(row) and self.item(other, GOLD).toolTip() != LOCKED_TIP:
                    self.item(other, GOLD).setCheckState(item.checkState())
        self.blockSignals(False)
        self.edited.emit()


class GroupButtons(QWidget):
    """Other ways to the groups than typing them, and where they go."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        made = []
        for place, (text, tip) in enumerate(BUTTONS):
            button = QPushButton(text)
            button.setToolTip(tip)
            grid.addWidget(button, *divmod(place, 2))
            made.append(button)
        self.guess, self.from_csv, self.save, self.lock = made


def _state(ticked: bool) -> Qt.CheckState:
    return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
