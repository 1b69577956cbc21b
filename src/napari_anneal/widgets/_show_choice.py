"""What the grid shows: the whole recipe, every transform alone, or one; those not legal are greyed with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QWidget

from napari_anneal.widgets._augmented_grid import Tile, alone, draws, one
from napari_anneal.widgets._form import shrinkable
from napari_anneal.widgets._transform_rows import words

if TYPE_CHECKING:
    from napari_anneal.augmentation import AugmentationRecipe

__all__ = ["ALONE", "WHOLE", "ShowChoice"]

WHOLE, ALONE = "the whole recipe", "every transform alone"


class ShowChoice(QWidget):
    """Choose what is shown, and whether the paint lies over it.

    Signals
    -------
    changed
        Something else is to be shown.
    """

    changed = Signal()
    tip = "The original beside draws of the whole recipe, as training makes them, or of transforms each alone."

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = tuple(names)
        self.combo = shrinkable(QComboBox())
        self.combo.setToolTip(self.tip)
        self.overlay = QCheckBox("labels")
        self.overlay.setChecked(True)
        self.overlay.setToolTip("Paint over the cells on or off.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.combo, 1)
        row.addWidget(self.overlay)
        for text in (WHOLE, ALONE):
            self.combo.addItem(text, text)
        for name in self._names:
            self.combo.addItem(words(name), name)
        self.combo.currentIndexChanged.connect(self.changed)

    @property
    def looked_at(self) -> str | None:
        """The one transform that is shown alone, or ``None``."""
        data = self.combo.currentData()
        return None if data in (WHOLE, ALONE) else str(data)

    def forbid(self, reasons: Mapping[str, str]) -> None:
        """Grey the transforms that are not legal; where one of them is shown, show the whole recipe."""
        if self.looked_at in reasons:
            self.combo.setCurrentIndex(0)
        model = self.combo.model()
        for index in range(2, self.combo.count()):
            name = self.combo.itemData(index)
            self.combo.setItemText(index, words(name) + (" (not legal)" if name in reasons else ""))
            self.combo.setItemData(index, reasons.get(name, ""), Qt.ItemDataRole.ToolTipRole)
            model.item(index).setEnabled(name not in reasons)

    def tiles(self, recipe: AugmentationRecipe, seed: int, columns: int) -> tuple[tuple[Tile, ...], int]:
        """The cells to draw, and in how many columns."""
        name = self.looked_at
        if name is not None:
            return draws(one(recipe, name), columns**2, seed, words(name)), columns
        if self.combo.currentData() == WHOLE:
            return draws(recipe, columns**2, seed, "draw"), columns
        legal = [name for name in self._names if name not in recipe.switched_off]
        tiles = alone(recipe, legal, seed, words)
        return tiles, math.ceil(math.sqrt(len(tiles)))
