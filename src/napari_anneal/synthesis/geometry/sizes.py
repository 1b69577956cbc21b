"""Which size every grain is to have: log-normal of a given variation, or as listed; together they fill the image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.recipe import SMALLEST_GRAIN, MicrostructureRecipe

__all__ = ["target_sizes"]


def target_sizes(recipe: MicrostructureRecipe, seed: int = 0) -> npt.NDArray[np.float64] | None:
    """Areas (px²) or volumes (px³) that the grains of a recipe and seed are made to have, one a seed.

    Returns
    -------
    numpy.ndarray or None
        ``(n_seeds,)``, its sum the size of the image. ``None`` where the recipe prescribes no sizes. Under a
        ``size_cv`` they are one draw from each of n equally likely parts of the log-normal distribution, so that even
        a few grains have its shape, and vary as much as asked; none is smaller than `SMALLEST_GRAIN` px.
    """
    whole = float(math.prod(recipe.shape))
    if recipe.target_sizes is not None:
        sizes = np.array(recipe.target_sizes, dtype=np.float64)
        return np.asarray(sizes * (whole / sizes.sum()), dtype=np.float64)
    if recipe.size_cv is None:
        return None
    from scipy.special import ndtri

    rng = generator(seed, Step.WEIGHTS)
    count = recipe.n_seeds
    quantile = (rng.permutation(count) + rng.uniform(1e-9, 1 - 1e-9, count)) / count
    normal = ndtri(quantile)
    sizes = np.exp(_spread(normal, recipe.size_cv) * normal)
    sizes *= whole / sizes.sum()
    # Raising the smallest takes from the others, which may put further ones below the limit.
    while sizes.min() < SMALLEST_GRAIN * (1 - 1e-9):
        small = sizes <= SMALLEST_GRAIN
        sizes[small] = SMALLEST_GRAIN
        sizes[~small] *= (whole - SMALLEST_GRAIN * small.sum()) / sizes[~small].sum()
    return np.asarray(sizes, dtype=np.float64)


def _spread(normal: npt.NDArray[np.float64], cv: float) -> float:
    """The σ under which exp(σ · normal) has the asked CV, the sample itself and not only what it is drawn from.

    A finite sample lacks the far tail and so varies less; σ makes up for it, within reason (three grains cannot vary
    by a CV of 2).
    """
    sigma = math.sqrt(math.log1p(cv**2))
    low, high = 0.7 * sigma, 1.5 * sigma
    for _ in range(40):
        middle = (low + high) / 2
        sizes = np.exp(middle * normal)
        low, high = (middle, high) if sizes.std() < cv * sizes.mean() else (low, middle)
    return high
