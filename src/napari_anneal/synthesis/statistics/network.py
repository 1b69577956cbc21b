"""Statistics of a boundary network: its cells, its line, and the loose ends that a network of closed cells has not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.statistics.closing import as_boundary, loose_parts, thin_lines

__all__ = ["NetworkStatistics", "network_statistics"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NetworkStatistics:
    """What `network_statistics` measures.

    Attributes
    ----------
    cells
        Number of regions between the lines, connected through pixel faces.
    boundary_pixels
        Pixels of the mask.
    line_pixels
        2D: pixels of its skeleton. 3D: voxels of the walls between cells, thinned to one voxel.
    loose_pixels
        Pixels of the mask that belong to no line or wall between two cells.
    ends
        float64 ``(E, ndim)``, one place for each dangling end. 2D: ends of the skeleton, but for spurs that stay within
        the thickness of the line they stand on; a line may end at the edge of the image. 3D: the middle of each
        connected piece of wall that separates nothing: the edge of such a piece is free.
    """

    cells: int
    boundary_pixels: int
    line_pixels: int
    loose_pixels: int
    ends: npt.NDArray[np.float64]

    @property
    def dangling_ends(self) -> int:
        """Number of dangling ends; 0 for a network of closed cells."""
        return len(self.ends)

    @property
    def dangling_ends_per_1000_px(self) -> float:
        """Dangling ends by 1,000 pixels of line; ``nan`` without any."""
        line = self.line_pixels + (self.loose_pixels if self.ends.shape[1] == 3 else 0)
        return 1000 * self.dangling_ends / line if line else math.nan

    def summary(self) -> dict[str, float | int]:
        """All figures by name."""
        found = asdict(self)
        found.pop("ends")
        return {
            **found,
            "dangling_ends": self.dangling_ends,
            "dangling_ends_per_1000_px": self.dangling_ends_per_1000_px,
        }


def network_statistics(boundary: npt.NDArray[Any], *, threshold: float = 0.5) -> NetworkStatistics:
    """Measure a boundary mask (or a probability, cut at a threshold), ``(Y, X)`` or ``(Z, Y, X)``.

    Raises
    ------
    InputError
        Not a mask or a probability in two or three dimensions.
    """
    mask, _ = as_boundary(boundary, threshold)
    labels = thin_lines(mask)
    loose = loose_parts(mask, labels)
    if mask.ndim == 2:
        line, ends = _skeleton_ends(mask, loose)
    else:
        line, ends = int((labels == 0).sum()), _pieces(loose)
    cells = int(labels.max()) if not mask.all() else 0
    return NetworkStatistics(cells, int(mask.sum()), line, int(loose.sum()), ends)


def _pieces(loose: Mask) -> npt.NDArray[np.float64]:
    """Centre of each connected piece of wall that separates nothing."""
    from scipy import ndimage

    piece, count = ndimage.label(loose, structure=np.ones((3, 3, 3)))
    centres = ndimage.center_of_mass(loose, piece, np.arange(1, count + 1)) if count else []
    return np.array(centres, dtype=np.float64).reshape(-1, 3)


def _skeleton_ends(mask: Mask, loose: Mask) -> tuple[int, npt.NDArray[np.float64]]:
    """Pixels of the skeleton inside the image, and those of its ends that lie on a loose part."""
    from scipy import ndimage
    from skimage.morphology import skeletonize

    if not mask.any():
        return 0, np.empty((0, 2))
    # Lines go on beyond the edge of the image, so that they do not end short of it.
    margin = int(ndimage.distance_transform_edt(mask).max()) + 3
    skeleton = skeletonize(np.pad(mask, margin, mode="edge"))
    around = ndimage.convolve(skeleton.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant") - 1
    inside = (slice(margin, -margin),) * 2
    ends = skeleton[inside] & (around[inside] <= 1) & loose
    return int(skeleton[inside].sum()), np.argwhere(ends).astype(np.float64)
