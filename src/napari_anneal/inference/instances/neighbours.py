"""Which pixels are neighbours: half of the steps to them, the forward half, in scan order."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

__all__ = ["flat_jumps", "forward_steps"]


def forward_steps(shape: tuple[int, int, int], connectivity: int, slices: bool = False) -> npt.NDArray[np.int64]:
    """Steps (Z, Y, X) to the neighbours that come later in scan order, int64 ``(n, 3)``.

    Parameters
    ----------
    shape
        Of the volume: along an axis of one pixel there is no step.
    connectivity
        Most axes a step may move along at once.
    slices
        No steps from slice to slice.
    """
    span = [(-1, 0, 1) if n > 1 else (0,) for n in shape]
    if slices:
        span[0] = (0,)
    steps = [s for s in itertools.product(*span) if s > (0, 0, 0) and sum(map(abs, s)) <= connectivity]
    return np.array(steps, dtype=np.int64).reshape(-1, 3)


def flat_jumps(steps: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Steps as differences of the index in a flattened array of this shape, int64 ``(n,)``."""
    return steps @ np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
