"""Checking what comes in as a label map, and numbering its grains without gaps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["as_label_map", "as_spacing", "numbered"]


def as_label_map(labels: Any) -> npt.NDArray[Any]:
    """Whole numbers ≥ 0 in two or three dimensions, or `InputError`."""
    given = np.asarray(labels)
    if given.dtype.kind not in "bui" or given.ndim not in (2, 3) or given.size == 0:
        raise InputError(
            f"a label map of whole numbers, (Y, X) or (Z, Y, X), is needed, not {given.dtype} of shape {given.shape}."
        )
    if given.dtype.kind == "i" and given.min() < 0:
        raise InputError(f"a label map must not hold negative labels (there is {given.min()}); use 0 for no grain.")
    return given


def as_spacing(spacing: Any, ndim: int) -> tuple[float, ...]:
    """One positive number an axis, 1 where nothing is given, or `InputError`."""
    if spacing is None:
        return (1.0,) * ndim
    try:
        steps = tuple(float(s) for s in spacing)
    except (TypeError, ValueError):
        steps = ()
    if len(steps) != ndim or not all(math.isfinite(s) and s > 0 for s in steps):
        raise InputError(f"spacing {spacing} must be {ndim} positive numbers, one for each axis of the label map.")
    return steps


def numbered(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Labels in use, ascending without 0, and the map with k for ``ids[k - 1]`` and 0 for none (int32)."""
    highest = int(labels.max())
    # A table beats sorting unless the labels are few and huge.
    if highest <= 4 * labels.size + 1000:
        used = np.zeros(highest + 1, dtype=bool)
        used[labels.ravel()] = True
        used[0] = False
        number = np.cumsum(used, dtype=np.int32)
        number[~used] = 0
        return np.flatnonzero(used).astype(np.int64), number[labels]
    found, inverse = np.unique(labels, return_inverse=True)
    offset = 0 if found[0] == 0 else 1
    index = (inverse.reshape(labels.shape) + offset).astype(np.int32)
    return found[1 - offset :].astype(np.int64), index
