"""Grains per area by counting them (Jeffries): those inside, half of those cut by the edge, and the corners' share.

In a rectangle E112 counts a grain at each of the four corners for one quarter. Then N = n_inside + ½ n_cut − 1, with
the corner grains among those cut. The 1 is the Euler number of the field: each hole (a scale bar in the picture) gives
one grain back, and each further part takes one away, so the count stays right for fields of any shape. Pixels are
samples of the structure at their centres, so the edge of the field runs through the centres of its outermost pixels.

Sections smaller than a pixel fall between the centres. Grains are cut near a corner or an edge as often as near their
middle, so there are many of those: in proportion to the pixel size. How many more would be lost with pixels of twice
the size can be counted, by leaving out every other row and column; as many are lost between the pixels there are, and
these are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

__all__ = ["Count", "count_grains", "count_in_blocks", "total"]

Labels = npt.NDArray[np.int32]
# Planes of a volume that are counted along each axis; more are too alike to add much.
MOST_PLANES = 32


@dataclass(frozen=True)
class Count:
    """Grains of a field (of a volume: of plane sections, summed).

    Attributes
    ----------
    inside, cut
        Grains that lie in the field whole, and that its edge or a mask cuts.
    grains
        Their number with the edge correction, and with those lost between pixels.
    area
        Known area, in units of the pixel size squared.
    """

    inside: int
    cut: int
    grains: float
    area: float

    @property
    def density(self) -> float:
        """Grains per area; ``nan`` without a whole grain."""
        return self.grains / self.area if self.inside and self.area else float("nan")


def count_grains(grains: Labels, steps: tuple[float, ...]) -> Count:
    """Count in an image ``(Y, X)``, or in the planes across each axis of a volume; 0 = not part of the field."""
    if grains.ndim == 2:
        return _count_plane(grains, steps[0] * steps[1])
    parts = []
    for axis in range(3):
        planes = np.unique(np.linspace(0, grains.shape[axis] - 1, MOST_PLANES).round().astype(int))
        pixel = float(np.prod([s for a, s in enumerate(steps) if a != axis]))
        parts += [_count_plane(grains.take(k, axis), pixel) for k in planes]
    return total(parts)


def count_in_blocks(grains: Labels, steps: tuple[float, ...], blocks: int) -> list[Count]:
    """Count in each of ``blocks`` parts along each axis on its own."""
    edges = [np.linspace(0, n, blocks + 1).astype(int) for n in grains.shape]
    return [
        count_grains(grains[tuple(slice(e[k], e[k + 1]) for e, k in zip(edges, place, strict=True))], steps)
        for place in product(range(blocks), repeat=grains.ndim)
    ]


def total(counts: Sequence[Count]) -> Count:
    """Several fields together."""
    return Count(
        sum(c.inside for c in counts),
        sum(c.cut for c in counts),
        sum(c.grains for c in counts),
        sum(c.area for c in counts),
    )


def _count_plane(grains: Labels, pixel: float) -> Count:
    """Count in one plane whose pixels have this area."""
    from skimage.measure import euler_number

    known = grains > 0
    if not known.any():
        return Count(0, 0, 0.0, 0.0)
    present = np.unique(grains[known])
    rim = np.zeros(grains.shape, dtype=bool)
    for axis in (0, 1):
        edge = [slice(None), slice(None)]
        for at in (0, -1):
            edge[axis] = slice(at, None) if at else slice(0, 1)
            rim[tuple(edge)] = True
        if not known.all():
            unknown = np.moveaxis(~known, axis, 0)
            beside = np.moveaxis(rim, axis, 0)
            beside[1:] |= unknown[:-1]
            beside[:-1] |= unknown[1:]
    edge_ids = np.unique(grains[rim & known])
    cut = len(edge_ids)
    corners = 1 if known.all() else int(euler_number(known, connectivity=1))
    inside = len(present) - cut
    squares = known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:] & known[1:, 1:]
    lost = _lost_between_pixels(grains, np.setdiff1d(present, edge_ids, assume_unique=True))
    return Count(inside, cut, inside + cut / 2 - corners + lost, float(squares.sum() * pixel))


def _lost_between_pixels(grains: Labels, whole: Labels) -> float:
    """How many of these grains a lattice of pixels twice as large misses, on average over the four it can be."""
    if not len(whole):
        return 0.0
    rows, columns = (np.arange(n) % 2 for n in grains.shape)
    found = np.unique(grains.astype(np.int64) * 4 + rows[:, None] * 2 + columns) // 4
    seen = np.isin(found, whole)
    return len(whole) - float(seen.sum()) / 4
