"""Exact sizes, centroids and facets of cells in the box of an image, from their planes alone: no pixel is counted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.geometry.cells import Cells

__all__ = ["CellMeasures", "measure_cells"]

FloatArray = npt.NDArray[np.float64]
# Below this many cells a second thread costs more than it brings.
CELLS_FOR_THREADS = 4000


@dataclass(frozen=True, eq=False)
class CellMeasures:
    """What `measure_cells` finds.

    Attributes
    ----------
    size
        ``(N,)`` area (px²) or volume (px³); 0 for a cell that is hidden or outside the box.
    centroid
        ``(N, ndim)`` px; the seed itself where the size is 0.
    facet
        ``(E,)`` length (px) or area (px²) of the cell's face on each of its planes; 0 where the two do not touch.
    """

    size: FloatArray
    centroid: FloatArray
    facet: FloatArray


def measure_cells(cells: Cells, shape: tuple[int, ...], workers: int | None = None) -> CellMeasures:
    """Clip every cell to the box −0.5 … n − 0.5 of the shape and measure what is left.

    Cells of a periodic tessellation are measured whole, each grain once (N is the number of grains and its centroid may
    lie outside the image); facets of copies are 0.

    Parameters
    ----------
    cells
        Seeds and neighbours, see `find_cells`.
    shape
        ``(Y, X)`` or ``(Z, Y, X)`` in pixels.
    workers
        Threads that share the cells; the result does not depend on it. ``None``: by the number of cells.
    """
    from napari_anneal.synthesis.geometry.clipping import clip_polygons, clip_polyhedra

    count, ndim = cells.n_grains, len(shape)
    box = np.array([(-0.5, n - 0.5) for n in shape])
    if cells.periodic:
        # Whole, wherever they reach: copies lie all around.
        box = np.column_stack([cells.seeds.min(axis=0), cells.seeds.max(axis=0)])[3 - ndim :]
    size, centroid, facet = np.zeros(count), cells.seeds[:count].copy(), np.zeros(len(cells.planes))
    clip = clip_polygons if ndim == 2 else clip_polyhedra

    def work(part: Iterable[int]) -> None:
        first, last = part
        clip(cells.start, cells.planes, box, first, last, size, centroid, facet)

    if workers is None:
        workers = min(4, os.cpu_count() or 1) if count >= CELLS_FOR_THREADS else 1
    if workers == 1:
        work((0, count))
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, pairwise(np.linspace(0, count, 4 * workers + 1).astype(int).tolist())))
    return CellMeasures(size, centroid[:, 3 - ndim :], facet)
