"""The regions of all blocks so far: after every layer of blocks those are joined that no later block can reach.

What is held is then the regions at the layer's last plane, the deep ones, and a number for every region there was.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.instances.basins import BlockRegions
from napari_anneal.inference.instances.regions import Edges, Regions, join
from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.statistics.flooding import root

__all__ = ["RegionGraph", "roots_of"]

Ints = npt.NDArray[np.int64]


class RegionGraph:
    """Regions and the edges between them, block after block.

    Parameters
    ----------
    depth
        Seed depth, in units of height.
    seeded
        Regions grow from the user's seeds.

    Attributes
    ----------
    regions, edges
        What is held after `close_layer`.
    owner
        int64: for every region of every block, in the order they came, the one of ``regions`` it is part of.
    """

    def __init__(self, depth: int, seeded: bool) -> None:
        self._depth, self._seeded = depth, seeded
        self.regions, self.edges = Regions.together([]), Edges.none()
        self.owner = np.zeros(0, np.int64)
        self._new_regions: list[Regions] = []
        # Between regions as they were numbered when they came.
        self._new_edges: list[Edges] = []
        self.count = 0

    def add(self, found: BlockRegions) -> int:
        """Add a block's regions and the edges between them; returns the number of its first region."""
        offset = self.count
        inner = found.edges
        self._new_regions.append(found.regions)
        self._new_edges.append(Edges(inner.a + offset, inner.b + offset, inner.weight, inner.tie))
        self.count += len(found.regions)
        return offset

    def link(self, edges: Edges) -> None:
        """Add edges between blocks."""
        self._new_edges.append(edges)

    def close_layer(self, reachable: Ints) -> None:
        """Join what can be joined; later blocks have edges to the ``reachable`` regions only."""
        held = len(self.regions)
        fresh = held + np.arange(self.count - len(self.owner))
        owner = np.concatenate([self.owner, fresh])
        late = Edges.together(self._new_edges)
        late = Edges(owner[late.a], owner[late.b], late.weight, late.tie)
        regions = Regions.together([self.regions, *self._new_regions])
        edges = Edges.together([self.edges, late]).ordered()
        self._new_regions, self._new_edges = [], []
        is_open = np.zeros(len(regions), bool)
        is_open[owner[reachable]] = True
        parent, kept = np.empty(len(regions), np.int64), np.zeros(len(edges), bool)
        join(
            edges.a, edges.b, edges.weight, regions.floor, regions.size, regions.first, regions.seed, is_open,
            self._depth, self._seeded, parent, kept,
        )  # fmt: skip
        roots = roots_of(parent)
        ends = np.flatnonzero(roots == np.arange(len(roots)))
        number = np.zeros(len(roots), np.int64)
        number[ends] = np.arange(len(ends))
        number = number[roots]
        self.owner = number[owner]
        self.regions = Regions(regions.floor[ends], regions.size[ends], regions.first[ends], regions.seed[ends])
        left = edges.take(kept)
        self.edges = Edges(number[left.a], number[left.b], left.weight, left.tie)


@compiled
def roots_of(parent: Ints) -> Ints:
    """Representative of every region."""
    out = np.empty(len(parent), np.int64)
    for k in range(len(parent)):
        out[k] = root(parent, k)
    return out
