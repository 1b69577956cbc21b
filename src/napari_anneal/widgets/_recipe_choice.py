"""The recipe of *Fine-tune*: preset and length in view, everything else folded away by subject."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QComboBox, QSpinBox, QWidget

from napari_anneal.widgets._augmentation_line import AugmentationLine
from napari_anneal.widgets._draft import AUTO, Draft
from napari_anneal.widgets._form import shrinkable
from napari_anneal.widgets._recipe_form import calm
from napari_anneal.widgets._recipe_settings import RecipeSettings

__all__ = ["RecipeChoice"]

DEFAULT_EPOCHS = 20
OPTIMIZERS = {
    "adamw": "AdamW",
    "adam": "Adam",
    "sgd": "SGD with momentum (rates × 10)",
    "lion": "Lion (rates ÷ 5, weight decay × 5)",
}
OPTIMIZER_TIP = (
    "In place of AdamW, with rates to match: SGD's are ten times AdamW's; Lion's are a fifth, with five times the "
    "weight decay, and it keeps half of AdamW's state in memory."
)
AUTO_TIP = "By the number of labelled images; the reason is said in the plan."


class RecipeChoice(QObject):
    """The editors of a recipe, which a form lays out, and the draft that they make.

    Signals
    -------
    changed
        The recipe is another one.
    """

    changed = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.preset = shrinkable(QComboBox())
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 1000)
        self.epochs.setValue(DEFAULT_EPOCHS)
        calm(self.epochs)
        self.optimizer = shrinkable(QComboBox())
        calm(self.optimizer)
        for name, text in OPTIMIZERS.items():
            self.optimizer.addItem(text, name)
        self.optimizer.setToolTip(OPTIMIZER_TIP)
        self.augmentation = AugmentationLine()
        self.augmentation.changed.connect(self.changed)
        self.settings: RecipeSettings | None = None
        self.edits: dict[tuple[int, str], float | None] = {}
        self.preset.currentIndexChanged.connect(self.take_back_rates)
        self.optimizer.currentIndexChanged.connect(self.take_back_rates)
        self.epochs.valueChanged.connect(self.changed)

    def fill(self) -> RecipeSettings:
        """Fill in what needs the core: presets and the fields of the recipe."""
        from napari_anneal.training import PRESETS, FineTuneRecipe

        self.preset.blockSignals(True)
        for preset, text in {**PRESETS, AUTO: AUTO_TIP}.items():
            self.preset.addItem(preset.replace("_", " "), preset)
            self.preset.setItemData(self.preset.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self.preset.blockSignals(False)
        self.settings = RecipeSettings(FineTuneRecipe.from_preset())
        self.settings.put_first("Length and rates", self.optimizer, "optimizer")
        self.settings.changed.connect(self.changed)
        return self.settings

    def choose(self, preset: str) -> None:
        """Take another preset."""
        self.preset.setCurrentIndex(self.preset.findData(preset))

    def change_rate(self, stage: int, group: str, rate: float | None) -> None:
        """Give a group another peak rate in a stage (from 0); ``None``: freeze it there."""
        self.edits[stage, group] = rate
        self.changed.emit()

    def change_rates(self, changes: dict[tuple[int, str], float]) -> None:
        """Give several groups another peak rate."""
        self.edits |= changes
        self.changed.emit()

    def take_back_rates(self, *_: Any) -> None:
        """Go back to the rates of the preset."""
        self.edits = {}
        self.changed.emit()

    @property
    def draft(self) -> Draft:
        """What the editors say now."""
        return Draft(
            str(self.preset.currentData()),
            str(self.optimizer.currentData()),
            self.epochs.value(),
            {"augmentation": self.augmentation.recipe, **({} if self.settings is None else self.settings.values())},
            dict(self.edits),
        )
