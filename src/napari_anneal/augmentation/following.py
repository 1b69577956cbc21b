"""Points and boxes as the warps take them, and back: a box travels as a grid of points over it.

Coordinates are those of napari's Points and Shapes: y before x, in pixels, the centre of a pixel at whole numbers. The
box of the single pixel (5, 7) is (4.5, 6.5, 5.5, 7.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["boxes_around", "checked", "grids", "with_marks"]

FloatArray = npt.NDArray[np.float64]
# Points along either side of a box: one that the border cuts is known to a sixteenth of its side.
PER_SIDE = 17


def checked(values: Any, columns: int, what: str, shape: tuple[int, ...]) -> FloatArray:
    """As float64 ``(N, columns)`` or, for points, with more columns in front.

    Raises
    ------
    InputError
        Another shape, NaN, or a point or box that does not lie in the image of ``shape`` (Y, X).
    """
    array = np.asarray(values, dtype=np.float64)
    array = array.reshape(0, columns) if array.size == 0 else array
    exact = what == "boxes"
    if array.ndim != 2 or (array.shape[1] != columns if exact else array.shape[1] < columns):
        raise InputError(
            f"{what} must be (N, {columns}), "
            + ("y0, x0, y1, x1 of each" if exact else "y and x of each")
            + f", not {array.shape}."
        )
    corners = array.reshape(-1, 2) if exact else array[:, -2:]
    end = np.array(shape) - 0.5
    if not (np.isfinite(corners).all() and (corners >= -0.5).all() and (corners <= end).all()):
        raise InputError(f"{what} must lie in the image of {shape[0]} × {shape[1]} px; cut them to it first.")
    if exact and not (array[:, :2] <= array[:, 2:]).all():
        raise InputError("boxes must be (y0, x0, y1, x1) with y0 ≤ y1 and x0 ≤ x1.")
    return array


def grids(boxes: FloatArray) -> FloatArray:
    """Points ``(M · 17², 2)``, y before x, over every box, its outline among them."""
    share = np.linspace(0, 1, PER_SIDE)
    down, right = (part.ravel() for part in np.meshgrid(share, share, indexing="ij"))
    steps = np.stack([down, right], axis=-1)
    corner, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    return np.asarray((corner + steps * size).reshape(-1, 2))


def with_marks(yx: FloatArray, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Columns x, y and the mark, 0, of points that are still there."""
    # The far border of the last pixel belongs to no pixel; a hair's breadth before it does.
    inside = np.minimum(yx, np.array(shape) - 0.5 - 1e-3)
    return np.column_stack([inside[:, ::-1], np.zeros(len(yx))]).astype(np.float32)


def boxes_around(points: FloatArray) -> FloatArray:
    """The box ``(M, 4)`` around what is left of each grid of points; NaN where nothing is."""
    found = np.full((len(points) // PER_SIDE**2, 4), np.nan)
    for box, grid in zip(found, points.reshape(-1, PER_SIDE**2, 2), strict=True):
        left = grid[~np.isnan(grid[:, 0])]
        if len(left):
            box[:2], box[2:] = left.min(axis=0), left.max(axis=0)
    return found
