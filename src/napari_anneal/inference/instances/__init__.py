"""Instances: grains and objects one by one, numbered the same whatever the blocks, and a table of them."""

from __future__ import annotations

from napari_anneal.inference.instances.finding import find_instances
from napari_anneal.inference.instances.linking import link_slices
from napari_anneal.inference.instances.recipe import InstanceRecipe
from napari_anneal.inference.instances.result import Instances
from napari_anneal.inference.instances.table import InstanceTable, instance_table
from napari_anneal.inference.instances.writing import instances_to_file

__all__ = [
    "InstanceRecipe",
    "InstanceTable",
    "Instances",
    "find_instances",
    "instance_table",
    "instances_to_file",
    "link_slices",
]
