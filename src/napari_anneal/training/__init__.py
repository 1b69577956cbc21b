"""Fine-tuning as continued optimization: the recipe, the loop that follows it, and the events it tells."""

from napari_anneal.training.arrows import Arrow, Cascade
from napari_anneal.training.cascade import cascade, run_arrows
from napari_anneal.training.control import RunControl
from napari_anneal.training.control_runs import ControlledRun, fine_tune_with_controls
from napari_anneal.training.cross_validation import CrossValidation, cross_validate
from napari_anneal.training.lr_finder import RateCurve, find_rate, with_head_rate
from napari_anneal.training.presets import PRESETS, recommend
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run import Run, fine_tune
from napari_anneal.training.stages import Stage

__all__ = [
    "PRESETS",
    "Arrow",
    "Cascade",
    "ControlledRun",
    "CrossValidation",
    "FineTuneRecipe",
    "RateCurve",
    "Run",
    "RunControl",
    "Stage",
    "cascade",
    "cross_validate",
    "find_rate",
    "fine_tune",
    "fine_tune_with_controls",
    "recommend",
    "run_arrows",
    "with_head_rate",
]
