"""Connected pieces of a label map: numbers without gaps, and centroids, across joined edges too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["centroids", "number_pieces"]

IntArray = npt.NDArray[np.int32]


def number_pieces(labels: IntArray, periodic: bool = False) -> IntArray:
    """Number the connected pieces of equal labels, 0 … N − 1 in raster order.

    ``labels`` is ``(Z, Y, X)`` int32 ≥ 0; pixels are connected through their faces, where periodic also through the
    joined edges.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from skimage.measure import label

    # Numbers 1 … count, each piece where the raster first meets it.
    pieces, count = label(labels, background=-1, connectivity=1, return_num=True)
    pieces = pieces.astype(np.int32) - np.int32(1)
    if not periodic:
        return np.asarray(pieces, dtype=np.int32)
    links = [np.empty((0, 2), dtype=np.int64)]
    for axis, n in enumerate(labels.shape):
        if n > 1:
            joined = labels.take(0, axis) == labels.take(-1, axis)
            links.append(np.column_stack([pieces.take(0, axis)[joined], pieces.take(-1, axis)[joined]]))
    pairs = np.concatenate(links)
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, whole = connected_components(graph, directed=False)
    # A grain of several pieces comes where its first piece came.
    _, first, of_piece = np.unique(whole, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return np.asarray(rank[of_piece.reshape(-1)][pieces], dtype=np.int32)


def centroids(labels: IntArray, periodic: bool = False) -> npt.NDArray[np.float64]:
    """Mean place of the pixels of each label 0 … N − 1, float64 ``(N, 3)``; inside the image where periodic."""
    flat = labels.reshape(-1)
    size = np.bincount(flat)
    # Written backwards, so that the first pixel of a label comes last and stays.
    first = np.empty(len(size), dtype=np.int64)
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    mean = np.empty((len(size), 3))
    for axis, n in enumerate(labels.shape):
        place = np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)])
        place = np.broadcast_to(place, labels.shape).reshape(-1)
        if not periodic:
            mean[:, axis] = np.bincount(flat, place) / size
            continue
        # Each pixel by the shorter way from the first of its grain.
        start = place[first]
        offset = (place - start[flat] + n // 2) % n - n // 2
        mean[:, axis] = (start + np.bincount(flat, offset) / size + 0.5) % n - 0.5
    return mean
