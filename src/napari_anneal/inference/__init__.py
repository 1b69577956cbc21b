"""Segmenting images and stacks with a trained model: tiles that cannot be seen, results that survive a stop."""

from napari_anneal.inference.ensemble import Ensemble, ensemble
from napari_anneal.inference.gold import GoldOpening, open_gold, opened_before
from napari_anneal.inference.instances import (
    InstanceRecipe,
    Instances,
    InstanceTable,
    find_instances,
    instance_table,
)
from napari_anneal.inference.model import Model, load_model, shipped_models
from napari_anneal.inference.rank_recipe import RankRecipe
from napari_anneal.inference.ranking import Ranking, rank
from napari_anneal.inference.segmentation import Segmentation
from napari_anneal.inference.uncertainty import Uncertainty, estimate_uncertainty

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
