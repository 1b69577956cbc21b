"""Runs side by side in a window of their own: their curves, what came of each, and the settings that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHeaderView,
    QLabel,
    QSplitter,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_anneal.widgets._compare_plot import RUN_COLOURS, ComparedCurves

if TYPE_CHECKING:
    from napari_anneal.training.run_comparison import RunComparison

__all__ = ["CompareWindow"]


class CompareWindow(QDialog):
    """Shows a ``RunComparison``; it does not stand in the way of the viewer."""

    def __init__(self, comparison: RunComparison, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Runs compared: " + ", ".join(comparison.names))
        self.resize(760, 720)
        self.curves = ComparedCurves()
        for name, points in zip(comparison.names, comparison.curves, strict=True):
            self.curves.show_run(name, [(epoch, val_loss, dice) for epoch, _, val_loss, dice in points])
        self.table = table_of(comparison.names, [*comparison.figures, *comparison.differences])
        same = QLabel(what_differs(len(comparison.differences)))
        same.setWordWrap(True)
        lower = QWidget()
        below = QVBoxLayout(lower)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(same)
        below.addWidget(self.table)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(self.curves)
        parts.addWidget(lower)
        parts.setStretchFactor(0, 1)
        parts.setStretchFactor(1, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(parts)


def what_differs(count: int) -> str:
    """What the lower rows of the table are."""
    if not count:
        return "All settings are the same, down to the images: what differs comes from chance on the device."
    settings = "the one setting in which they differ" if count == 1 else f"the {count} settings in which they differ"
    return f"What came of each run, then {settings}; all others are the same."


def table_of(names: Sequence[str], rows: Sequence[tuple[str, Sequence[Any]]]) -> QTableWidget:
    """One column a run, in the colour of its curve; one row a figure or setting."""
    table = QTableWidget(len(rows), len(names))
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    for column, name in enumerate(names):
        heading = QTableWidgetItem(name)
        heading.setForeground(QColor(RUN_COLOURS[column % len(RUN_COLOURS)]))
        table.setHorizontalHeaderItem(column, heading)
    table.setVerticalHeaderLabels([label.replace("_", " ") for label, _ in rows])
    for row, (_, values) in enumerate(rows):
        for column, value in enumerate(values):
            item = QTableWidgetItem(in_words(value))
            item.setToolTip(item.text())
            table.setItem(row, column, item)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    return table


def in_words(value: Any) -> str:
    """A figure or setting for people: four digits, lists with commas, an en dash for what is not there."""
    if value is None or value == "" or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(in_words, value)) if isinstance(value, list | tuple) else str(value)
