"""Segmenting images and stacks with a trained model: tiles that cannot be seen, results that survive a stop."""

from napari_anneal.inference.gold import GoldOpening, open_gold, opened_before
from napari_anneal.inference.instances import (
    InstanceRecipe,
    Instances,
    InstanceTable,
    find_instances,
    instance_table,
)
from napari_anneal.inference.model import Model, load_model, shipped_models
from napari_anneal.inference.segmentation import Segmentation

__all__ = [
    "GoldOpening",
    "InstanceRecipe",
    "InstanceTable",
    "Instances",
    "Model",
    "Segmentation",
    "find_instances",
    "instance_table",
    "load_model",
    "open_gold",
    "opened_before",
    "shipped_models",
]
