"""The regions of one block: basins found by steepest descent, joined as far as the block can tell, and the edges left.

A block comes with a frame of one pixel, so that every pixel sees all its neighbours. Within a block, the order of edges
is that of the volume, because scan order is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.instances.neighbours import flat_jumps
from napari_anneal.inference.instances.regions import Edges, Regions, join
from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.statistics.flooding import root

__all__ = ["BlockRegions", "basins_of_block"]

Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]
Heights = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BlockRegions:
    """Regions of a block.

    Attributes
    ----------
    labels
        int32, the block without its frame: k for ``regions`` number k − 1, 0 where nothing is flooded.
    regions
        What is known of them.
    edges
        Edges between them that may matter still; ``a`` and ``b`` count the block's regions from 0.
    """

    labels: Labels
    regions: Regions
    edges: Edges


def basins_of_block(
    heights: Heights,
    flooded: Mask,
    seeds: Labels | None,
    steps: Ints,
    origin: tuple[int, int, int],
    shape: tuple[int, int, int],
    depth: int,
) -> BlockRegions:
    """Find and join the basins of a block.

    Parameters
    ----------
    heights, flooded
        ``(Z, Y, X)`` with a frame of one pixel, which is not flooded outside the volume.
    seeds
        int32, the user's seeds, the block without its frame; ``None``: basins that are deep enough are seeds.
    steps
        Forward half of the neighbours, see `forward_steps`.
    origin
        Of the block, without its frame, in the volume.
    shape
        Of the volume.
    depth
        Seed depth, in units of height.
    """
    jumps = flat_jumps(steps, heights.shape)
    marks = np.zeros((1, 1, 1), np.int32) if seeds is None else seeds
    seeded = seeds is not None
    labels = np.empty(heights.shape, np.int32)
    count = _descend(heights, flooded, marks, seeded, jumps, depth, labels)
    floor, size, first, seed = (np.zeros(count, np.int64) for _ in range(4))
    is_open = np.zeros(count, bool)
    place = np.array([*origin, *shape], np.int64)
    _measure(heights, flooded, marks, seeded, jumps, labels, place, floor, size, first, seed, is_open)
    keys = _first_edges(heights, labels, jumps, count)
    keys.sort()
    a, b, weight, tie = (np.empty(len(keys), np.int64) for _ in range(4))
    _unpack(keys, labels, jumps, place, a, b, weight, tie)
    parent, kept = np.empty(count, np.int64), np.zeros(len(keys), bool)
    join(a, b, weight, floor, size, first, seed, is_open, depth, seeded, parent, kept)
    number = np.zeros(count + 1, np.int32)
    _number(parent, number)
    ends = np.flatnonzero(parent == np.arange(count))
    left = np.flatnonzero(kept)
    joined = number[1:].astype(np.int64) - 1
    edges = Edges(joined[a[left]], joined[b[left]], weight[left], tie[left])
    found = Regions(floor[ends], size[ends], first[ends], seed[ends])
    return BlockRegions(number[labels[1:-1, 1:-1, 1:-1]], found, edges)


@compiled
def _descend(
    heights: Heights, flooded: Mask, seeds: Labels, seeded: bool, jumps: Ints, depth: int, labels: Labels
) -> int:
    """Number the basins 1, 2 … in scan order: every pixel goes where its first edge leads; return how many there are.

    A pixel goes nowhere that is as deep below its first edge as a seed, that is a user's seed, or whose first edge
    leads out of the block. ``labels`` is 0 where nothing is flooded and in the frame.
    """
    layers, height, width = heights.shape
    h, wet, to = heights.ravel(), flooded.ravel(), labels.ravel()
    n = len(jumps)
    # Until the end, 0 and more is the pixel where one goes, −1 none, −1 − k basin k.
    to[:] = -1
    for z in range(1, layers - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                p = (z * height + y) * width + x
                if not wet[p]:
                    continue
                to[p] = p
                if seeded and seeds[z - 1, y - 1, x - 1] != 0:
                    continue
                own = np.int64(h[p])
                best, tie, where = np.int64(1) << 40, np.int64(0), p
                for k in range(n):
                    # The edges along a step, backward and forward; an edge is told by its first end and its step.
                    for q, end in ((p - jumps[k], p - jumps[k]), (p + jumps[k], p)):
                        if wet[q]:
                            other = np.int64(h[q])
                            weight = (max(own, other) << 16) | min(own, other)
                            if weight < best or (weight == best and end * n + k < tie):
                                best, tie, where = weight, end * n + k, q
                if seeded or (best >> 16) - own < depth:
                    to[p] = where
    count = 0
    for z in range(1, layers - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                p = (z * height + y) * width + x
                if to[p] < 0:
                    continue
                end = p
                while to[end] >= 0 and to[end] != end:
                    q = to[end]
                    # A way ends before the frame, and at the earlier of two pixels that choose the edge between them.
                    if to[q] == -1 or (to[q] == end and end < q):
                        break
                    end = q
                if to[end] >= 0:
                    count += 1
                    to[end] = -1 - count
                basin = to[end]
                while p != end:
                    following = to[p]
                    to[p] = basin
                    p = following
    for p in range(to.size):
        to[p] = -1 - to[p]
    return count


@compiled
def _measure(
    heights: Heights,
    flooded: Mask,
    seeds: Labels,
    seeded: bool,
    jumps: Ints,
    labels: Labels,
    place: Ints,
    floor: Ints,
    size: Ints,
    first: Ints,
    seed: Ints,
    is_open: Mask,
) -> None:
    """Fill the figures of the basins."""
    layers, height, width = labels.shape
    h, wet, lab = heights.ravel(), flooded.ravel(), labels.ravel()
    floor[:] = 1 << 40
    first[:] = -1
    for z in range(1, layers - 1):
        for y in range(1, height - 1):
            row = z == 1 or z == layers - 2 or y == 1 or y == height - 2
            for x in range(1, width - 1):
                p = (z * height + y) * width + x
                if lab[p] == 0:
                    continue
                k = lab[p] - 1
                floor[k] = min(floor[k], np.int64(h[p]))
                size[k] += 1
                if first[k] < 0:
                    first[k] = ((place[0] + z - 1) * place[4] + place[1] + y - 1) * place[5] + place[2] + x - 1
                if seeded and seeds[z - 1, y - 1, x - 1] != 0:
                    seed[k] = seeds[z - 1, y - 1, x - 1]
                if row or x == 1 or x == width - 2:
                    # Flooded and without a label: in the frame.
                    for jump in jumps:
                        if (wet[p + jump] and lab[p + jump] == 0) or (wet[p - jump] and lab[p - jump] == 0):
                            is_open[k] = True


@compiled
def _first_edges(heights: Heights, labels: Labels, jumps: Ints, count: int) -> npt.NDArray[np.uint64]:
    """First edge between every two of ``count`` basins that meet, as a number that sorts as edges do.

    It holds the higher end, the lower end, and where the edge begins and along which step. Basins meet along many
    edges, so the first of each pair is kept in a table with open addresses while they are gone through.
    """
    h, lab = heights.ravel(), labels.ravel()
    n = len(jumps)
    bits = 10
    while (1 << bits) < 16 * count:
        bits += 1
    pairs, first = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint64)
    used, slot, before = 0, np.int64(0), np.uint64(0)
    last = lab.size - jumps[-1] if n else 0
    for p in range(last):
        if lab[p] == 0:
            continue
        for k in range(n):
            q = p + jumps[k]
            if lab[q] == 0 or lab[q] == lab[p]:
                continue
            pair = (np.uint64(min(lab[p], lab[q])) << np.uint64(32)) | np.uint64(max(lab[p], lab[q]))
            edge = (np.uint64(max(h[p], h[q])) << np.uint64(48)) | (np.uint64(min(h[p], h[q])) << np.uint64(32))
            edge |= np.uint64(p * n + k)
            if pair != before:
                slot, before = _slot(pairs, pair, bits), pair
            if pairs[slot] == 0:
                pairs[slot], first[slot] = pair, edge
                used += 1
                if 2 * used > len(pairs):
                    bits += 1
                    pairs, first = _enlarged(pairs, first, bits)
                    before = np.uint64(0)
            elif edge < first[slot]:
                first[slot] = edge
    found: npt.NDArray[np.uint64] = first[pairs != 0]
    return found


@compiled
def _slot(pairs: npt.NDArray[np.uint64], pair: np.uint64, bits: int) -> np.int64:
    """Where the pair is in the table, or where it goes (Fibonacci hashing, linear probing)."""
    slot = np.int64((pair * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits))
    while pairs[slot] != 0 and pairs[slot] != pair:
        slot = (slot + 1) & (len(pairs) - 1)
    return slot


@compiled
def _enlarged(
    pairs: npt.NDArray[np.uint64], first: npt.NDArray[np.uint64], bits: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The table with twice the room."""
    more, edges = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint64)
    for k in range(len(pairs)):
        if pairs[k] != 0:
            slot = _slot(more, pairs[k], bits)
            more[slot], edges[slot] = pairs[k], first[k]
    return more, edges


@compiled
def _unpack(
    keys: npt.NDArray[np.uint64], labels: Labels, jumps: Ints, place: Ints, a: Ints, b: Ints, weight: Ints, tie: Ints
) -> None:
    """Basins (from 0), weight and index in the volume of every edge."""
    _, height, width = labels.shape
    lab, n = labels.ravel(), len(jumps)
    for e in range(len(keys)):
        weight[e] = np.int64(keys[e] >> np.uint64(32))
        edge = np.int64(keys[e] & np.uint64(0xFFFFFFFF))
        p, k = edge // n, edge % n
        a[e], b[e] = lab[p] - 1, lab[p + jumps[k]] - 1
        z, y, x = p // (height * width) - 1, p // width % height - 1, p % width - 1
        tie[e] = (((place[0] + z) * place[4] + place[1] + y) * place[5] + place[2] + x) * n + k


@compiled
def _number(parent: Ints, number: Labels) -> None:
    """``number[1 + k]``: which of the joined basins k belongs to, from 1 in the order of their roots."""
    count = 0
    for k in range(len(parent)):
        # A root is the earliest of its basins.
        if parent[k] == k:
            count += 1
            number[1 + k] = count
    for k in range(len(parent)):
        number[1 + k] = number[1 + root(parent, k)]
