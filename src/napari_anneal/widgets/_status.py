"""The foot of every form: the button that starts, Cancel, a progress bar with the time left, and the status line."""

from __future__ import annotations

import time

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

__all__ = ["RunBar", "clock"]

COLOURS = {"plain": "", "good": "#4caf7d", "bad": "#ff8a65"}


def clock(seconds: float) -> str:
    """Whole seconds as ``m:ss`` or ``h:mm:ss``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class RunBar(QWidget):
    """Start and Cancel, progress with the time left, and one status line that says things readably.

    Parameters
    ----------
    label
        What the start button says.
    tip
        Its tooltip.
    """

    started = Signal()
    cancelled = Signal()

    def __init__(self, label: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.start = QPushButton(label)
        self.start.setToolTip(tip)
        self.start.clicked.connect(self.started)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop at the next step; what is done so far is kept.")
        self.cancel.setEnabled(False)
        self.cancel.clicked.connect(self._on_cancel)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.start, 2)
        self.buttons.addWidget(self.cancel, 1)
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        self.progress.setVisible(False)
        self.status = QLabel()
        self.status.setWordWrap(True)
        # Plain text: a file name with "<" in it must not be read as markup.
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        self.status.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        # A long word (a path) may not make the dock wider than the user wants it.
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self.buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        self._began = 0.0

    def begin(self, text: str) -> None:
        """A run starts: Start is off, Cancel is on, the bar is busy until the first progress."""
        self._began = time.monotonic()
        self.start.setEnabled(False)
        self.cancel.setEnabled(True)
        self.progress.setVisible(True)
        self.busy()
        self.say(text)

    def busy(self) -> None:
        """Something goes on, and how far it is is not known yet."""
        self.progress.setRange(0, 0)
        self.progress.setFormat("")

    def advance(self, done: int, total: int, seconds_left: float | None = None) -> None:
        """Show ``done`` of ``total``; the time left is estimated from the time taken so far unless given."""
        if total < 1:
            return
        if seconds_left is None and done > 0:
            seconds_left = (time.monotonic() - self._began) / done * (total - done)
        self.progress.setRange(0, total)
        self.progress.setValue(min(done, total))
        left = "" if seconds_left is None else f"  ·  {clock(seconds_left)} left"
        self.progress.setFormat(f"%p %{left}")

    def end(self) -> None:
        """The run is over: Start is on again."""
        self.start.setEnabled(True)
        self.cancel.setEnabled(False)
        self.progress.setVisible(False)

    def say(self, text: str, mood: str = "plain") -> None:
        """Put one sentence into the status line (``mood``: ``"plain"``, ``"good"`` or ``"bad"``)."""
        colour = COLOURS[mood]
        self.status.setStyleSheet(f"color: {colour};" if colour else "")
        self.status.setText(text)
        self.status.setToolTip(text if len(text) > 200 else "")

    @property
    def text(self) -> str:
        """What the status line says now."""
        return str(self.status.text())

    def _on_cancel(self) -> None:
        self.cancel.setEnabled(False)
        self.say("Stopping at the next step …")
        self.cancelled.emit()
