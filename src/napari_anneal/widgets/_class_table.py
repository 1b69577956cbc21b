"""Class names, their colours and how much of each is painted, following the brush."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_anneal.errors import InputError
from napari_anneal.widgets._layers import GROUP_KEY, colours_of
from napari_anneal.widgets._worker import Job

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["MOST_CLASSES", "ClassTable", "class_names", "count_all", "count_paint"]

COUNT_DELAY_MS = 400
# A Labels layer with more values than this is grains or particles, not painted classes.
MOST_CLASSES = 64
# A larger volume is counted after a stroke, not after every change of slice.
RECOUNTED = 1 << 26


def count_paint(data: Any) -> dict[int, int]:
    """Painted pixels of every class: ``{1: 5310, 2: 882}``; 0 is not painted and not counted.

    Slice by slice, so that a large volume of which a slice or two are painted costs little.
    """
    counts: dict[int, int] = {}
    for plane in data if data.ndim == 3 else (data,):
        values, numbers = np.unique(painted, return_counts=True) if (painted := nonzero(plane)).size else ((), ())
        for value, number in zip(values, numbers, strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(number)
    return counts


def nonzero(plane: Any) -> Any:
    """The painted values of a slice."""
    plane = np.asarray(plane)
    return plane[plane != 0]


def class_names(counts: Mapping[int, int], typed: Mapping[int, str]) -> tuple[str, ...]:
    """Names of classes 1…K, K the greatest label painted.

    Raises
    ------
    InputError
        Nothing is painted, two classes have one name, or there are so many labels that these are not classes.
    """
    top = max(counts, default=0)
    if not top:
        raise InputError(
            "Nothing is painted yet: choose the brush of the Labels layer, paint some pixels of each class (label 1, "
            "label 2, …), and press Fine-tune again."
        )
    if top > MOST_CLASSES:
        raise InputError(
            f"These labels run up to {top}: they look like numbered grains or particles, not like painted classes; "
            "paint classes 1, 2, … on a new Labels layer."
        )
    names = tuple(typed.get(k, f"class {k}") for k in range(1, top + 1))
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"Two classes are called {twice[0]!r}; give each class a name of its own.")
    return names


class ClassTable(QTableWidget):
    """One row a class: name (editable, in the colour it is painted in) and painted pixels.

    Signals
    -------
    counted
        There is more or less paint than before.
    """

    counted = Signal()

    def __init__(self, layers: Callable[[], Sequence[Labels]]) -> None:
        super().__init__(0, 2)
        self._layers = layers
        self._connected: list[tuple[Any, Any]] = []
        self._names: dict[int, str] = {}
        self.counts: dict[int, int] = {}
        self.setHorizontalHeaderLabels(["class (double-click to name it)", "painted px"])
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.verticalHeader().setVisible(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setToolTip("The classes painted so far. Paint label 1 for the first class, 2 for the second, and so on.")
        self._job = Job(self)
        self._job.done.connect(self._show)
        self._again = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(COUNT_DELAY_MS)
        self._timer.timeout.connect(self._count)
        self.itemChanged.connect(self._renamed)
        self._fit()

    def follow(self) -> None:
        """Listen to the brush of the layers chosen now, and count."""
        for emitter, callback in self._connected:
            emitter.disconnect(callback)
        self._connected = []
        for layer in {id(a): a for a in self._layers()}.values():
            # Undo and redo tell nothing but that the slice was drawn again.
            small = isinstance(layer.data, np.ndarray) and layer.data.size <= RECOUNTED
            undo = ("set_data",) if small else ()
            for name in ("paint", "data", "labels_update", *undo):
                emitter = getattr(layer.events, name)
                emitter.connect(self._painted)
                self._connected.append((emitter, self._painted))
            remembered = layer.metadata.get(GROUP_KEY)
            for k, name in enumerate(remembered.get("classes", []) if isinstance(remembered, dict) else [], start=1):
                self._names.setdefault(k, str(name))
        self._timer.start()

    @property
    def typed_names(self) -> dict[int, str]:
        """Names given so far, by label."""
        return dict(self._names)

    def _arrays(self) -> list[Any]:
        return [a.data[0] if getattr(a, "multiscale", False) else a.data for a in self._layers()]

    def _painted(self, event: Any = None) -> None:
        self._timer.start()

    def _count(self) -> None:
        if self._job.running:
            self._again = True
            return
        arrays = self._arrays()
        self._job.start(lambda report, cancel: count_all(arrays), "count")

    def _show(self, counts: dict[int, int]) -> None:
        if self._again:
            self._again = False
            self._timer.start()
        if counts == self.counts and self.rowCount():
            return
        self.counts = dict(sorted(counts.items()))
        top = min(max(self.counts, default=0), MOST_CLASSES)
        layers = self._layers()
        colours = colours_of(layers[0], top) if layers else ()
        self.blockSignals(True)
        self.setRowCount(top)
        for row in range(top):
            name = QTableWidgetItem(self._names.get(row + 1, f"class {row + 1}"))
            if row < len(colours):
                name.setData(Qt.ItemDataRole.DecorationRole, QColor(colours[row]))
            number = QTableWidgetItem(f"{self.counts.get(row + 1, 0):,}".replace(",", "\u202f"))
            number.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            number.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.setItem(row, 0, name)
            self.setItem(row, 1, number)
        self.blockSignals(False)
        self._fit()
        self.counted.emit()

    def _renamed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            self._names[item.row() + 1] = item.text().strip() or f"class {item.row() + 1}"

    def _fit(self) -> None:
        """As tall as its rows, up to six."""
        rows = min(6, max(2, self.rowCount()))
        self.setFixedHeight(
            self.horizontalHeader().sizeHint().height() + rows * self.verticalHeader().defaultSectionSize() + 4
        )


def count_all(arrays: Sequence[Any]) -> dict[int, int]:
    """Painted pixels of every class over several label maps."""
    total: dict[int, int] = {}
    for array in arrays:
        for value, number in count_paint(array).items():
            total[value] = total.get(value, 0) + number
    return total
