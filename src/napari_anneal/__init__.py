"""napari-anneal: paint a few labels, fine-tune a pretrained network carefully, segment the whole stack.

The names below are the public interface. They load on first use: ``import napari_anneal`` brings in neither torch
nor Qt, so that the viewer and the terminal start at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "AnnealError": "errors",
    "Appearance": "synthesis",
    "Arrow": "training",
    "AugmentationRecipe": "augmentation",
    "FineTuneRecipe": "training",
    "InstanceRecipe": "inference",
    "MicrostructureRecipe": "synthesis",
    "Model": "inference",
    "RankRecipe": "inference",
    "RecipeRanges": "synthesis",
    "Sample": "samples",
    "SyntheticStream": "synthesis",
    "cascade": "training",
    "cross_validate": "training",
    "ensemble": "inference",
    "estimate_uncertainty": "inference",
    "evaluate": "validation",
    "find_instances": "inference",
    "fine_tune": "training",
    "fine_tune_with_controls": "training",
    "grain_size": "validation",
    "group_split": "validation",
    "instance_table": "inference",
    "load_model": "inference",
    "open_gold": "inference",
    "rank": "inference",
    "read_samples": "samples",
    "synthesize": "synthesis",
}

__all__ = [*_HOME, "__version__"]

if TYPE_CHECKING:
    from napari_anneal.augmentation import AugmentationRecipe as AugmentationRecipe
    from napari_anneal.errors import AnnealError as AnnealError
    from napari_anneal.inference import InstanceRecipe as InstanceRecipe
    from napari_anneal.inference import Model as Model
    from napari_anneal.inference import RankRecipe as RankRecipe
    from napari_anneal.inference import ensemble as ensemble
    from napari_anneal.inference import estimate_uncertainty as estimate_uncertainty
    from napari_anneal.inference import find_instances as find_instances
    from napari_anneal.inference import instance_table as instance_table
    from napari_anneal.inference import load_model as load_model
    from napari_anneal.inference import open_gold as open_gold
    from napari_anneal.inference import rank as rank
    from napari_anneal.samples import Sample as Sample
    from napari_anneal.samples import read_samples as read_samples
    from napari_anneal.synthesis import Appearance as Appearance
    from napari_anneal.synthesis import MicrostructureRecipe as MicrostructureRecipe
    from napari_anneal.synthesis import RecipeRanges as RecipeRanges
    from napari_anneal.synthesis import SyntheticStream as SyntheticStream
    from napari_anneal.synthesis import synthesize as synthesize
    from napari_anneal.training import Arrow as Arrow
    from napari_anneal.training import FineTuneRecipe as FineTuneRecipe
    from napari_anneal.training import cascade as cascade
    from napari_anneal.training import cross_validate as cross_validate
    from napari_anneal.training import fine_tune as fine_tune
    from napari_anneal.training import fine_tune_with_controls as fine_tune_with_controls
    from napari_anneal.validation import evaluate as evaluate
    from napari_anneal.validation import grain_size as grain_size
    from napari_anneal.validation import group_split as group_split


def __getattr__(name: str) -> Any:
    """Load a public name the first time it is asked for."""
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'napari_anneal' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"napari_anneal.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
