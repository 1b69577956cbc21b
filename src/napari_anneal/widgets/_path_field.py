"""A path to type or to browse for."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QToolButton, QWidget

__all__ = ["PathField"]


class PathField(QWidget):
    """A line with a “…” button; ``kind`` is ``"folder"``, ``"open"`` (a file) or ``"save"`` (a file to write).

    Signals
    -------
    changed : str
        The path, when editing is finished or one was browsed.
    """

    changed = Signal(str)

    def __init__(self, path: str = "", kind: str = "folder", pattern: str = "", placeholder: str = "") -> None:
        super().__init__()
        self._kind, self._pattern = kind, pattern
        self._line = QLineEdit(path)
        self._line.setPlaceholderText(placeholder)
        self._line.setMinimumWidth(60)
        self._line.editingFinished.connect(lambda: self.changed.emit(self.text()))
        button = QToolButton()
        button.setText("…")
        button.setToolTip("Browse")
        button.clicked.connect(self._browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line, 1)
        layout.addWidget(button)

    def text(self) -> str:
        """The path as typed, without spaces around it."""
        return str(self._line.text()).strip()

    def setText(self, path: str) -> None:
        """Show another path."""
        self._line.setText(path)

    def setToolTip(self, text: str) -> None:
        """Put the tooltip on the line too."""
        super().setToolTip(text)
        self._line.setToolTip(text)

    def _browse(self) -> None:
        if self._kind == "folder":
            path = QFileDialog.getExistingDirectory(self, "Choose a folder", self.text())
        elif self._kind == "open":
            path = QFileDialog.getOpenFileName(self, "Choose a file", self.text(), self._pattern)[0]
        else:
            path = QFileDialog.getSaveFileName(self, "Save as", self.text(), self._pattern)[0]
        if path:
            self.setText(path)
            self.changed.emit(path)
