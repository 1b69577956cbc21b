"""Noise of the user's own detector, read off the user's own images, as ranges of the augmentation recipe.

Shot and read noise come from a photon-transfer curve over the flat places of every image, in the unit range in which
the recipe counts: a variance ``read² + gain · x`` is ``1 / gain`` counts at intensity 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.synthesis.transfer.noise import Noise, estimate_noise

__all__ = ["LOW_DOSE_COUNTS", "MatchedNoise", "match_noise"]

Range = tuple[float, float]
# Fewer counts at intensity 1 than the default recipe ever draws: noise of a tenth of the range and more.
LOW_DOSE_COUNTS = 100.0
# Weakest noise that is added, as a part of the detector's own; the strongest is the detector's own.
LEAST_PART = 0.5
# Standard deviation below which noise is nothing a network could see (a 16-bit image with 500 levels of it has this).
NO_NOISE = 2e-3
SMALLEST_SIDE = 64


class MatchedNoise(NamedTuple):
    """What the detector adds, over all images.

    Attributes
    ----------
    gaussian_noise_std
        Read noise to draw from, fraction of the intensity range; ``None``: there is none.
    poisson_counts
        Counts at intensity 1 to draw from; ``None``: no shot noise.
    measured
        Read noise and gain of every image in its unit range, in order.
    suggestion
        A sentence where the dose is so low that shot noise should be augmented; else ``None``.
    """

    gaussian_noise_std: Range | None
    poisson_counts: Range | None
    measured: tuple[Noise, ...]
    suggestion: str | None

    @property
    def settings(self) -> dict[str, Any]:
        """Fields for ``AugmentationRecipe(**…)`` or ``model_copy(update=…)``; noise the detector lacks is off."""
        read = {"gaussian_noise": 0.0} if self.gaussian_noise_std is None else {
            "gaussian_noise": 0.3, "gaussian_noise_std": self.gaussian_noise_std}  # fmt: skip
        if self.poisson_counts is None:
            return read | {"poisson": 0.0}
        return read | {"poisson": 0.1 if self.suggestion is None else 0.5, "poisson_counts": self.poisson_counts}


def match_noise(images: Sequence[npt.NDArray[Any]]) -> MatchedNoise:
    """Estimate the noise of some images, and how much of it to add to make more of their kind.

    Give training images only: what is measured here decides what a network is trained on.

    Parameters
    ----------
    images
        Grey ``(Y, X)`` or colour ``(Y, X, C)``, any real dtype, as they came from the detector (smoothed or denoised
        images have no noise to find); 64 px a side at least.

    Raises
    ------
    InputError
        No images, an image of another shape or too small; a constant image, NaN or infinite pixels.
    """
    if not images:
        raise InputError("there are no images to read noise off; give at least one.")
    measured = tuple(_noise_of(np.asarray(image), f"image {number}") for number, image in enumerate(images, 1))
    reads = [noise.read for noise in measured if noise.read > NO_NOISE]
    counts = [1 / noise.gain for noise in measured if noise.gain > NO_NOISE**2]
    least = min(counts, default=float("inf"))
    suggestion = None
    if least < LOW_DOSE_COUNTS:
        suggestion = (
            f"An image has only about {least:.0f} counts at its bright end, so shot noise rules: switch on Poisson "
            f"noise (poisson=0.5, poisson_counts={_rounded((least, max(counts) / LEAST_PART**2))})."
        )
    return MatchedNoise(
        (LEAST_PART * min(reads), max(reads)) if reads else None,
        (least, max(counts) / LEAST_PART**2) if counts else None,
        measured,
        suggestion,
    )


def _noise_of(image: npt.NDArray[Any], where: str) -> Noise:
    """Noise in the unit range; of a colour image, the mean variance of its channels."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] > 4) or min(image.shape[:2]) < SMALLEST_SIDE:
        raise InputError(
            f"{where} is {tuple(image.shape)}; noise is read off grey (Y, X) or colour (Y, X, C) images of "
            f"{SMALLEST_SIDE} px a side at least."
        )
    unit = intensity_range(image, "YXC"[: image.ndim], where).apply(image, where)
    planes = unit[None] if unit.ndim == 2 else np.moveaxis(unit, -1, 0)
    found = [estimate_noise(plane) for plane in planes]
    return Noise(
        float(np.sqrt(np.mean([noise.read**2 for noise in found]))), float(np.mean([noise.gain for noise in found]))
    )


def _rounded(limits: Range) -> Range:
    return (float(f"{limits[0]:.2g}"), float(f"{limits[1]:.2g}"))
