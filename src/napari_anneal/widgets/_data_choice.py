"""What *Fine-tune* trains on: painted images, a stream of synthetic ones, or the stream first and then the images."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.synthesis import PRESETS, preset_ranges
from napari_anneal.widgets._form import shrinkable
from napari_anneal.widgets._stream_source import StreamSource

__all__ = ["CASCADE", "IMAGES", "SYNTHETIC", "DataChoice"]

IMAGES, SYNTHETIC, CASCADE = "images", "synthetic", "cascade"
CHOICES = {
    IMAGES: ("my painted images", "The pairs listed below."),
    SYNTHETIC: (
        "synthetic images",
        "An endless stream of synthetic microstructures with perfect labels; no layer is used.",
    ),
    CASCADE: (
        "synthetic first, then my images",
        "A cascade: two runs, the second from the model of the first. Both models are kept, and what the second run "
        "forgets of the synthetic task is measured.",
    ),
}


class DataChoice(QWidget):
    """Choose what to train on and, where a stream has a part in it, which: a preset, or one that was handed over.

    Signals
    -------
    changed
        Something else is trained on.
    """

    changed = Signal()
    tip = "Your painted images, synthetic ones, or both in turn."

    def __init__(self) -> None:
        super().__init__()
        self.kind = shrinkable(QComboBox())
        self.kind.setToolTip(self.tip)
        for index, (name, (text, tip)) in enumerate(CHOICES.items()):
            self.kind.addItem(text, name)
            self.kind.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
        self.stream = shrinkable(QComboBox())
        self.stream.setToolTip(
            "Kind of micrograph that the synthetic images look like; for one of your own, press “Train on this” in "
            "Synthetic microstructure."
        )
        self._about = QLabel()
        self._about.setWordWrap(True)
        self._about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._forget = QPushButton("✕")
        self._forget.setFixedWidth(24)
        self._forget.setToolTip("Train on painted layers again.")
        self._forget.clicked.connect(self.clear)
        self._row = QWidget()
        row = QHBoxLayout(self._row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.stream, 1)
        row.addWidget(self._forget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for part in (self.kind, self._row, self._about):
            layout.addWidget(part)
        self._handed_over: StreamSource | None = None
        self._fill()
        self.kind.currentIndexChanged.connect(self._on_kind)
        self.stream.currentIndexChanged.connect(self._say)
        self._on_kind()

    @property
    def value(self) -> str:
        """``"images"``, ``"synthetic"`` or ``"cascade"``."""
        return str(self.kind.currentData())

    @property
    def images(self) -> bool:
        """Whether painted images have a part in it."""
        return self.value != SYNTHETIC

    @property
    def source(self) -> StreamSource | None:
        """The stream, if it has a part in it."""
        if self.value == IMAGES:
            return None
        name = self.stream.currentData()
        if name is None:
            return self._handed_over
        return StreamSource(preset_ranges(name), 0, self.stream.currentText())

    def choose(self, value: str) -> None:
        """Train on something else."""
        self.kind.setCurrentIndex(self.kind.findData(value))

    def take(self, source: StreamSource) -> None:
        """Take a stream that was handed over, and train on it, unless a cascade is chosen already."""
        self._handed_over = source
        self._fill()
        if self.value == IMAGES:
            self.choose(SYNTHETIC)
        self._say()

    def clear(self) -> None:
        """Forget the stream that was handed over, and train on painted images."""
        self._handed_over = None
        self._fill()
        self.choose(IMAGES)

    def _fill(self) -> None:
        self.stream.blockSignals(True)
        self.stream.clear()
        if self._handed_over is not None:
            self.stream.addItem(f"{self._handed_over.text} (handed over)", None)
        for name, text in PRESETS.items():
            self.stream.addItem(text.partition(":")[0], name)
            self.stream.setItemData(self.stream.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self.stream.blockSignals(False)

    def _on_kind(self, index: int = 0) -> None:
        self._row.setVisible(self.value != IMAGES)
        self._say()
        self.changed.emit()

    def _say(self, index: int = 0) -> None:
        source = self.source
        self._about.setVisible(source is not None)
        if source is not None:
            then = "; then the pairs below, from its model" if self.value == CASCADE else ""
            self._about.setText(f"Every patch is new, classes {' and '.join(source.classes)}{then}.")
