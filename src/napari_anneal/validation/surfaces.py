"""Surface Dice: the share of the outlines (2D) or surfaces (3D) that lie within a tolerance of each other.

Nikolov et al. 2021, doi 10.2196/26151. Pieces of outline lie between pixels, one in every window of 2 × 2 (2 × 2 × 2)
pixels that holds both sides, and are as long (large) as marching squares (cubes) make them, with the pixel size.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.validation.contours import as_sampling, check_tolerance, judged_places, within
from napari_anneal.validation.metrics import as_label_maps

__all__ = ["surface_dice"]

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def surface_dice(
    labels: Any, prediction: Any, n_classes: int, *, tolerance: float = 2.0, spacing: Any = None
) -> FloatArray:
    """Normalised surface Dice of every class.

    A piece counts where everything within the tolerance of it is painted; the frame of the image is no surface.
    Parameters, errors and n/a as in `contours.boundary_f1`.
    """
    truth, guess = as_label_maps(labels, prediction, n_classes)
    if truth.ndim not in (2, 3):
        raise InputError(f"surface Dice needs labels (Y, X) or (Z, Y, X), not {truth.ndim} axes.")
    sampling, reach = as_sampling(spacing, truth.ndim), check_tolerance(tolerance)
    figures = np.full(n_classes, np.nan)
    if min(truth.shape) < 2:
        return figures
    judged = _windows(judged_places(truth != 0, reach, sampling)) == (1 << 2**truth.ndim) - 1
    known = _windows(truth != 0) == (1 << 2**truth.ndim) - 1
    sizes = _piece_sizes(sampling)
    for k in range(n_classes):
        painted_pieces = np.where(known, sizes[_windows(truth == k + 1)], 0.0)
        guessed_pieces = sizes[_windows(guess == k + 1)]
        # Sums over whole arrays of zeros and pieces: equal outlines give 1 to the last bit.
        true_pieces, guessed = np.where(judged, painted_pieces, 0.0), np.where(judged, guessed_pieces, 0.0)
        to_find = true_pieces.sum()
        if not to_find:
            continue
        hits = np.where(within(guessed_pieces > 0, reach, sampling), true_pieces, 0.0).sum()
        hits += np.where(within(painted_pieces > 0, reach, sampling), guessed, 0.0).sum()
        figures[k] = hits / (to_find + guessed.sum())
    return figures


def _windows(mask: Mask) -> npt.NDArray[np.int64]:
    """Which of the 4 (8) pixels of every window are set, one bit each; one smaller than the mask along each axis."""
    code = np.zeros(tuple(n - 1 for n in mask.shape), dtype=np.int64)
    for bit, corner in enumerate(np.ndindex((2,) * mask.ndim)):
        shifted = mask[tuple(slice(c, n - 1 + c) for c, n in zip(corner, mask.shape, strict=True))]
        code |= shifted.astype(np.int64) << bit
    return code


@lru_cache(maxsize=16)
def _piece_sizes(sampling: tuple[float, ...]) -> FloatArray:
    """Length or area of outline in a window, by its code."""
    ndim = len(sampling)
    sizes = np.zeros(1 << 2**ndim)
    for code in range(1, len(sizes) - 1):
        window = np.array([code >> bit & 1 for bit in range(2**ndim)], dtype=bool).reshape((2,) * ndim)
        sizes[code] = _length(window, sampling) if ndim == 2 else _area(window, sampling)
    return sizes


def _length(window: Mask, sampling: tuple[float, ...]) -> float:
    """Marching squares: half a diagonal a corner that is cut off, else a straight cut."""
    if window.sum() == 2 and window[0, 0] != window[1, 1]:
        along_x = window[0, 0] == window[0, 1]
        return sampling[1] if along_x else sampling[0]
    corners = 2 if window.sum() == 2 else 1
    return corners * math.hypot(*sampling) / 2


def _area(window: Mask, sampling: tuple[float, ...]) -> float:
    """Marching cubes round the smaller side, so that a shape and its complement have the same surface."""
    from skimage.measure import marching_cubes, mesh_surface_area

    side = window if window.sum() <= 4 else ~window
    corners, faces, _, _ = marching_cubes(side.astype(np.float64), 0.5, spacing=sampling, method="lorensen")
    return float(mesh_surface_area(corners, faces))
