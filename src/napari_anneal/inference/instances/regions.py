"""What is known of the regions of a block, or of the volume, before they are instances; and how regions are joined.

Regions join along a spanning forest. The edge between two pixel neighbours weighs as much as the higher of the two;
ties go to the edge whose lower end is lowest, then to the edge that is first in scan order of the *volume*. No two
edges are alike under that order, so the minimum spanning forest is unique, and so is every watershed cut along it
(Cousty, Bertrand, Najman & Couprie 2009): a property of the volume, not of the way through it or of its blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.statistics.flooding import root

__all__ = ["Edges", "Regions", "join"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Regions:
    """N regions of a block or of the volume.

    Attributes
    ----------
    floor
        int64 ``(N,)``, lowest height.
    size
        int64 ``(N,)``, pixels.
    first
        int64 ``(N,)``, first pixel in scan order of the volume.
    seed
        int64 ``(N,)``, the user's seed in it, 0 for none.
    """

    floor: Ints
    size: Ints
    first: Ints
    seed: Ints

    def __len__(self) -> int:
        return len(self.size)

    @classmethod
    def together(cls, parts: list[Regions]) -> Regions:
        """The regions of several blocks, one after the other."""
        return cls(**_end_to_end(cls, parts))


@dataclass(frozen=True, eq=False)
class Edges:
    """E edges between regions: ``a`` and ``b``, int64 ``(E,)``; their place in the order is (weight, tie)."""

    a: Ints
    b: Ints
    # Height of the higher end, times 65536, plus that of the lower.
    weight: Ints
    # Index of the edge in the volume.
    tie: Ints

    def __len__(self) -> int:
        return len(self.a)

    @classmethod
    def none(cls) -> Edges:
        """No edges."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, empty)

    @classmethod
    def together(cls, parts: list[Edges]) -> Edges:
        """All edges of the parts."""
        return cls(**_end_to_end(cls, parts))

    def take(self, which: npt.NDArray[Any]) -> Edges:
        """Some of them, in that order."""
        return Edges(self.a[which], self.b[which], self.weight[which], self.tie[which])

    def ordered(self) -> Edges:
        """Sorted, first of all edges first."""
        return self.take(np.lexsort((self.tie, self.weight)))

    def first_of_each_pair(self) -> Edges:
        """Of the edges between the same two regions the first."""
        low, high = np.minimum(self.a, self.b), np.maximum(self.a, self.b)
        order = np.lexsort((self.tie, self.weight, high, low))
        low, high = low[order], high[order]
        new = np.ones(len(order), bool)
        new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        return self.take(order[new])


def _end_to_end(cls: type[Any], parts: list[Any]) -> dict[str, Ints]:
    """The columns of several, one after the other."""
    empty = np.zeros(0, np.int64)
    return {f.name: np.concatenate([empty, *(getattr(part, f.name) for part in parts)]) for f in fields(cls)}


@compiled
def join(
    a: Ints,
    b: Ints,
    weight: Ints,
    floor: Ints,
    size: Ints,
    first: Ints,
    seed: Ints,
    is_open: npt.NDArray[np.bool_],
    depth: int,
    seeded: bool,
    parent: Ints,
    kept: npt.NDArray[np.bool_],
) -> None:
    """Join regions along edges, first edges first; fills ``parent`` and ``kept``, and the regions' figures at roots.

    A region joins the one behind its lowest pass if it is shallower than ``depth`` there (where seeds were given: if it
    holds none). For a closed region, all of whose edges are here, that is settled. An open one may have a lower pass
    elsewhere, so the edge is kept for later if only open regions could join by it. Edges between two deep regions are
    kept too; those that are in no spanning tree are not.

    That a region joins here before its turn in the whole volume changes nothing there. It could only matter where its
    floor is the lower one, at a pass below the one by which it joined. But that pass is less than ``depth`` above its
    floor, for the region is shallow even at the higher one: so it is joined across, as it is without the early join,
    where the other floor is higher still.
    """
    n = len(parent)
    for k in range(n):
        parent[k] = k
    tree = np.arange(n)
    for e in range(len(a)):
        s, t = root(tree, a[e]), root(tree, b[e])
        if s == t:
            continue
        tree[max(s, t)] = min(s, t)
        p, q = root(parent, a[e]), root(parent, b[e])
        w = weight[e] >> 16
        if seeded:
            joins = (not is_open[p] and seed[p] == 0) or (not is_open[q] and seed[q] == 0)
        else:
            joins = (not is_open[p] and w - floor[p] < depth) or (not is_open[q] and w - floor[q] < depth)
        if not joins:
            kept[e] = True
            continue
        if first[q] < first[p]:
            p, q = q, p
        parent[q] = p
        floor[p] = min(floor[p], floor[q])
        size[p] += size[q]
        is_open[p] |= is_open[q]
        seed[p] = max(seed[p], seed[q])
