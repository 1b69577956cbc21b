"""Grey values → network input: one pair of robust limits per image or volume, never per tile or slice.

An 8-bit SEM image, a 16-bit CT volume and a float reconstruction all land on the same scale: the 2nd percentile maps
to 0 and the 98th to 1, then ImageNet's grey mean and deviation are taken off, because the pretrained backbones expect
them. Two percent at either end, because a hole, a scale bar or a charging streak often covers one: with half a percent,
a single hole squeezed all phases of a superalloy image into a third of the range, and the network confused them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["IntensityRange", "intensity_range"]

LOW_PERCENTILE, HIGH_PERCENTILE = 2.0, 98.0
# Mean over the three channels of ImageNet's (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).
IMAGENET_GREY_MEAN, IMAGENET_GREY_STD = 0.449, 0.226
# Values beyond the limits keep their order, but one dead pixel of a float image cannot dominate a convolution.
CLIP = (-1.0, 2.0)
MAX_SLICES, MAX_PIXELS_PER_SLICE = 16, 1 << 18


@dataclass(frozen=True)
class IntensityRange:
    """The two grey values that map to 0 and 1."""

    low: float
    high: float

    def apply(self, image: npt.NDArray[Any], where: str = "the image") -> npt.NDArray[np.float32]:
        """Scale to [0, 1] at the two limits (float32, same shape), values beyond them kept up to a clip.

        Raises
        ------
        InputError
            NaN or infinite pixels.
        """
        _require_finite(image, where)
        scaled = (image.astype(np.float32) - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.asarray(np.clip(scaled, *CLIP), dtype=np.float32)


def standardise(unit: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Unit-range image → zero mean and unit deviation in ImageNet's sense (float32, same shape)."""
    return (unit - np.float32(IMAGENET_GREY_MEAN)) / np.float32(IMAGENET_GREY_STD)


def intensity_range(image: Any, axes: str = "YX", where: str = "the image") -> IntensityRange:
    """Robust limits of a whole image or volume, read from at most 16 evenly spaced slices.

    The pixels looked at depend on the shape alone, so training and inference on the same volume agree exactly.

    Raises
    ------
    InputError
        NaN or infinite pixels, or a constant image.
    """
    if "Z" in axes:
        depth = image.shape[axes.index("Z")]
        picks = np.unique(np.linspace(0, depth - 1, min(depth, MAX_SLICES)).round().astype(int))
        planes = [np.asarray(image[int(z)]) for z in picks]
    else:
        planes = [np.asarray(image)]
    for plane in planes:
        _require_finite(plane, where)
    values = np.concatenate([_thin(plane).ravel() for plane in planes]).astype(np.float32)
    low, high = (float(v) for v in np.percentile(values, [LOW_PERCENTILE, HIGH_PERCENTILE]))
    if not high > low:
        # Almost-constant images (a thin bright phase under two percent) still have a full range.
        low, high = float(values.min()), float(values.max())
    if not high > low:
        raise InputError(
            f"{where} is constant (every pixel is {low:g}); there is nothing to learn or to segment in it."
        )
    return IntensityRange(low, high)


def _thin(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Every k-th pixel of a large plane, about ``MAX_PIXELS_PER_SLICE`` of them."""
    step = max(1, int(np.sqrt(plane.shape[0] * plane.shape[1] / MAX_PIXELS_PER_SLICE)))
    return plane[::step, ::step]


def _require_finite(image: npt.NDArray[Any], where: str) -> None:
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError(
            f"{where} holds NaN or infinite pixels; replace them first (for example with numpy.nan_to_num)."
        )
