"""How a user's real images look: grey levels, power by frequency, noise and sharpness, image by image."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from napari_anneal.errors import InputError
from napari_anneal.recipe_base import Recipe
from napari_anneal.synthesis.transfer.noise import estimate_noise
from napari_anneal.synthesis.transfer.spectrum import BINS, radial_power

if TYPE_CHECKING:
    from napari_anneal.synthesis.randomization import RecipeRanges

__all__ = ["RealLook"]

# Grey levels at these shares of the pixels; the ends keep clear of a few dead pixels.
SHARES = (0.001, 0.005, *(k / 64 for k in range(1, 64)), 0.995, 0.999)
# Enough to see the whole of an image or a volume, and little enough for a recipe file.
MOST_IMAGES, MOST_PLANES, LARGEST_SIDE = 12, 6, 1024
SMALLEST_SIDE = 24


class RealLook(Recipe):
    """What `RealLook.estimate` finds in real images without labels; part of a recipe, and of the JSON beside the data.

    Grey levels are fractions of the full range, 0 … 1. Each list has one entry an image; a synthetic image is matched
    to one of them, drawn by its seed.
    """

    levels: tuple[tuple[float, ...], ...] = Field(
        description="Grey level that each of 67 fixed shares of the pixels does not exceed, for every image."
    )
    power: tuple[tuple[float, ...], ...] = Field(
        description="Power spectral density in 32 bins from 0 to 0.5 cycles/px, over all directions of the YX planes."
    )
    read_noise: tuple[float, ...] = Field(description="Deviation of the noise of the read-out, in grey levels.")
    gain: tuple[float, ...] = Field(description="Variance of the noise by grey level: 1 / dose of a white pixel.")
    strength: float = Field(1.0, ge=0, le=1, description="How far images are matched: 0 not at all, 1 as far as goes.")

    @model_validator(mode="after")
    def _one_entry_an_image(self) -> RealLook:
        counts = {len(self.levels), len(self.power), len(self.read_noise), len(self.gain)}
        if len(counts) != 1 or 0 in counts:
            raise ValueError("levels, power, read_noise and gain need one entry for each image, and one image or more")
        if any(len(row) != len(SHARES) for row in self.levels) or any(len(row) != BINS for row in self.power):
            raise ValueError(f"every image needs {len(SHARES)} levels and {BINS} powers")
        if any(b < a for row in self.levels for a, b in pairwise(row)):
            raise ValueError("levels must not fall")
        if min(map(min, self.power)) < 0 or min(self.read_noise) < 0 or min(self.gain) < 0:
            raise ValueError("power, read_noise and gain must not be negative")
        return self

    @classmethod
    def estimate(cls, images: npt.NDArray[Any] | Iterable[npt.NDArray[Any]], strength: float = 1.0) -> RealLook:
        """Look at real images; needs no labels.

        Parameters
        ----------
        images
            One array or several, ``(Y, X)`` or ``(Z, Y, X)``, any number type; a last axis of 3 or 4 is colour and
            averaged. 8-bit images use their full range 0 … 255; for all others the 0.1th and the 99.9th percentile of
            all images together are taken for black and white. Of more than 12 images every n-th is used.
        strength
            See `strength`.

        Raises
        ------
        InputError
            No image, one too small (24 pixels along Y and X), or one that holds NaN or is constant.
        """
        given = [images] if isinstance(images, np.ndarray) else list(images)
        stacks = _scaled([_planes(image, number) for number, image in enumerate(_every(given, MOST_IMAGES))])
        if not stacks:
            raise InputError("a look needs real images to look at; give one or more.")
        noise = [[estimate_noise(plane) for plane in stack] for stack in stacks]
        return cls(
            levels=tuple(_row(np.quantile(stack, SHARES)) for stack in stacks),
            power=tuple(_row(np.mean([radial_power(plane) for plane in stack], axis=0)) for stack in stacks),
            read_noise=_row([np.sqrt(np.median([n.read**2 for n in planes])) for planes in noise]),
            gain=_row([np.median([n.gain for n in planes]) for planes in noise]),
            strength=strength,
        )

    def narrow(self, ranges: RecipeRanges) -> RecipeRanges:
        """Ranges whose mean grey level and noise lie about those of the real images, for randomization alone.

        Half to twice the dose and the read noise, which are known to a few percent, and the medians of the grey
        levels with a tenth of the full range to either side. Sharpness and contrasts stay as they are: one image does
        not tell a broad point spread from soft edges.
        """
        least, most = 1e-4, 1e6
        doses = [1 / min(max(g, 1 / most), 1.0) for g in self.gain]
        reads = [min(max(r, least), 0.5) for r in self.read_noise]
        medians = [row[len(SHARES) // 2] for row in self.levels]
        appearance = ranges.appearance.model_copy(
            update={
                "dose": {"low": min(doses) / 2, "high": max(doses) * 2, "log": True},
                "read_noise": {"low": min(reads) / 2, "high": max(reads) * 2, "log": True},
                "mean_grey": {"low": max(min(medians) - 0.1, 0.0), "high": min(max(medians) + 0.1, 1.0)},
            }
        )
        return ranges.model_copy(update={"appearance": appearance})

    @property
    def count(self) -> int:
        """Number of real images in it."""
        return len(self.levels)


def _row(values: Any) -> tuple[float, ...]:
    """Floats of six digits: what an estimate is worth, and what a JSON file brings back unchanged."""
    return tuple(float(f"{v:.6g}") for v in values)


def _every(items: list[Any], most: int) -> list[Any]:
    """All of a list, or so many evenly spread over it."""
    if len(items) <= most:
        return items
    return [items[int(k)] for k in np.linspace(0, len(items) - 1, most).round()]


def _planes(image: Any, number: int) -> npt.NDArray[Any]:
    """Planes ``(P, Y, X)`` of an image or a volume, cut to their middle."""
    array = np.asarray(image)
    if array.ndim in (3, 4) and array.shape[-1] in (3, 4) and array.shape[-2] > 4:
        array = array[..., :3].mean(axis=-1).astype(array.dtype)
    if array.ndim not in (2, 3) or array.dtype.kind not in "buif" or min(array.shape[-2:], default=0) < SMALLEST_SIDE:
        raise InputError(
            f"image {number} of shape {array.shape} and type {array.dtype} cannot be looked at; give (Y, X) or "
            f"(Z, Y, X) with {SMALLEST_SIDE} pixels or more along Y and X."
        )
    stack = array[None] if array.ndim == 2 else array
    stack = stack[np.linspace(0, len(stack) - 1, min(len(stack), MOST_PLANES)).round().astype(int)]
    start = [max(0, (n - LARGEST_SIDE) // 2) for n in stack.shape[1:]]
    stack = stack[:, start[0] : start[0] + LARGEST_SIDE, start[1] : start[1] + LARGEST_SIDE]
    if not np.isfinite(stack).all():
        raise InputError(f"image {number} holds NaN or infinite pixels; replace them first.")
    if stack.min() == stack.max():
        raise InputError(f"image {number} is constant (every pixel is {stack.flat[0]}); there is nothing to see in it.")
    return np.asarray(stack)


def _scaled(stacks: list[npt.NDArray[Any]]) -> list[npt.NDArray[np.float64]]:
    """Grey levels as fractions of the full range."""
    if all(stack.dtype == np.uint8 for stack in stacks):
        return [stack / 255.0 for stack in stacks]
    thinned = np.concatenate([stack[:, ::4, ::4].ravel().astype(np.float64) for stack in stacks])
    black, white = np.quantile(thinned, [0.001, 0.999])
    if not white > black:
        black, white = min(float(s.min()) for s in stacks), max(float(s.max()) for s in stacks)
    return [np.clip((stack.astype(np.float64) - black) / (white - black), 0, 1) for stack in stacks]
