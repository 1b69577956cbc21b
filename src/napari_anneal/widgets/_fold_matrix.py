"""Who trains and who validates in which fold: one row a sample, one column a fold, one colour a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHeaderView, QTableWidgetItem

from napari_anneal.widgets._shown_table import ShownTable

__all__ = ["FoldMatrix", "group_colour"]

# Okabe and Ito's colours, then darker ones of theirs: neighbours in the list differ for every eye.
GROUP_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999",
    "#004d7a", "#9a6a00", "#006b4e", "#8a4f70",
)  # fmt: skip
TRAIN_ALPHA = 60


def group_colour(number: int) -> QColor:
    """Colour of the group that comes ``number``-th."""
    return QColor(GROUP_COLOURS[number % len(GROUP_COLOURS)])


class FoldMatrix(ShownTable):
    """Shows a ``SplitPlan``; a full colour is the fold a sample validates in, a faint one where it trains."""

    def __init__(self) -> None:
        super().__init__(
            "Full colour: validates in this fold. Faint: trains. A colour is a group; no group is on both sides."
        )

    def show_plan(self, plan: Any, names: Sequence[str], groups: Sequence[str]) -> None:
        """Show a plan over samples with these names and groups (empty: a group of its own)."""
        own = [group or f"\0{i}" for i, group in enumerate(groups)]
        order = sorted(range(len(names)), key=lambda i: (list(dict.fromkeys(own)).index(own[i]), i))
        colours = {group: group_colour(k) for k, group in enumerate(dict.fromkeys(own[i] for i in order))}
        self.clear()
        self.setRowCount(len(names))
        self.setColumnCount(1 + len(plan.folds))
        self.setHorizontalHeaderLabels(["image", *(str(k) for k in range(1, len(plan.folds) + 1))])
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for row, i in enumerate(order):
            name = QTableWidgetItem(names[i])
            name.setToolTip(f"{names[i]} · group {groups[i] or '(its own)'}")
            name.setData(Qt.ItemDataRole.DecorationRole, colours[own[i]])
            self.setItem(row, 0, name)
            for column, fold in enumerate(plan.folds, start=1):
                role = "gold" if i in plan.gold else "val" if i in fold.val else "train" if i in fold.train else "–"
                self.setItem(row, column, self._cell(role, colours[own[i]], names[i]))
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, self.columnCount()):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        rows = min(12, max(2, len(names)))
        height = header.sizeHint().height() + rows * self.verticalHeader().defaultSectionSize() + 6
        self.setFixedHeight(height)

    def roles(self) -> list[list[str]]:
        """The text of the cells, row by row."""
        return [[self.item(r, c).text() for c in range(1, self.columnCount())] for r in range(self.rowCount())]

    @staticmethod
    def _cell(role: str, colour: QColor, name: str) -> QTableWidgetItem:
        cell = QTableWidgetItem(role)
        cell.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        what = {
            "gold": "is put aside for the very end",
            "val": "validates in this fold",
            "train": "trains in this fold",
            "–": "is not painted, so it is in no fold",
        }[role]
        cell.setToolTip(f"{name} {what}")
        if role in ("val", "train"):
            shade = QColor(colour)
            shade.setAlpha(255 if role == "val" else TRAIN_ALPHA)
            cell.setBackground(shade)
            if role == "val":
                cell.setForeground(QColor("black" if colour.lightness() > 120 else "white"))
        elif role == "gold":
            cell.setBackground(QColor("#ffd54f"))
            cell.setForeground(QColor("black"))
        return cell
