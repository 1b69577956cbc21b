"""Groups by a regular expression: what it takes from the names is shown while it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.errors import InputError
from napari_anneal.widgets._status import COLOURS

__all__ = ["GroupPattern"]


class GroupPattern(QWidget):
    """A line for the pattern, a button that takes its groups over, and a line that says what it finds.

    Signals
    -------
    previewed
        ``NameGroups`` of the pattern as it stands, or ``None`` where it is empty or no regular expression.
    accepted
        ``NameGroups`` to be used.
    """

    previewed = Signal(object)
    accepted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.found: Any = None
        self.line = QLineEdit()
        self.line.setPlaceholderText("^(.+?)_")
        self.line.setClearButtonEnabled(True)
        self.line.setToolTip("A regular expression; Enter or Use takes the groups over that the table shows.")
        self.line.textChanged.connect(lambda _: self._preview())
        self.line.returnPressed.connect(self._accept)
        self.use = QPushButton("Use")
        self.use.setToolTip("Take the groups shown in the table over.")
        self.use.setEnabled(False)
        self.use.clicked.connect(self._accept)
        self.says = QLabel()
        self.says.setWordWrap(True)
        self.says.setTextFormat(Qt.TextFormat.PlainText)
        self.says.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.says.setVisible(False)
        row = QHBoxLayout()
        row.addWidget(self.line, 1)
        row.addWidget(self.use)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.says)

    def set_names(self, names: Sequence[str]) -> None:
        """The names to match; a pattern that stands in the line is tried on them at once."""
        self.names = tuple(names)
        if self.line.text():
            self._preview()

    def _preview(self) -> None:
        from napari_anneal.validation import groups_from_names

        pattern, self.found, text, mood = self.line.text(), None, "", "plain"
        if pattern.strip() and self.names:
            try:
                self.found = groups_from_names(self.names, pattern)
                text, mood = self.found.sentence, "bad" if self.found.unmatched else "good"
            except InputError as error:
                text, mood = str(error), "bad"
        self.says.setText(text[:1].upper() + text[1:])
        self.says.setStyleSheet(f"color: {COLOURS[mood]};" if COLOURS[mood] else "")
        self.says.setVisible(bool(text))
        self.use.setEnabled(self.found is not None and len(self.found.unmatched) < len(self.names))
        self.previewed.emit(self.found)

    def _accept(self) -> None:
        if self.use.isEnabled():
            self.accepted.emit(self.found)
