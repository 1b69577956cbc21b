"""Exact Voronoi, power and anisotropic cells on a 2D or 3D grid, with the exact distance to their boundaries."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.geometry.cells import Cells

__all__ = ["label_slabs", "tessellate"]

# Pixels of the slabs in which all labels of a shape are gone through.
PIXELS_AT_ONCE = 1 << 24


def tessellate(
    cells: Cells,
    shape: tuple[int, ...],
    *,
    origin: tuple[int, ...] | None = None,
    with_distance: bool = True,
    workers: int = 1,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Who owns each pixel and how far it is to the boundary of its cell.

    Parameters
    ----------
    cells
        Seeds and neighbours, see `find_cells`.
    shape
        ``(Y, X)`` or ``(Z, Y, X)`` of the wanted window, in pixels.
    origin
        Index of the window's first pixel in the frame of the seeds (to fill a large volume slab by slab).
    with_distance
        Without it the distance is an empty array.
    workers
        Threads that share the rows; the result does not depend on it.

    Returns
    -------
    labels, distance
        int32 seed index (0 … N − 1; whose copy that is says ``cells.grain``) and float32 px, both of ``shape``. With
        one seed the distance is infinite.
        Exactly on a boundary either of the two cells may own the pixel.
    """
    from napari_anneal.synthesis.geometry.envelope import fill_rows

    flat = len(shape) == 2
    full = (1, *shape) if flat else tuple(shape)
    first = np.zeros(3, dtype=np.int64)
    if origin is not None:
        first[3 - len(origin) :] = origin
    labels = np.empty(full, dtype=np.int32)
    distance = np.empty(full if with_distance else (1, 1, 1), dtype=np.float32)
    n_rows = full[0] * full[1]

    def work(part: tuple[int, int]) -> None:
        fill_rows(
            cells.start, cells.neighbour, cells.planes, cells.crossings, cells.an_owner, first, *part,
            with_distance, labels, distance,
        )  # fmt: skip

    if workers == 1:
        work((0, n_rows))
    else:
        cuts = np.linspace(0, n_rows, 4 * workers + 1).astype(int).tolist()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, pairwise(cuts)))
    if not with_distance:
        return labels.reshape(shape), np.empty(0, dtype=np.float32)
    return labels.reshape(shape), distance.reshape(shape)


def label_slabs(cells: Cells, shape: tuple[int, ...]) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """Labels of the whole, a slab along the first axis at a time: yields its first index and its labels.

    For what is counted over all pixels of a shape whose labels need not fit into memory.
    """
    step = max(1, PIXELS_AT_ONCE // math.prod(shape[1:]))
    for first in range(0, shape[0], step):
        slab = (min(step, shape[0] - first), *shape[1:])
        yield first, tessellate(cells, slab, origin=(first,) + (0,) * (len(shape) - 1), with_distance=False)[0]
