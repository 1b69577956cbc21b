"""After a run: what was noticed, sentence by sentence, the report to open, and the folder."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices, QResizeEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.widgets._ending import Ending
from napari_anneal.widgets._form import empty
from napari_anneal.widgets._status import COLOURS

__all__ = ["Outcome", "open_path"]

# More height than this would take the curves out of view; the rest is there by scrolling.
HIGHEST = 116
SCROLL_BAR = 14
CALIBRATE_TIP = (
    "Make the model's probabilities mean what they say: fit a temperature on the validation pixels of this run, and on "
    "nothing else, show how sure and how right it is before and after, and keep it in the model. No label changes."
)


class Outcome(QWidget):
    """Sentences about a run and what there is to do with it; hidden until there is something to say.

    Signals
    -------
    calibrate_pressed
        The probabilities of the run's models are to be calibrated.
    """

    calibrate_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self.report: Path | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self._inner = QWidget()
        self.sentences = QVBoxLayout(self._inner)
        self.sentences.setContentsMargins(0, 0, 0, 0)
        self.sentences.setSpacing(3)
        self._scroll = QScrollArea()
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._inner)
        layout.addWidget(self._scroll)
        self.open_report = QPushButton("Open report")
        self.open_report.setToolTip("The run as a page in the browser: curves, worst images, recipe, versions.")
        self.open_report.clicked.connect(lambda: open_path(self.report))
        self.open_folder = QPushButton("Show folder")
        self.open_folder.setToolTip("The folder with the model, the history, the recipe and the report of this run.")
        self.open_folder.clicked.connect(lambda: open_path(self.folder))
        self.calibrate = QPushButton("Calibrate")
        self.calibrate.setToolTip(CALIBRATE_TIP)
        self.calibrate.clicked.connect(self.calibrate_pressed)
        row = QHBoxLayout()
        row.addWidget(self.open_report)
        row.addWidget(self.open_folder)
        row.addWidget(self.calibrate)
        layout.addLayout(row)
        self.clear()

    def clear(self) -> None:
        """Nothing to say."""
        self.show_outcome(Ending("", "plain"))

    def show_outcome(self, ending: Ending) -> None:
        """Show what came of a run under its status; warnings stand out."""
        self.folder, self.report = ending.folder, ending.report
        empty(self.sentences)
        said = list(dict.fromkeys((*ending.first, *ending.warnings, *ending.others)))
        for text in said:
            self.sentences.addWidget(_sentence(f"• {text}", text in ending.warnings))
        self._scroll.setVisible(bool(said))
        self.open_report.setVisible(ending.report is not None)
        self.open_folder.setVisible(ending.folder is not None)
        self.calibrate.setVisible(bool(ending.models))
        self._fit()
        self.setVisible(bool(said or ending.models) or ending.folder is not None)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """As high as the sentences need at this width, within bounds."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        width = max(1, self.width() - SCROLL_BAR)
        needed = sum(label.heightForWidth(width) + self.sentences.spacing() for label in self._labels())
        self._inner.setFixedHeight(max(1, needed))
        self._scroll.setFixedHeight(max(1, min(HIGHEST, needed)))

    def _labels(self) -> list[QWidget]:
        return [self.sentences.itemAt(i).widget() for i in range(self.sentences.count())]

    @property
    def text(self) -> str:
        """All that is said, a line a sentence."""
        return "\n".join(str(label.text()) for label in self._labels())


def open_path(path: Path | None) -> None:
    """Open a page in the browser, or a folder in the file manager."""
    if path is not None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _sentence(text: str, warns: bool) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    if warns:
        label.setStyleSheet(f"color: {COLOURS['bad']};")
    return label
