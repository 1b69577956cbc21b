"""What makes a place worth labelling, as a recipe: how unsure the model is there, of what, and what else was chosen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_anneal.inference.uncertainty import Estimator
from napari_anneal.recipe_base import Recipe

__all__ = ["Measure", "RankRecipe"]

Measure = Literal["entropy", "mutual_information", "variance"]


class RankRecipe(Recipe):
    """Everything that decides a ranking but the model and the images: the same recipe gives the same order."""

    top: int = Field(20, ge=1, le=100_000, description="How many places to name.")
    tile: int | None = Field(
        None, ge=16, le=16384, description="Side of the places, px; empty: whole images and whole slices."
    )
    every: int = Field(1, ge=1, description="Of a stack look at every n-th slice only.")
    estimator: Estimator = Field(
        "tta",
        description="Looks that tell how unsure the model is: tta = flips and turns that are legal for the sample, "
        "entropy = one look, ensemble = every member of an ensemble.",
    )
    measure: Measure = Field(
        "entropy",
        description="What is averaged over a place: entropy of the mean probabilities; mutual_information (what the "
        "looks disagree about); variance.",
    )
    foreground: tuple[str, ...] = Field(
        (), description="Classes that matter; empty: all but the one that covers most of what is ranked."
    )
    band_px: float = Field(8.0, ge=0, le=1000, description="Ground this near to predicted foreground counts too, px.")
    elsewhere: float = Field(
        0.1, ge=0, le=1, description="What uncertainty in the rest counts; 1: foreground makes no difference."
    )
    diversity: float = Field(
        1.0,
        ge=0,
        le=1,
        description="How much a place loses that is like one chosen or labelled; 0: nothing.",
    )
    slice_distance: float | None = Field(
        None,
        gt=0,
        description="Slices of one stack this near count as alike, in slices; empty: half of what evenly spaced picks "
        "would lie apart.",
    )
    balance: float = Field(
        0.5,
        ge=0,
        le=4,
        description="Score is divided by (1 + n)^balance, n being how many more places of this specimen have had their "
        "turn than of the one with the fewest; 0: specimens do not matter.",
    )
