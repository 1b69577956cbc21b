"""Grains in one piece: what is cut off from a grain's largest piece goes to the neighbour that it touches most.

Slivers thinner than a pixel fall apart on a grid, and cells with metrics of their own may do so anywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["keep_connected"]


@compiled
def _root(parent: npt.NDArray[np.int32], i: int) -> int:
    """First pixel of a piece; shortens the way there."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def keep_connected(labels: npt.NDArray[np.int32], count: int) -> int:
    """Make every label of ``labels`` (``(Z, Y, X)``, 0 … count - 1, changed in place) one 4- or 6-connected piece.

    The largest piece of a label (of equal ones the first in raster order) keeps it. Every other piece takes the label
    of the settled pixels with which it shares most pixel faces (of equal ones the least label), pieces that touch
    settled ones first. Returns how many pixels were cut off.
    """
    depth, height, width = labels.shape
    flat = labels.ravel()
    steps = (height * width, width, 1)
    parent = np.arange(flat.size).astype(np.int32)
    for z in range(depth):
        for y in range(height):
            row = (z * height + y) * width
            for x in range(width):
                p = row + x
                if x > 0 and flat[p - 1] == flat[p]:
                    parent[p] = parent[p - 1]
                if y > 0 and flat[p - width] == flat[p]:
                    a, b = _root(parent, p), _root(parent, p - width)
                    parent[max(a, b)] = min(a, b)
                if z > 0 and flat[p - steps[0]] == flat[p]:
                    a, b = _root(parent, p), _root(parent, p - steps[0])
                    parent[max(a, b)] = min(a, b)
    size = np.zeros(flat.size, np.int32)
    pieces = 0
    for p in range(flat.size):
        # Parents lie before their children and are finished when these come.
        parent[p] = parent[parent[p]]
        size[parent[p]] += 1
        pieces += parent[p] == p
    main = np.full(count, -1, np.int32)
    for p in range(flat.size):
        if parent[p] == p and (main[flat[p]] < 0 or size[p] > size[main[flat[p]]]):
            main[flat[p]] = p
    owners = 0
    for i in range(count):
        owners += main[i] >= 0
    if owners == pieces:
        return 0
    stray = np.empty(flat.size, np.int32)
    n_stray = 0
    for p in range(flat.size):
        if parent[p] != main[flat[p]]:
            stray[n_stray] = p
            n_stray += 1
    # Pixels of one piece together, pieces in raster order.
    stray = stray[:n_stray]
    stray = stray[np.argsort(parent[stray], kind="mergesort")]
    settled = np.ones(flat.size, np.bool_)
    settled[stray] = False
    contact = np.zeros(count, np.int64)
    touched = np.empty(6 * n_stray, np.int32)
    waiting = n_stray
    while waiting > 0:
        # Decided together and applied together: the outcome does not hang on the order of the pieces.
        chosen = np.full(n_stray, -1, np.int32)
        a = 0
        while a < n_stray:
            b = a
            while b < n_stray and parent[stray[b]] == parent[stray[a]]:
                b += 1
            if not settled[stray[a]]:
                n_touched = 0
                for k in range(a, b):
                    p = stray[k]
                    place = (p // steps[0], p // width % height, p % width)
                    for axis in range(3):
                        for side in (-1, 1):
                            if 0 <= place[axis] + side < labels.shape[axis]:
                                q = p + side * steps[axis]
                                if settled[q]:
                                    contact[flat[q]] += 1
                                    touched[n_touched] = flat[q]
                                    n_touched += 1
                best = -1
                for k in range(n_touched):
                    j = touched[k]
                    if best < 0 or contact[j] > contact[best] or (contact[j] == contact[best] and j < best):
                        best = j
                for k in range(n_touched):
                    contact[touched[k]] = 0
                chosen[a:b] = best
            a = b
        for k in range(n_stray):
            if chosen[k] >= 0:
                flat[stray[k]] = chosen[k]
                settled[stray[k]] = True
                waiting -= 1
    return n_stray
