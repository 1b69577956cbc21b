"""Lines between grains: the pixels on the higher side of every pair of neighbours in different grains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.instances.neighbours import flat_jumps
from napari_anneal.synthesis.compiled import compiled

__all__ = ["crests"]


def crests(
    labels: npt.NDArray[np.int32], heights: npt.NDArray[np.uint16], steps: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Pixels of a block that lie on a line; with them taken away, no two grains are neighbours.

    The lowest pixel of a grain is never on a line, so that none is lost: a neighbour as low would belong to the grain.

    Parameters
    ----------
    labels, heights
        With a frame of one pixel; 0 is no grain.
    steps
        Forward half of the neighbours, see `forward_steps`.
    """
    jumps = flat_jumps(steps, labels.shape)
    out = np.zeros([n - 2 for n in labels.shape], bool)
    _crests(labels, heights, jumps, out)
    return out


@compiled
def _crests(
    labels: npt.NDArray[np.int32],
    heights: npt.NDArray[np.uint16],
    jumps: npt.NDArray[np.int64],
    out: npt.NDArray[np.bool_],
) -> None:
    """Fill ``out``; of two pixels alike the later in scan order is the higher."""
    depth, height, width = labels.shape
    lab, h = labels.ravel(), heights.ravel()
    for z in range(1, depth - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                p = (z * height + y) * width + x
                for jump in jumps:
                    before, after = p - jump, p + jump
                    higher = lab[before] != 0 and lab[before] != lab[p] and h[p] >= h[before]
                    higher |= lab[after] != 0 and lab[after] != lab[p] and h[p] > h[after]
                    out[z - 1, y - 1, x - 1] |= higher
