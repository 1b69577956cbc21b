"""A table to be read: nothing in it can be edited, selected or stepped into."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QTableWidget

__all__ = ["ShownTable"]


class ShownTable(QTableWidget):
    """Without row numbers; ``tip`` says how to read it."""

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.verticalHeader().setVisible(False)
        self.setToolTip(tip)
