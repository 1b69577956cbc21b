"""Compiled kernels: who owns each pixel, and how far it is to the boundary of its cell.

Along an image row all V_i(x) share their quadratic term, so the owners are the lower envelope of straight lines. Who
knows the neighbours of every cell can follow it without looking at any other seed: the plane that the row crosses
first says where a cell ends and which one comes next. On the run of pixels a cell owns, the distance is the least of a
few functions that are affine in x. Both cost a handful of operations for each cell that a row meets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["fill_rows"]

Array = npt.NDArray[np.float64]
# A walk crosses a plane only from so far (px) beyond it, so that rounding at a corner cannot send it in circles.
BEYOND = -1e-9


@compiled
def _owner(
    start: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    planes: Array,
    begin: int,
    z: float,
    y: float,
    x: float,
) -> int:
    """Walk from the cell ``begin`` to the one that owns the point: every step lowers V."""
    owner = begin
    moved = True
    while moved:
        moved = False
        for e in range(start[owner], start[owner + 1]):
            if planes[e, 0] * z + planes[e, 1] * y + planes[e, 2] * x + planes[e, 3] < BEYOND:
                owner = neighbour[e]
                moved = True
                break
    return owner


@compiled
def fill_rows(
    start: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    planes: Array,
    begin: int,
    origin: npt.NDArray[np.int64],
    first_row: int,
    last_row: int,
    with_distance: bool,
    labels: npt.NDArray[np.int32],
    distance: npt.NDArray[np.float32],
) -> None:
    """Fill rows ``first_row … last_row - 1`` (of all Z × Y) of ``labels`` (seed index) and ``distance`` (px).

    ``begin`` is any seed that has a cell; ``origin`` the index of the first pixel in the frame of the seeds.
    """
    _, height, width = labels.shape
    base = np.empty(np.max(start[1:] - start[:-1]) + 1)
    at_row = begin
    for number in range(first_row, last_row):
        z, y = number // height, number % height
        pz, py, px = float(origin[0] + z), float(origin[1] + y), float(origin[2])
        at_row = _owner(start, neighbour, planes, at_row, pz, py, px)
        owner, x0 = at_row, 0
        while x0 < width:
            first, last = start[owner], start[owner + 1]
            leave, following = np.inf, -1
            for e in range(first, last):
                step = planes[e, 2]
                value = planes[e, 0] * pz + planes[e, 1] * py + step * px + planes[e, 3]
                base[e - first] = value
                # Lines to come have a lower slope, so no cell comes twice and the row ends for certain.
                if step < 0.0 and value < -step * leave:
                    leave = value / -step
                    following = neighbour[e]
            x1 = max(x0, int(np.ceil(leave))) if leave < width else width
            row = labels[z, y]
            for x in range(x0, x1):
                row[x] = owner
            if with_distance and x1 > x0:
                run = distance[z, y, x0:x1]
                run[:] = np.inf
                for e in range(first, last):
                    step32 = np.float32(planes[e, 2])
                    base32 = np.float32(base[e - first] + planes[e, 2] * x0)
                    for k in range(x1 - x0):
                        run[k] = min(run[k], base32 + step32 * np.float32(k))
                for k in range(x1 - x0):
                    run[k] = max(run[k], np.float32(0.0))
            owner, x0 = following, x1
