"""Compiled: seeds in a tree of boxes (a k-d tree), so that only those that can still cut a cell are looked at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["COINCIDES", "EMPTY", "plant"]

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
# Most seeds in a leaf: testing a box costs about as much as testing two seeds.
LEAF = 4
# Instead of a number of neighbours: a cell has no extent; and, less k, its seed is where the heavier or earlier k is.
EMPTY, COINCIDES = -1, -2


@compiled
def plant(points: Array, weights: Array) -> tuple[IntArray, IntArray, Array, Array]:
    """Halve ``points`` (N, ndim) at the median of their longest side, and so on, until no part has more than four.

    Returns
    -------
    order, ends, boxes, heaviest
        Leaf l holds the seeds ``order[ends[l] : ends[l + 1]]``. Node k has the children 2k and 2k + 1; the root is 1
        and leaf l is node ``len(boxes) // 2 + l``. A node has a box (low and high along every axis) and the greatest
        weight in it; the box of a leaf without seeds is infinitely far away.
    """
    count, ndim = points.shape
    leaves = 1
    while leaves * LEAF < count:
        leaves *= 2
    order, first = np.arange(count), np.zeros(2 * leaves + 1, np.int64)
    boxes, heaviest = np.full((2 * leaves, 2 * ndim), np.inf), np.full(2 * leaves, -np.inf)
    # Node k has the seeds order[first[k] : last[k]].
    last = np.zeros(2 * leaves, np.int64)
    last[1] = count
    for node in range(1, 2 * leaves):
        begin, end = first[node], last[node]
        if begin < end:
            boxes[node, ndim:] = -np.inf
        for place in range(begin, end):
            i = order[place]
            heaviest[node] = max(heaviest[node], weights[i])
            for a in range(ndim):
                boxes[node, a] = min(boxes[node, a], points[i, a])
                boxes[node, ndim + a] = max(boxes[node, ndim + a], points[i, a])
        if node >= leaves:
            continue
        axis, longest = 0, -1.0
        for a in range(ndim):
            if boxes[node, ndim + a] - boxes[node, a] > longest:
                axis, longest = a, boxes[node, ndim + a] - boxes[node, a]
        middle = (begin + end) // 2
        _halve(points[:, axis], order, begin, middle, end)
        first[2 * node], last[2 * node] = begin, middle
        first[2 * node + 1], last[2 * node + 1] = middle, end
    ends = first[leaves:].copy()
    ends[leaves] = count
    return order, ends, boxes, heaviest


@compiled
def _halve(values: Array, order: IntArray, begin: int, middle: int, end: int) -> None:
    """Put the smaller ones of ``order[begin:end]`` before ``middle`` and the others behind (Hoare's quickselect)."""
    low, high = begin, end - 1
    while low < high:
        pivot = values[order[(low + high) // 2]]
        i, j = low, high
        while i <= j:
            while values[order[i]] < pivot:
                i += 1
            while values[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return
