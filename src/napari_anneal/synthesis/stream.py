"""An endless stream of microstructures for training, each a pure function of (seed, index)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_anneal.synthesis.microstructure import CLASSES, Microstructure, check_seed, synthesize
from napari_anneal.synthesis.randomization import RecipeRanges
from napari_anneal.synthesis.recipe import MicrostructureRecipe

if TYPE_CHECKING:
    from napari_anneal.synthesis.torch_dataset import StreamDataset

__all__ = ["SyntheticStream"]


class SyntheticStream:
    """An endless, indexable stream of microstructures: ``stream[i]`` depends on the seed and on i alone.

    So worker processes can share it without talking to each other, and a run resumes where it stopped. Of a single
    recipe in place of ranges all settings stay as they are, and every image has a seed of its own.

    Raises
    ------
    InputError
        The seed is not a whole number ≥ 0.
    """

    def __init__(self, ranges: RecipeRanges | MicrostructureRecipe | None = None, seed: int = 0) -> None:
        check_seed(seed)
        self.ranges = RecipeRanges() if ranges is None else ranges
        self.seed = int(seed)

    @classmethod
    def in_patches(cls, recipe: RecipeRanges | MicrostructureRecipe, seed: int, patch: int) -> Self:
        """Return a stream of 2D images of ``patch`` pixels with grains as large as those of the recipe.

        Seeds at given points or of given sizes cannot be cut to a patch: random ones of the same number take their
        place.

        Raises
        ------
        InputError
            The recipe does not hold on a patch of this size.
        """
        changes: dict[str, Any] = {"shape": (patch, patch), "spacing": None}
        if isinstance(recipe, MicrostructureRecipe):
            cell = math.pi / 4 * recipe.grain_diameter**2
            changes |= {"n_seeds": max(1, round(patch**2 / cell)), "points": None, "target_sizes": None}
            if recipe.points is not None:
                changes["placement"] = "random"
        return cls(recipe.model_copy(update=changes), seed)

    @property
    def classes(self) -> tuple[str, str]:
        """Names of labels 1 and 2; of mixed kinds what they have in common."""
        kind = self.ranges.kind
        kinds = {kind} if isinstance(kind, str) else set(kind.options)
        return CLASSES[kinds.pop()] if len(kinds) == 1 else ("inside", "boundary or object")

    def recipe(self, index: int) -> tuple[MicrostructureRecipe, int]:
        """Return the recipe and the seed of image ``index``; ``synthesize`` of the two is ``stream[index]``."""
        if index < 0:
            raise IndexError(f"the stream has no end to count back from, so index {index} does not exist")
        rng = np.random.default_rng([self.seed, int(index)])
        recipe = self.ranges.draw(rng) if isinstance(self.ranges, RecipeRanges) else self.ranges
        return recipe, int(rng.integers(2**62))

    def __getitem__(self, index: int) -> Microstructure:
        """Make microstructure ``index`` (0, 1, …)."""
        return synthesize(*self.recipe(index))

    def __iter__(self) -> Iterator[Microstructure]:
        """Make microstructures 0, 1, 2, … without end."""
        index = 0
        while True:
            yield self[index]
            index += 1

    def dataset(self, length: int, first: int = 0) -> StreamDataset:
        """Items ``first … first + length - 1`` as a torch dataset of (image, labels) tensors, see `StreamDataset`."""
        from napari_anneal.synthesis.torch_dataset import StreamDataset

        return StreamDataset(self, length, first)
