"""Segmenting images and stacks with a trained model: tiles that cannot be seen, results that survive a stop.

Instances load a compiler (numba) when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_anneal.inference.ensemble import Ensemble, ensemble
from napari_anneal.inference.gold import GoldOpening, open_gold, opened_before
from napari_anneal.inference.model import Model, load_model, shipped_models
from napari_anneal.inference.rank_recipe import RankRecipe
from napari_anneal.inference.ranking import Ranking, rank
from napari_anneal.inference.segmentation import Segmentation
from napari_anneal.inference.uncertainty import Uncertainty, estimate_uncertainty

if TYPE_CHECKING:
    from napari_anneal.inference.instances import (
        InstanceRecipe,
        Instances,
        InstanceTable,
        find_instances,
        instance_table,
    )

_HEAVY = ("InstanceRecipe", "InstanceTable", "Instances", "find_instances", "instance_table")

__all__ = [
    "Ensemble",
    "GoldOpening",
    "InstanceRecipe",
    "InstanceTable",
    "Instances",
    "Model",
    "RankRecipe",
    "Ranking",
    "Segmentation",
    "Uncertainty",
    "ensemble",
    "estimate_uncertainty",
    "find_instances",
    "instance_table",
    "load_model",
    "open_gold",
    "opened_before",
    "rank",
    "shipped_models",
]


def __getattr__(name: str) -> Any:
    """Load a heavy name the first time it is asked for."""
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("napari_anneal.inference.instances"), name)
    globals()[name] = value
    return value
