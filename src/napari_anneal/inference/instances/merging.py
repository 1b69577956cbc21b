"""From the regions of all blocks to instances: the last joins, the size filter, and numbers in scan order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.instances.regions import Edges, Regions, join
from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.statistics.flooding import root

__all__ = ["numbers_of_instances"]

Ints = npt.NDArray[np.int64]


def numbers_of_instances(
    regions: Regions, edges: Edges, *, depth: int, seeded: bool, min_size: int, fills: bool
) -> Ints:
    """Instance of every region, 1, 2 … in the order of their first pixels (user's seeds: their own numbers); 0: none.

    Parameters
    ----------
    regions, edges
        Of all blocks.
    depth
        Seed depth, in units of height.
    seeded
        Regions grow from the user's seeds: those that reach none are no instances.
    min_size
        Smallest instance, pixels; not asked of seeds.
    fills
        Small ones join the neighbour behind their lowest pass, so that instances fill the image; else they are removed.
    """
    count = len(regions)
    floor, size, first, seed = (v.copy() for v in (regions.floor, regions.size, regions.first, regions.seed))
    parent, kept = np.empty(count, np.int64), np.zeros(len(edges), bool)
    ordered = edges.ordered()
    is_open = np.zeros(count, bool)
    join(ordered.a, ordered.b, ordered.weight, floor, size, first, seed, is_open, depth, seeded, parent, kept)
    if seeded:
        return seed[_roots(parent)]
    if fills:
        _join_small(ordered.a[kept], ordered.b[kept], size, first, min_size, parent)
    roots = _roots(parent)
    own = np.flatnonzero(roots == np.arange(count))
    own = own[size[own] >= min_size] if not fills else own
    own = own[np.argsort(first[own], kind="stable")]
    number = np.zeros(count, np.int64)
    number[own] = np.arange(1, len(own) + 1)
    return number[roots]


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


@compiled
def _roots(parent: Ints) -> Ints:
    """Representative of every region."""
    out = np.empty(len(parent), np.int64)
    for k in range(len(parent)):
        out[k] = root(parent, k)
    return out
