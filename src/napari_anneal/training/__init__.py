"""Fine-tuning as continued optimization: the recipe, the loop that follows it, and the events it tells."""

from napari_anneal.training.recipe import PRESETS, FineTuneRecipe, Stage
from napari_anneal.training.run import Run, fine_tune

__all__ = ["PRESETS", "FineTuneRecipe", "Run", "Stage", "fine_tune"]
