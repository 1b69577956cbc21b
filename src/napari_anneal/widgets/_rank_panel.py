"""*What to label next*: asks for a ranking, lists the places, and goes from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_anneal.widgets._form import WrappedLabel, form_layout, shrinkable
from napari_anneal.widgets._rank_order import go_to, show_boxes

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["RankPanel"]

HEADS = ("", "Where", "Unsure")
TIPS = (
    "Rank: 1 is to be labelled first.",
    "Image, slice and first row and column of the box; click to go there.",
    "Mean uncertainty near what the model takes for foreground, 0 to 1.",
)
ROWS_SHOWN = 6


class RankPanel(QWidget):
    """Choose how to rank; a table of places, and *Next*.

    Signals
    -------
    asked
        Rank.
    """

    asked = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, fails: Any) -> None:
        super().__init__()
        self._viewer, self._guarded = viewer, fails
        self.places: tuple[Any, ...] = ()
        self.which = shrinkable(QComboBox())
        self.which.addItem("this image", False)
        self.which.addItem("all images of the viewer", True)
        self.tile = QSpinBox()
        self.tile.setRange(0, 8192)
        self.tile.setSingleStep(64)
        self.tile.setSpecialValueText("whole image or slice")
        self.top = QSpinBox()
        self.top.setRange(1, 500)
        self.top.setValue(10)
        self.looks = shrinkable(QComboBox())
        self.looks.addItem("every legal flip and turn", "tta")
        self.looks.addItem("once (8 times faster)", "entropy")
        fields = form_layout()
        for label, field, tip in (
            ("Among", self.which, "Images put aside as gold are never among them; what is painted counts as labelled."),
            ("Box (px)", self.tile, "Side of the places to name; 0: whole images, and whole slices of a stack."),
            ("How many", self.top, "Places to name."),
            ("Look", self.looks, "Looking several times finds more of what the model gets wrong, and takes longer."),
        ):
            field.setToolTip(tip)
            fields.addRow(label, field)
        self.ask = QPushButton("What should I label next?")
        self.ask.setToolTip(
            "Places where the model is unsure of foreground, unlike each other and what is labelled, specimens in turn."
        )
        self.ask.clicked.connect(self.asked)
        self.next = QPushButton("Next")
        self.next.setToolTip("Go to the next place: its slice, its box in the middle.")
        self.next.clicked.connect(self._go_on)
        self.next.setEnabled(False)
        buttons = QHBoxLayout()
        buttons.addWidget(self.ask, 2)
        buttons.addWidget(self.next, 1)
        self.table = self._make_table()
        self.why = WrappedLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(fields)
        layout.addLayout(buttons)
        layout.addWidget(self.table)
        layout.addWidget(self.why)
        for part in (self.table, self.why):
            part.setVisible(False)

    def settings(self) -> dict[str, Any]:
        """Fields of the ranking's recipe."""
        return {"tile": self.tile.value() or None, "top": self.top.value(), "estimator": self.looks.currentData()}

    def show_ranking(self, ranking: Any) -> None:
        """List the places, put their boxes on the images, and go to the first."""
        self.places = tuple(ranking)
        boxes = show_boxes(self._viewer, self.places)
        self.table.blockSignals(True)
        self.table.setRowCount(len(self.places))
        for row, place in enumerate(self.places):
            for column, text in enumerate((str(place.rank), _where(place), f"{place.uncertainty:.2f}")):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{_where(place)}: {place.why}.")
                if column != 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        self.table.clearSelection()
        self.table.setCurrentCell(-1, -1)
        self.table.blockSignals(False)
        high = self.table.horizontalHeader().sizeHint().height() + 4
        self.table.setFixedHeight(high + min(max(1, len(self.places)), ROWS_SHOWN) * self.table.rowHeight(0))
        for part in (self.table, self.why):
            part.setVisible(bool(self.places))
        self.next.setEnabled(bool(self.places))
        if boxes:
            self._go_on()

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(0, len(HEADS))
        table.setHorizontalHeaderLabels(list(HEADS))
        for column, tip in enumerate(TIPS):
            table.horizontalHeaderItem(column).setToolTip(tip)
        header = table.horizontalHeader()
        for column in (0, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        table.verticalHeader().setVisible(False)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.currentCellChanged.connect(lambda row, *_: self._guarded(lambda: self._visit(row)))
        return table

    def _go_on(self) -> None:
        """The next row, the first one after the last."""
        if self.places:
            self.table.setCurrentCell((self.table.currentRow() + 1) % len(self.places), 1)

    def _visit(self, row: int) -> None:
        if 0 <= row < len(self.places):
            place = self.places[row]
            self.why.setText(f"{place.rank}. {_where(place)}: {place.why}.")
            go_to(self._viewer, place)


def _where(place: Any) -> str:
    """Such as ``ct, slice 12, from 256, 0``."""
    y0, x0, _, _ = place.box
    parts = [place.name, *([] if place.z is None else [f"slice {place.z}"])]
    return ", ".join([*parts, *([f"from {y0}, {x0}"] if (y0, x0) != (0, 0) else [])])
