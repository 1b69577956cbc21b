"""The regions of one block where nothing is cut: connected components of what is flooded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.instances.basins import BlockRegions
from napari_anneal.inference.instances.neighbours import flat_jumps
from napari_anneal.inference.instances.regions import Edges, Regions
from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.statistics.flooding import root

__all__ = ["components_of_block"]

Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


def components_of_block(
    flooded: Mask, steps: Ints, origin: tuple[int, int, int], shape: tuple[int, int, int]
) -> BlockRegions:
    """Connected components of a block, in scan order; see `basins_of_block` for the arguments."""
    jumps = flat_jumps(steps, flooded.shape)
    labels = np.zeros(flooded.shape, np.int32)
    # A new number needs a pixel with no flooded pixel before it in its row: at most every second.
    parent = np.zeros(flooded.size // 2 + 2, np.int64)
    used = _scan(flooded, jumps, labels, parent)
    number = np.zeros(used + 1, np.int32)
    count = _flatten(parent, number)
    size, first = np.zeros(count, np.int64), np.full(count, -1, np.int64)
    own = np.ascontiguousarray(labels[1:-1, 1:-1, 1:-1])
    _finish(own, number, np.array([*origin, *shape], np.int64), size, first)
    zero = np.zeros(count, np.int64)
    return BlockRegions(own, Regions(zero, size, first, zero), Edges.none())


@compiled
def _scan(flooded: Mask, jumps: Ints, labels: Labels, parent: Ints) -> int:
    """Give every pixel the number of a neighbour before it, or a new one; neighbours' numbers become one set."""
    layers, height, width = flooded.shape
    wet, lab = flooded.ravel(), labels.ravel()
    count = 0
    for z in range(1, layers - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                p = (z * height + y) * width + x
                if not wet[p]:
                    continue
                own = 0
                for jump in jumps:
                    other = lab[p - jump]
                    if other == 0 or other == own:
                        continue
                    if own == 0:
                        own = other
                        continue
                    a, b = root(parent, own), root(parent, other)
                    if a != b:
                        parent[max(a, b)] = min(a, b)
                if own == 0:
                    count += 1
                    own = count
                    parent[own] = own
                lab[p] = own
    return count


@compiled
def _flatten(parent: Ints, number: Labels) -> int:
    """Number the sets from 1 in the order of their first members; return how many there are."""
    count = 0
    for k in range(1, len(number)):
        if parent[k] == k:
            count += 1
            number[k] = count
        else:
            # The root is before k, and numbered.
            number[k] = number[root(parent, k)]
    return count


@compiled
def _finish(labels: Labels, number: Labels, place: Ints, size: Ints, first: Ints) -> None:
    """Write final numbers; fill the figures."""
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = number[labels[z, y, x]]
                labels[z, y, x] = k
                if k > 0:
                    size[k - 1] += 1
                    if first[k - 1] < 0:
                        first[k - 1] = ((place[0] + z) * place[4] + place[1] + y) * place[5] + place[2] + x
