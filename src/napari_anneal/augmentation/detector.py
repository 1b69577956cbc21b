"""Noise and blur of the user's own instrument, read off the user's own images, as ranges of the augmentation recipe.

Shot and read noise come from a photon-transfer curve over the flat places of every image, in the unit range in which
the recipe counts: a variance ``read² + gain · x`` is ``1 / gain`` counts at intensity 1. The point spread comes from
the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_anneal.augmentation.noise_width import NoiseWidth, noise_width
from napari_anneal.augmentation.sharpness import Blur, estimate_blur
from napari_anneal.errors import InputError
from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.synthesis.transfer.noise import Noise, estimate_noise

__all__ = ["LOW_DOSE_COUNTS", "LowDose", "MatchedNoise", "low_dose", "match_noise"]

Range = tuple[float, float]
# Fewer counts at intensity 1 than the default recipe ever draws: noise of a tenth of the range and more.
LOW_DOSE_COUNTS = 100.0
# Weakest noise or blur that is added, as a part of the detector's own; the strongest is the detector's own.
LEAST_PART = 0.5
# Standard deviation below which noise is nothing a network could see (a 16-bit image with 500 levels of it has this).
NO_NOISE = 2e-3
SMALLEST_SIDE = 64
# Whole numbers from 0 to no more than this are counts of single quanta: their zeros are not cut off.
MOST_SINGLE_COUNTS = 40
# Share of the pixels at black or white above which little noise is left to be found.
MOST_CUT_OFF = 0.2


class LowDose(NamedTuple):
    """What to do about images of few counts.

    Attributes
    ----------
    counts
        Counts per pixel at intensity 1 of the image that has fewest.
    settings
        Fields of the recipe that switch shot noise on, in the range of the images.
    sentence
        Both in one plain sentence.
    """

    counts: float
    settings: dict[str, Any]
    sentence: str


class MatchedNoise(NamedTuple):
    """What the instrument adds, over all images; ``str()`` gives it in one line.

    Attributes
    ----------
    gaussian_noise_std
        Read noise to draw from, fraction of the intensity range; ``None``: there is none.
    poisson_counts
        Counts at intensity 1 to draw from; ``None``: no shot noise.
    blur_sigma_px
        Blur to draw from, pixels; ``None``: it cannot be told, or the images are sharper than pixels can show.
    measured
        Read noise and gain of every image in its unit range, in order.
    blurs
        Blur of every image, each with a sentence.
    remarks
        What to know before these figures are believed, a sentence each.
    """

    gaussian_noise_std: Range | None
    poisson_counts: Range | None
    blur_sigma_px: Range | None
    measured: tuple[Noise, ...]
    blurs: tuple[Blur, ...]
    remarks: tuple[str, ...]

    @property
    def suggestion(self) -> str | None:
        """A sentence where the dose is so low that shot noise should be augmented; else ``None``."""
        low = low_dose(self.measured)
        return None if low is None else low.sentence

    @property
    def settings(self) -> dict[str, Any]:
        """Fields for ``AugmentationRecipe(**…)`` or ``model_copy(update=…)``; noise the detector lacks is off.

        Where the blur cannot be told, its fields are not among them.
        """
        found: dict[str, Any] = {"gaussian_noise": 0.0, "poisson": 0.0}
        if self.gaussian_noise_std is not None:
            found |= {"gaussian_noise": 0.3, "gaussian_noise_std": self.gaussian_noise_std}
        if self.poisson_counts is not None:
            found |= {"poisson": 0.1 if self.suggestion is None else 0.5, "poisson_counts": self.poisson_counts}
        if self.blur_sigma_px is not None:
            found |= {"blur": 0.1, "blur_sigma_px": self.blur_sigma_px}
        return found

    def __str__(self) -> str:
        """Read noise, counts and blur to draw from."""
        std, counts, blur = self.gaussian_noise_std, self.poisson_counts, self.blur_sigma_px
        return ", ".join(
            (
                "no read noise"
                if std is None
                else f"read noise {100 * std[0]:.2g} to {100 * std[1]:.2g} % of the range",
                "no shot noise" if counts is None else f"shot noise of {counts[0]:,.0f} to {counts[1]:,.0f} counts",
                "blur not known" if blur is None else f"blur {blur[0]:.2g} to {blur[1]:.2g} px",
            )
        )


def match_noise(images: Sequence[npt.NDArray[Any]]) -> MatchedNoise:
    """Estimate noise and blur of some images, and how much of them to add to make more of their kind.

    Give training images only: what is measured here decides what a network is trained on.

    Parameters
    ----------
    images
        Grey ``(Y, X)`` or colour ``(Y, X, C)``, any real dtype, as they came from the detector (smoothed or denoised
        images have little noise left to find, and a remark says so); of a volume, slices; 64 px a side at least.

    Raises
    ------
    InputError
        No images, an image of another shape or too small; a constant image, NaN or infinite pixels.
    """
    if not images:
        raise InputError("there are no images to read noise off; give at least one.")
    arrays = [np.asarray(image) for image in images]
    found = [_measure(image, f"image {number}") for number, image in enumerate(arrays, 1)]
    measured = tuple(noise for noise, _, _ in found)
    blurs = tuple(blur for _, blur, _ in found)
    widths = [noise.read for noise in measured if noise.read > NO_NOISE]
    counts = _counts(measured)
    sigmas = [blur.sigma_px for blur in blurs if blur.sigma_px is not None]
    return MatchedNoise(
        (LEAST_PART * min(widths), max(widths)) if widths else None,
        _drawn(counts) if counts else None,
        (LEAST_PART * min(sigmas), max(sigmas)) if sigmas else None,
        measured,
        blurs,
        tuple(_remarks([width for _, _, width in found], blurs, [_cut_off(image) for image in arrays])),
    )


def low_dose(measured: Sequence[Noise]) -> LowDose | None:
    """Suggest shot noise for images of fewer than 100 counts; ``None`` where none has so few.

    Parameters
    ----------
    measured
        Noise of every image in its unit range, such as `MatchedNoise.measured`.
    """
    counts = _counts(measured)
    if not counts or min(counts) >= LOW_DOSE_COUNTS:
        return None
    low, high = _drawn(counts)
    limits = (float(f"{low:.2g}"), float(f"{high:.2g}"))
    return LowDose(
        min(counts),
        {"poisson": 0.5, "poisson_counts": limits},
        f"Only about {min(counts):.0f} counts per pixel lie between dark and bright, so shot noise rules: switch on "
        f"Poisson noise (poisson=0.5, poisson_counts={limits}).",
    )


def _counts(measured: Sequence[Noise]) -> list[float]:
    """Counts at intensity 1 of the images that have shot noise."""
    return [1 / noise.gain for noise in measured if noise.gain > NO_NOISE**2]


def _drawn(counts: Sequence[float]) -> Range:
    """From the shot noise of the noisiest image to a part of that of the cleanest."""
    return min(counts), max(counts) / LEAST_PART**2


def _measure(image: npt.NDArray[Any], where: str) -> tuple[Noise, Blur, NoiseWidth]:
    """Noise in the unit range, blur and width of the noise; of a colour image, the mean variance of its channels."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] > 4) or min(image.shape[:2]) < SMALLEST_SIDE:
        raise InputError(
            f"{where} is {tuple(image.shape)}; noise is read off grey (Y, X) or colour (Y, X, C) images of "
            f"{SMALLEST_SIDE} px a side at least."
        )
    unit = intensity_range(image, "YXC"[: image.ndim], where).apply(image, where)
    planes = unit[None] if unit.ndim == 2 else np.moveaxis(unit, -1, 0)
    clipped = not _single_counts(image)
    noises, widths = [estimate_noise(plane, clipped) for plane in planes], [noise_width(plane) for plane in planes]
    widest = max(widths, key=lambda width: width.sigma_px)
    noise = Noise(
        float(np.sqrt(np.mean([n.read**2 * w.factor for n, w in zip(noises, widths, strict=True)]))),
        float(np.mean([n.gain * w.factor for n, w in zip(noises, widths, strict=True)])),
    )
    # Grey of all channels: an edge lies at the same place in each, and their noise averages out.
    grey = planes.mean(axis=0, dtype=np.float64)
    return noise, estimate_blur(grey, noise.variance(grey) / len(planes), widest.sigma_px), widest


def _single_counts(image: npt.NDArray[Any]) -> bool:
    """Whether pixels count quanta, so few that many have none."""
    counts = image.min() == 0 and 1 < image.max() <= MOST_SINGLE_COUNTS
    return bool(counts and (image.dtype.kind in "ui" or (image == np.rint(image)).all()))


def _cut_off(image: npt.NDArray[Any]) -> float:
    """Share of the pixels that lie at the darkest or brightest value there is."""
    return 0.0 if _single_counts(image) else float(((image == image.min()) | (image == image.max())).mean())


def _remarks(widths: Sequence[NoiseWidth], blurs: Sequence[Blur], cut_off: Sequence[float]) -> list[str]:
    """What the estimates leave open."""
    found = []
    cut = [number for number, share in enumerate(cut_off, 1) if share > MOST_CUT_OFF]
    if cut:
        found.append(
            f"{max(cut_off):.0%} of the pixels of {_images(cut, len(cut_off))} are cut off at black or white, where no "
            "noise is left to measure; use images that were taken with brightness and contrast to spare."
        )
    smoothed = [number for number, width in enumerate(widths, 1) if width.sigma_px > 0]
    if smoothed:
        lost = any(not width.known for width in widths)
        found.append(
            f"The noise of neighbouring pixels is alike in {_images(smoothed, len(widths))}, as after smoothing, "
            "resampling or compression; "
            + ("it is stronger than was measured, so use" if lost else "this was allowed for, but use")
            + " images as they came from the detector if there are any."
        )
    unknown = [number for number, blur in enumerate(blurs, 1) if blur.sigma_px is None]
    if unknown:
        found.append(
            f"The blur of {_images(unknown, len(blurs))} is not known: {blurs[unknown[0] - 1].sentence}; set it by eye."
        )
    return found


def _images(numbers: Sequence[int], total: int) -> str:
    if total == 1:
        return "the image"
    if len(numbers) == total:
        return "all images"
    return f"image {numbers[0]}" + (f" and {len(numbers) - 1} more" if len(numbers) > 1 else "")
