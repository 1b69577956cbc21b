"""The warps (affine, perspective, elastic, crop), what they bring in from outside the patch, and where points go.

The image is always mirrored or wrapped at its border, never filled: a black corner is a class of its own to a
net. Labels follow the image, or, on request, are "not painted" where the patch had no pixel to give. Points move by the
very mapping of the image, and are marked once they have left it: what is mirrored in is not the place they stood on.
This module imports albumentations; the pipeline imports it on first use.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["NEAREST_RESIZED", "Crop", "Warps", "border_options", "interpolation", "mark", "transforms"]

Points = npt.NDArray[Any]
# Rounds of the fixed-point iteration that inverts a deformation, and how far off, px, it may end; further off, the
# deformation has folded the patch there, and the point has no one place.
ROUNDS, FOLDED_PX = 30, 0.5
# OpenCV's plain nearest neighbour is up to half a pixel off when it resizes.
NEAREST_RESIZED = int(cv2.INTER_NEAREST_EXACT)


class _Followed:
    """Mixin: points go where the pixels go, and are marked when that is outside."""

    def moved(self, xy: Points, params: dict[str, Any]) -> Points:
        """Where points ``(N, 2)``, x before y, pixel centres whole, are after the warp; NaN: in no one place."""
        raise NotImplementedError

    def apply_to_keypoints(self, keypoints: Points, *args: Any, **params: Any) -> Points:
        """Move points; albumentations' own versions mirror some, clip others, and are half a pixel off in a crop."""
        if not len(keypoints):
            return keypoints
        out = keypoints.copy()
        out[:, :2] = self.moved(keypoints[:, :2].astype(np.float64), params)
        height, width = params["shape"][:2]
        inside = (out[:, 0] >= -0.5) & (out[:, 0] < width - 0.5) & (out[:, 1] >= -0.5) & (out[:, 1] < height - 0.5)
        return mark(out, ~inside)


def mark(keypoints: Points, gone: npt.NDArray[np.bool_]) -> Points:
    """Say of some points that they have left the image, in the column that warps in a plane have no use for: z."""
    out = keypoints.copy()
    out[gone, 2] = 1.0
    return out


class Affine(_Followed, A.Affine):  # type: ignore[misc]
    """Affine transform."""

    def moved(self, xy: Points, params: dict[str, Any]) -> Points:
        """By the matrix that warps the image."""
        matrix = params["matrix"]
        return np.asarray(xy @ matrix[:2, :2].T + matrix[:2, 2])


class Perspective(_Followed, A.Perspective):  # type: ignore[misc]
    """Perspective transform."""

    def moved(self, xy: Points, params: dict[str, Any]) -> Points:
        """By the matrix that warps the image, and back to its size."""
        height, width = params["shape"][:2]
        x, y, w = params["matrix"] @ np.column_stack([xy, np.ones(len(xy))]).T
        return np.column_stack([x / w * width / params["max_width"], y / w * height / params["max_height"]])


class Elastic(_Followed, A.ElasticTransform):  # type: ignore[misc]
    """Elastic deformation."""

    def moved(self, xy: Points, params: dict[str, Any]) -> Points:
        """By the inverse of the map that says where every pixel comes from."""
        from scipy.ndimage import map_coordinates

        rows, columns = np.indices(params["map_x"].shape, dtype=np.float64)
        shifts = (params["map_x"] - columns, params["map_y"] - rows)

        def source(at: Points) -> Points:
            here = [at[:, 1], at[:, 0]]
            by = np.column_stack([map_coordinates(shift, here, order=1, mode="nearest") for shift in shifts])
            return np.asarray(at + by)

        at = xy
        for _ in range(ROUNDS):
            at = at + (xy - source(at))
        unfolded = np.hypot(*(xy - source(at)).T) <= FOLDED_PX
        return np.where(unfolded[:, np.newaxis], at, np.nan)


class Crop(_Followed, A.RandomResizedCrop):  # type: ignore[misc]
    """Random crop, resized to the patch."""

    def moved(self, xy: Points, params: dict[str, Any]) -> Points:
        """Resizing keeps the borders of pixels in place, not their centres."""
        x0, y0, x1, y1 = params["crop_coords"]
        scale = np.array([self.size[1] / (x1 - x0), self.size[0] / (y1 - y0)])
        return np.asarray((xy - (x0, y0) + 0.5) * scale - 0.5)

    def apply_to_mask3d(self, mask3d: Points, *args: Any, **params: Any) -> Points:
        """Slice by slice as a mask: albumentations would interpolate between the class numbers of a stack."""
        return np.stack([self.apply_to_mask(mask, *args, **params) for mask in mask3d])


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


class AffineUnpainted(_UnpaintedOutside, Affine):
    """Affine transform whose labels are unpainted outside the patch."""


class PerspectiveUnpainted(_UnpaintedOutside, Perspective):
    """Perspective transform whose labels are unpainted outside the patch."""


class ElasticUnpainted(_UnpaintedOutside, Elastic):
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
    return Warps(Affine, Perspective, Elastic)


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
