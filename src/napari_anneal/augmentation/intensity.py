"""The transforms of grey value, as albumentations transforms that keep what lies outside [0, 1].

The library's own versions clip float images to [0, 1]. Our unit range ends at percentiles, not at the
extremes, so clipping there would saturate half a percent of every image at each end, and more with each
transform. This module imports albumentations; the pipeline imports it on first use.
"""

from __future__ import annotations

import math
from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from napari_anneal.augmentation.geometry import mark

__all__ = [
    "Blur",
    "Brightness",
    "Clahe",
    "Contrast",
    "Cutout",
    "Gamma",
    "GaussianNoise",
    "PoissonNoise",
    "SaltPepper",
]

Image = npt.NDArray[np.float32]
MID_GREY = np.float32(0.5)


class _Ranged(A.ImageOnlyTransform):  # type: ignore[misc]
    """A transform of grey value with one number drawn uniformly from a range."""

    def __init__(self, limits: tuple[float, float], p: float) -> None:
        super().__init__(p=p)
        self.limits = limits

    def get_params(self) -> dict[str, Any]:
        """Draw the number."""
        return {"value": self.py_random.uniform(*self.limits)}


class Brightness(_Ranged):
    """Add a constant."""

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """``x + value``."""
        return img + np.float32(value)


class Contrast(_Ranged):
    """Stretch about mid-grey, not the mean of the patch: the same draw does the same to every patch."""

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """``½ + value · (x - ½)``."""
        return (img - MID_GREY) * np.float32(value) + MID_GREY


class Gamma(_Ranged):
    """Power law on [0, 1], continued beyond it by its value below and by its tangent above."""

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """``x^value`` within [0, 1]; ``x`` below 0; ``1 + value · (x - 1)`` above 1."""
        inside = np.clip(img, 0.0, 1.0)
        below, above = np.minimum(img, 0.0), np.maximum(img - 1.0, 0.0)
        powered: Image = np.power(inside, np.float32(value)) + below + np.float32(value) * above
        return powered


class Clahe(_Ranged):
    """Contrast-limited adaptive histogram equalisation of the luminance, 16 bits deep (OpenCV)."""

    def __init__(self, limits: tuple[float, float], tiles: int, p: float) -> None:
        super().__init__(limits, p)
        self.tiles = tiles

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """Equalise what lies in [0, 1] and add the change to every channel: colours keep their hue."""
        grey = np.clip(img.mean(axis=-1), 0.0, 1.0)
        deep = np.round(grey * np.float32(65535)).astype(np.uint16)
        equal = cv2.createCLAHE(value, (self.tiles, self.tiles)).apply(deep).astype(np.float32) / np.float32(65535)
        equalised: Image = img + (equal - grey)[..., np.newaxis]
        return equalised


class Blur(_Ranged):
    """Gaussian point spread function."""

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """Convolve, mirrored at the border."""
        blurred = cv2.GaussianBlur(img, (0, 0), value, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(blurred, np.float32).reshape(img.shape)


class PoissonNoise(_Ranged):
    """Shot noise: ``value`` counts at intensity 1, drawn on a log scale because dose is."""

    def get_params(self) -> dict[str, Any]:
        """Draw the counts log-uniformly."""
        low, high = (math.log(limit) for limit in self.limits)
        return {"value": math.exp(self.py_random.uniform(low, high))}

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """Poisson(value · x) / value; no counts below 0, where the value stays."""
        counts = self.random_generator.poisson(np.maximum(img, 0.0) * np.float32(value))
        noisy: Image = counts.astype(np.float32) / np.float32(value) + np.minimum(img, 0.0)
        return noisy


class GaussianNoise(_Ranged):
    """Read noise, independent in every pixel and channel."""

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """``x + value · N(0, 1)``."""
        noise = self.random_generator.standard_normal(img.shape, dtype=np.float32)
        noisy: Image = img + np.float32(value) * noise
        return noisy


class SaltPepper(_Ranged):
    """Dead and hot pixels: a fraction of the pixels set to 0 or 1, in all channels at once."""

    def apply(self, img: Image, value: float, **params: Any) -> Image:
        """Hit ``value`` of the pixels, half of them dark and half bright."""
        draw = self.random_generator.random(img.shape[:2], dtype=np.float32)
        hit = img.copy()
        hit[draw < value / 2] = 0.0
        hit[draw > 1 - value / 2] = 1.0
        return hit


class Cutout(A.CoarseDropout):  # type: ignore[misc]
    """Random rectangles set to the mean of the patch; their labels become 0 (nothing tells the class)."""

    def apply(self, img: Image, holes: npt.NDArray[np.int_], seed: int, **params: Any) -> Image:
        """Fill with the mean: black or random grey would teach the net what a hole looks like."""
        filled = img.copy()
        mean = img.mean(axis=(0, 1))
        for x0, y0, x1, y1 in holes:
            filled[y0:y1, x0:x1] = mean
        return filled

    def apply_to_images(self, images: Image, holes: npt.NDArray[np.int_], seed: int, **params: Any) -> Image:
        """Fill every slice of a stack with its own mean."""
        return np.stack([self.apply(image, holes, seed) for image in images])

    def apply_to_keypoints(
        self, keypoints: npt.NDArray[Any], holes: npt.NDArray[np.int_], **params: Any
    ) -> npt.NDArray[Any]:
        """Mark the points that were erased."""
        x, y = keypoints[:, 0], keypoints[:, 1]
        gone = np.zeros(len(keypoints), dtype=bool)
        for x0, y0, x1, y1 in holes:
            gone |= (x >= x0 - 0.5) & (x < x1 - 0.5) & (y >= y0 - 0.5) & (y < y1 - 0.5)
        return mark(keypoints, gone)
