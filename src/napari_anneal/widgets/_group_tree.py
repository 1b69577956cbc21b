"""The layers of the network as a tree with their sizes and, stage by stage, the learning rate of every group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_anneal.widgets._rate_plot import GROUP_COLOURS, in_words

__all__ = ["GroupTree", "readable_count"]

FROZEN = "frozen"
GREY = QBrush(QColor("#7f8288"))
NAME, SIZE, FIRST_STAGE = 0, 1, 2


class GroupTree(QTreeWidget):
    """Layer group → module → parameter; folded at first. A double click on a rate of a group changes it.

    Signals
    -------
    edited : int, str, object
        Stage (from 0), group, and its new peak rate, ``None`` to freeze it there.
    refused : str
        Why what was typed cannot be.
    """

    edited = Signal(int, str, object)
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setAlternatingRowColors(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFixedHeight(140)
        self.setToolTip(
            "Layer groups from the head down to the first layers, with the number of their parameters and "
            "peak learning rates. Double-click a rate to change it in that stage; type “frozen” to keep the group as "
            "it is there."
        )
        self.itemDoubleClicked.connect(self._begin_edit)
        self.itemChanged.connect(self._finish_edit)
        self.itemExpanded.connect(self._make_room)
        self._shown: tuple[Any, ...] = ()

    def show_plan(
        self, parameters: Mapping[str, Mapping[str, int]], stages: Sequence[tuple[str, Mapping[str, float]]]
    ) -> None:
        """Show groups with the size of every parameter, and ``stages``: name and peak rate by group of each."""
        self.blockSignals(True)
        names = [name for name, _ in stages]
        key = (tuple(parameters), sum(sum(p.values()) for p in parameters.values()), len(stages))
        if key != self._shown:  # else what is unfolded stays so
            self._shown = key
            self.clear()
            self.setColumnCount(FIRST_STAGE + len(stages))
            for group in reversed(list(parameters)):
                self.addTopLevelItem(_group_item(group, parameters[group]))
            header = self.header()
            header.setStretchLastSection(False)
            for column in range(self.columnCount()):
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Interactive)
            header.resizeSection(NAME, 112)
        self.setHeaderLabels(["layers", "size", *names])
        for row in range(self.topLevelItemCount()):
            item = self.topLevelItem(row)
            group = item.data(NAME, Qt.ItemDataRole.UserRole)
            for index, (_, rates) in enumerate(stages):
                _show_rate(item, FIRST_STAGE + index, rates.get(group))
        self.blockSignals(False)

    def rate(self, group: str, stage: int) -> str:
        """What the tree says of a group in a stage (from 0)."""
        return str(self._item(group).text(FIRST_STAGE + stage))

    def type_rate(self, group: str, stage: int, text: str) -> None:
        """As if it had been typed."""
        self._item(group).setText(FIRST_STAGE + stage, text)

    def _item(self, group: str) -> QTreeWidgetItem:
        items = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return next(item for item in items if item.data(NAME, Qt.ItemDataRole.UserRole) == group)

    def _make_room(self, item: QTreeWidgetItem) -> None:
        """The names of modules are longer than those of groups; up to half of the width is theirs."""
        wanted = min(self.sizeHintForColumn(NAME), self.width() // 2)
        self.header().resizeSection(NAME, max(wanted, self.header().sectionSize(NAME)))

    def _begin_edit(self, item: QTreeWidgetItem, column: int) -> None:
        if item.parent() is None and column >= FIRST_STAGE:
            self.editItem(item, column)

    def _finish_edit(self, item: QTreeWidgetItem, column: int) -> None:
        group, stage = item.data(NAME, Qt.ItemDataRole.UserRole), column - FIRST_STAGE
        before, text = item.data(column, Qt.ItemDataRole.UserRole), str(item.text(column)).strip().lower()
        self.blockSignals(True)
        try:
            rate = None if text in ("", "0", "-", "–", FROZEN) else float(text.replace(",", "."))
        except ValueError:
            rate = -1.0
        others = [
            self.topLevelItem(row).data(column, Qt.ItemDataRole.UserRole)
            for row in range(self.topLevelItemCount())
            if self.topLevelItem(row) is not item
        ]
        refused = ""
        if rate is not None and not 0 < rate <= 1:
            refused = f"“{item.text(column)}” is no learning rate; type a number above 0 and up to 1, such as 1e-4."
        elif rate is None and all(other is None for other in others):
            refused = "A stage in which every layer is frozen would train nothing; let one group learn."
        _show_rate(item, column, before if refused else rate)
        self.blockSignals(False)
        if refused:
            self.refused.emit(refused)
        elif rate != before:
            self.edited.emit(stage, group, rate)


def _group_item(group: str, parameters: Mapping[str, int]) -> QTreeWidgetItem:
    """A group with its modules and their parameters below it."""
    item = QTreeWidgetItem([in_words([group]), readable_count(sum(parameters.values()))])
    item.setData(NAME, Qt.ItemDataRole.UserRole, group)
    item.setForeground(NAME, QBrush(QColor(GROUP_COLOURS[group])))
    item.setTextAlignment(SIZE, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    item.setToolTip(SIZE, f"{sum(parameters.values()):,} parameters".replace(",", "\u202f"))
    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
    modules: dict[str, dict[str, int]] = {}
    for path, size in parameters.items():
        modules.setdefault(path.rpartition(".")[0], {})[path.rpartition(".")[2]] = size
    for module, sizes in modules.items():
        branch = _leaf(_short(module), sum(sizes.values()))
        branch.setToolTip(NAME, module)
        branch.addChildren([_leaf(name, size) for name, size in sizes.items()])
        item.addChild(branch)
    return item


def _short(module: str) -> str:
    """Where a module lies, without what all of its neighbours share."""
    for prefix in ("encoder.model.", "decoder.", "segmentation_"):
        module = module.removeprefix(prefix)
    return module or "(network)"


def _leaf(name: str, size: int) -> QTreeWidgetItem:
    leaf = QTreeWidgetItem([name, readable_count(size)])
    leaf.setTextAlignment(SIZE, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return leaf


def _show_rate(item: QTreeWidgetItem, column: int, rate: float | None) -> None:
    item.setData(column, Qt.ItemDataRole.UserRole, rate)
    item.setText(column, FROZEN if rate is None else readable_rate(rate))
    item.setForeground(column, GREY if rate is None else QBrush())


def readable_rate(rate: float) -> str:
    """``1e-4``, ``2.5e-5``, ``0.01``: in three digits at most."""
    mantissa, _, power = f"{rate:.3e}".partition("e")
    return f"{round(float(mantissa), 2):g}e{int(power)}"


def readable_count(count: int) -> str:
    """``64``, ``2.1 k``, ``21.3 M``."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
