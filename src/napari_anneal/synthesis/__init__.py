"""Microstructures from nothing: a recipe and a seed give an image with perfect labels, in 2D and 3D.

Building a recipe is light; numba, SciPy and torch load when something that needs them is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.as_text import as_command, as_python
from napari_anneal.synthesis.geometry.sizes import target_sizes
from napari_anneal.synthesis.growth.recipe import Growth, TwoPhase
from napari_anneal.synthesis.microstructure import Microstructure, synthesize
from napari_anneal.synthesis.objects.recipe import Objects
from napari_anneal.synthesis.pairs import SavedPairs, save_pairs
from napari_anneal.synthesis.presets import PRESETS, preset, preset_ranges
from napari_anneal.synthesis.randomization import (
    AppearanceRanges,
    GrowthRanges,
    ObjectRanges,
    RecipeRanges,
    TwoPhaseRanges,
)
from napari_anneal.synthesis.recipe import MicrostructureRecipe
from napari_anneal.synthesis.spans import Choice, Span
from napari_anneal.synthesis.stream import SyntheticStream
from napari_anneal.synthesis.transfer.look import RealLook
from napari_anneal.synthesis.volume import synthesize_volume

if TYPE_CHECKING:
    from napari_anneal.synthesis.on_device.batch import MicrostructureBatch, synthesize_batch
    from napari_anneal.synthesis.statistics.closing import ClosedCells, close_cells
    from napari_anneal.synthesis.statistics.grains import GrainStatistics, grain_statistics
    from napari_anneal.synthesis.statistics.network import NetworkStatistics, network_statistics
    from napari_anneal.synthesis.torch_dataset import StreamDataset
    from napari_anneal.synthesis.transfer.matching import Matched, look_distance, match_image
    from napari_anneal.synthesis.transfer.shift import BoundaryShift, boundary_shift

# Names whose modules load a compiler, SciPy or torch: where each lives, below this package.
_HEAVY = {
    "BoundaryShift": "transfer.shift",
    "ClosedCells": "statistics.closing",
    "GrainStatistics": "statistics.grains",
    "MicrostructureBatch": "on_device.batch",
    "Matched": "transfer.matching",
    "NetworkStatistics": "statistics.network",
    "StreamDataset": "torch_dataset",
    "boundary_shift": "transfer.shift",
    "close_cells": "statistics.closing",
    "grain_statistics": "statistics.grains",
    "look_distance": "transfer.matching",
    "match_image": "transfer.matching",
    "network_statistics": "statistics.network",
    "synthesize_batch": "on_device.batch",
}

__all__ = [
    "PRESETS",
    "Appearance",
    "AppearanceRanges",
    "BoundaryShift",
    "Choice",
    "ClosedCells",
    "GrainStatistics",
    "Growth",
    "GrowthRanges",
    "Matched",
    "Microstructure",
    "MicrostructureBatch",
    "MicrostructureRecipe",
    "NetworkStatistics",
    "ObjectRanges",
    "Objects",
    "RealLook",
    "RecipeRanges",
    "SavedPairs",
    "Span",
    "StreamDataset",
    "SyntheticStream",
    "TwoPhase",
    "TwoPhaseRanges",
    "as_command",
    "as_python",
    "boundary_shift",
    "close_cells",
    "grain_statistics",
    "look_distance",
    "match_image",
    "network_statistics",
    "preset",
    "preset_ranges",
    "save_pairs",
    "synthesize",
    "synthesize_batch",
    "synthesize_volume",
    "target_sizes",
]


def __getattr__(name: str) -> Any:
    """Load a heavy name the first time it is asked for."""
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HEAVY[name]}"), name)
    globals()[name] = value
    return value
