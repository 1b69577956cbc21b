"""The warps (affine, perspective, elastic) and what they bring in from outside the patch.

The image is always mirrored or wrapped at its border, never filled: a black corner is a class of its own to a
net. Labels follow the image, or, on request, are "not painted" where the patch had no pixel to give. This
module imports albumentations; the pipeline imports it on first use.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy.typing as npt

__all__ = ["Warps", "border_options", "interpolation", "transforms"]


class _UnpaintedOutside:
    """Mixin: the mask is filled with 0 where the image is mirrored."""

    border_mode: int

    def apply_to_mask(self, mask: npt.NDArray[Any], *args: Any, **params: Any) -> npt.NDArray[Any]:
        """Warp a mask with a constant border instead of the image's."""
        image_border = self.border_mode
        self.border_mode = cv2.BORDER_CONSTANT
        try:
            warped: npt.NDArray[Any] = super().apply_to_mask(mask, *args, **params)  # type: ignore[misc]
        finally:
            self.border_mode = image_border
        return warped


class AffineUnpainted(_UnpaintedOutside, A.Affine):  # type: ignore[misc]
    """Affine transform whose labels are unpainted outside the patch."""


class PerspectiveUnpainted(_UnpaintedOutside, A.Perspective):  # type: ignore[misc]
    """Perspective transform whose labels are unpainted outside the patch."""


class ElasticUnpainted(_UnpaintedOutside, A.ElasticTransform):  # type: ignore[misc]
    """Elastic transform whose labels are unpainted outside the patch."""


class Warps(NamedTuple):
    """The three transform classes that can reach beyond the patch."""

    affine: type[Any]
    perspective: type[Any]
    elastic: type[Any]


def transforms(outside: str) -> Warps:
    """The classes to build the warps from, for one way to treat labels from outside."""
    if outside == "unpainted":
        return Warps(AffineUnpainted, PerspectiveUnpainted, ElasticUnpainted)
    return Warps(A.Affine, A.Perspective, A.ElasticTransform)


def interpolation(exact: bool) -> int:
    """OpenCV's code: between pixels linearly, or, where a mean of two values is none (orientations), the nearest."""
    return int(cv2.INTER_NEAREST if exact else cv2.INTER_LINEAR)


def border_options(outside: str, exact: bool) -> dict[str, Any]:
    """Arguments that all three share: linear for the image (or its own values), nearest for labels, and the border."""
    return {
        "interpolation": interpolation(exact),
        "mask_interpolation": cv2.INTER_NEAREST,
        "border_mode": cv2.BORDER_WRAP if outside == "wrap" else cv2.BORDER_REFLECT_101,
        "fill": 0,
        "fill_mask": 0,
    }
