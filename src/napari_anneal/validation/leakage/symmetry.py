"""The eight symmetries of a square (the dihedral group D4): four rotations, each with and without a mirror.

Element ``k`` turns by ``k % 4`` quarter turns (as `numpy.rot90` does) after flipping left and right if ``k >= 4``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["NAMES", "SYMMETRIES", "compose", "inverse", "transform", "transform_angles", "transform_points"]

SYMMETRIES = range(8)
NAMES = (
    "as it is",
    "turned by 90°",
    "turned by 180°",
    "turned by 270°",
    "mirrored left to right",
    "mirrored at its diagonal",
    "mirrored top to bottom",
    "mirrored at its other diagonal",
)


def transform(image: npt.NDArray[Any], k: int) -> npt.NDArray[Any]:
    """Apply element ``k`` to an image ``(Y, X)``; a view, not a copy."""
    return np.rot90(image[:, ::-1] if k >= 4 else image, k % 4)


def transform_points(points: npt.NDArray[np.float64], shape: tuple[int, int], k: int) -> npt.NDArray[np.float64]:
    """Where pixels ``(N, 2)`` (y, x) of an image of this shape lie in ``transform(image, k)``."""
    (y, x), (height, width) = points.T, shape
    if k >= 4:
        x = width - 1 - x
    for _ in range(k % 4):
        y, x, height, width = width - 1 - x, y, width, height
    return np.stack([y, x], axis=1)


def transform_angles(count: int, k: int) -> npt.NDArray[np.int64]:
    """Index table: value at angle ``i`` of the transformed ring = value at angle ``table[i]`` of the original.

    Angle ``i`` points to ``(y, x) = (sin, cos)(2π i / count)``; ``count`` is a multiple of 4.
    """
    angles = np.arange(count)
    # The ring of the transformed image at direction d shows the original at the inverse transform of d. A quarter
    # turn of rot90 takes the direction (y, x) to (-x, y): the angle goes down by 90°.
    angles = (angles + (k % 4) * (count // 4)) % count
    return (count // 2 - angles) % count if k >= 4 else angles


def compose(second: int, first: int) -> int:
    """Element that does ``first`` and then ``second``."""
    turns, mirrored = first % 4, first >= 4
    # A mirror turns the sense of the rotations done before it: M R^a = R^-a M.
    if second >= 4:
        turns, mirrored = -turns, not mirrored
    return (second % 4 + turns) % 4 + 4 * mirrored


def inverse(k: int) -> int:
    """Element that takes ``k`` back; a mirror is its own."""
    return k if k >= 4 else -k % 4
