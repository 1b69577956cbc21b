"""Grain size after ASTM E112, by intercepts and by counting grains, from label maps in 2D and 3D."""

from __future__ import annotations

from napari_anneal.validation.grains.e112 import g_from_count, g_from_intercept
from napari_anneal.validation.grains.grain_page import write_grain_size
from napari_anneal.validation.grains.hand_count import HandCount
from napari_anneal.validation.grains.measuring import grain_size
from napari_anneal.validation.grains.result import Estimate, GrainSize

__all__ = ["Estimate", "GrainSize", "HandCount", "g_from_count", "g_from_intercept", "grain_size", "write_grain_size"]
