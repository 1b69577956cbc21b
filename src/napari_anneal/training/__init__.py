"""Fine-tuning as continued optimization: the recipe, the loop that follows it, and the events it tells."""

from napari_anneal.training.presets import PRESETS, recommend
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run import Run, fine_tune
from napari_anneal.training.stages import Stage

__all__ = ["PRESETS", "FineTuneRecipe", "Run", "Stage", "fine_tune", "recommend"]
