"""Microstructures from nothing: a recipe and a seed give an image with perfect labels, in 2D and 3D.

Building a recipe is light; numba and SciPy load when something is first synthesized.
"""

from __future__ import annotations

from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.microstructure import Microstructure, synthesize
from napari_anneal.synthesis.objects.recipe import Objects
from napari_anneal.synthesis.randomization import AppearanceRanges, ObjectRanges, RecipeRanges
from napari_anneal.synthesis.recipe import MicrostructureRecipe
from napari_anneal.synthesis.spans import Choice, Span
from napari_anneal.synthesis.stream import SyntheticStream

__all__ = [
    "Appearance",
    "AppearanceRanges",
    "Choice",
    "Microstructure",
    "MicrostructureRecipe",
    "ObjectRanges",
    "Objects",
    "RecipeRanges",
    "Span",
    "SyntheticStream",
    "synthesize",
]
