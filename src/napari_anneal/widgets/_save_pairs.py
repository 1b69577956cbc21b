"""*Save N pairs…*: how many and where to, and what they will take on the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_anneal.samples.placing import unused
from napari_anneal.widgets._form import form_layout
from napari_anneal.widgets._path_field import PathField

if TYPE_CHECKING:
    from napari_anneal.synthesis import MicrostructureRecipe, RecipeRanges, SavedPairs

__all__ = ["SaveDialog", "SaveOrder"]

PAIRS = "~/napari-anneal/pairs"


class SaveDialog(QDialog):
    """Ask for the number of pairs and a folder.

    Signals
    -------
    chosen : int, Path
        Save so many pairs there.
    """

    chosen = Signal(int, object)

    def __init__(self, recipe: MicrostructureRecipe | RecipeRanges, what: str, parent: QWidget | None = None) -> None:
        from napari_anneal.synthesis.pairs import pairs_bytes

        super().__init__(parent)
        self.setWindowTitle("Save synthetic pairs")
        self._bytes: Callable[[int], int] = lambda count: pairs_bytes(recipe.shape, count)
        layout = QVBoxLayout(self)
        about = QLabel(what)
        about.setWordWrap(True)
        layout.addWidget(about)
        fields = form_layout()
        layout.addLayout(fields)
        self.count = QSpinBox()
        self.count.setRange(1, 1_000_000)
        self.count.setValue(100)
        self.folder = PathField(str(unused(Path(PAIRS))), "folder")
        for label, widget, tip in (
            ("Pairs", self.count, "Each has an image, training labels and numbered grains (TIFF)."),
            (
                "New folder",
                self.folder,
                "Gets images, labels, grains, groups.csv and recipe.json; empty or new.",
            ),
        ):
            widget.setToolTip(tip)
            fields.addRow(label, widget)
        self.space = QLabel()
        self.space.setWordWrap(True)
        layout.addWidget(self.space)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
        self.count.valueChanged.connect(self._say_space)
        self.folder.changed.connect(self._say_space)
        self.accepted.connect(
            lambda: self.chosen.emit(self.count.value(), Path(self.folder.text() or PAIRS).expanduser())
        )
        self.setMinimumWidth(400)
        self._say_space()

    def _say_space(self, value: Any = None) -> None:
        from napari_anneal.samples.placing import free_bytes, readable_bytes

        needed = self._bytes(self.count.value())
        free = free_bytes(Path(self.folder.text() or PAIRS).expanduser())
        self.space.setText(f"Takes about {readable_bytes(needed)}; {readable_bytes(free)} are free there.")
        self.space.setStyleSheet("color: #ff8a65;" if needed > free else "")


@dataclass(frozen=True)
class SaveOrder:
    """What to save when the dialog was accepted."""

    recipe: MicrostructureRecipe | RecipeRanges
    seed: int
    count: int
    folder: Path

    def carry_out(self, report: Callable[[Any], None], cancel: Any) -> SavedPairs:
        """Write, on the worker's thread."""
        from napari_anneal.synthesis import save_pairs

        return save_pairs(
            self.recipe,
            self.seed,
            self.count,
            self.folder,
            progress=lambda done, total: report((done, total)),
            cancel=cancel,
        )
