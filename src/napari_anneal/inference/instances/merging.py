"""From the regions of all blocks to instances: the last joins, the size filter, and numbers in scan order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.instances.gathering import RegionGraph, roots_of
from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.statistics.flooding import root

__all__ = ["numbers_of_instances"]

Ints = npt.NDArray[np.int64]


def numbers_of_instances(graph: RegionGraph, *, seeded: bool, min_size: int, fills: bool) -> Ints:
    """Instance of every region, 1, 2 … in the order of their first pixels (user's seeds: their own numbers); 0: none.

    Parameters
    ----------
    graph
        With all blocks and the edges between them.
    seeded
        Regions grow from the user's seeds: those that reach none are no instances.
    min_size
        Smallest instance, pixels; not asked of seeds.
    fills
        Small ones join the neighbour behind their lowest pass, so that instances fill the image; else they are removed.
    """
    graph.close_layer(np.zeros(0, np.int64))
    regions, edges = graph.regions, graph.edges
    size, first = regions.size.copy(), regions.first.copy()
    parent = np.arange(len(regions))
    if seeded:
        return regions.seed[graph.owner]
    if fills:
        # What is left are the edges of the spanning forest between deep regions, lowest first.
        _join_small(edges.a, edges.b, size, first, min_size, parent)
    roots = roots_of(parent)
    own = np.flatnonzero(roots == np.arange(len(roots)))
    own = own[size[own] >= min_size] if not fills else own
    own = own[np.argsort(first[own], kind="stable")]
    number = np.zeros(len(roots), np.int64)
    number[own] = np.arange(1, len(own) + 1)
    return number[roots[graph.owner]]


@compiled
def _join_small(a: Ints, b: Ints, size: Ints, first: Ints, min_size: int, parent: Ints) -> None:
    """Join regions below the size, along the edges of the spanning forest, lowest first."""
    for e in range(len(a)):
        p, q = root(parent, a[e]), root(parent, b[e])
        if size[p] < min_size or size[q] < min_size:
            if first[q] < first[p]:
                p, q = q, p
            parent[q] = p
            size[p] += size[q]
