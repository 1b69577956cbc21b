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

__all__ = ["fill_rows", "row_crossings"]

Array = npt.NDArray[np.float64]
# A walk crosses a plane only from so far (px) beyond it, so that rounding at a corner cannot send it in circles.
BEYOND = -1e-9
# Pixels of a run that are handled at once: whole vectors of the processor, without a remainder.
BLOCK = 8


@compiled
def row_crossings(planes: Array) -> Array:
    """Where rows along X leave a cell: row (z, y) crosses plane e at ``x = a z + b y + c`` with ``(a, b, c)`` its row.

    Planes that no row leaves its cell by are crossed at infinity.
    """
    crossings = np.empty((len(planes), 3))
    for e in range(len(planes)):
        slope = planes[e, 2]
        if slope < 0.0:
            crossings[e, 0], crossings[e, 1] = -planes[e, 0] / slope, -planes[e, 1] / slope
            crossings[e, 2] = -planes[e, 3] / slope
        else:
            crossings[e, 0], crossings[e, 1], crossings[e, 2] = 0.0, 0.0, np.inf
    return crossings


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
    # So a walk comes to each cell once at most, unless weights are so large that rounding sends it in circles.
    for _ in range(len(start)):
        inside = True
        for e in range(start[owner], start[owner + 1]):
            if planes[e, 0] * z + planes[e, 1] * y + planes[e, 2] * x + planes[e, 3] < BEYOND:
                owner = neighbour[e]
                inside = False
                break
        if inside:
            return owner
    deepest = -np.inf
    for i in range(len(start) - 1):
        if start[i] == start[i + 1]:
            continue
        depth = np.inf
        for e in range(start[i], start[i + 1]):
            depth = min(depth, planes[e, 0] * z + planes[e, 1] * y + planes[e, 2] * x + planes[e, 3])
        if depth > deepest:
            owner, deepest = i, depth
    return owner


@compiled
def fill_rows(
    start: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    planes: Array,
    crossings: Array,
    begin: int,
    origin: npt.NDArray[np.int64],
    first_row: int,
    last_row: int,
    with_distance: bool,
    labels: npt.NDArray[np.int32],
    distance: npt.NDArray[np.float32],
) -> None:
    """Fill rows ``first_row … last_row - 1`` (of all Z × Y) of ``labels`` (seed index) and ``distance`` (px).

    ``crossings`` are `row_crossings` of the planes; ``begin`` is any seed that has a cell; ``origin`` the index of the
    first pixel in the frame of the seeds.
    """
    _, height, width = labels.shape
    px = float(origin[2])
    # Runs are written to the end of their last block, and what is too much is overwritten by the next run.
    owners, near = np.empty(width + BLOCK, np.int32), np.empty(width + BLOCK, np.float32)
    at_row = begin
    for number in range(first_row, last_row):
        z, y = number // height, number % height
        pz, py = float(origin[0] + z), float(origin[1] + y)
        at_row = _owner(start, neighbour, planes, at_row, pz, py, px)
        owner, x0 = at_row, 0
        while x0 < width:
            first, last = start[owner], start[owner + 1]
            leave, gate = np.inf, -1
            for e in range(first, last):
                cross = crossings[e, 0] * pz + crossings[e, 1] * py + crossings[e, 2]
                if cross < leave:
                    leave, gate = cross, e
            leave -= px
            x1 = max(x0, int(np.ceil(leave))) if leave < width else width
            size = (x1 - x0 + BLOCK - 1) // BLOCK * BLOCK
            run = owners[x0 : x0 + size]
            for k in range(size):
                run[k] = owner
            if with_distance and size > 0:
                depth = near[x0 : x0 + size]
                for k in range(size):
                    depth[k] = np.inf
                for e in range(first, last):
                    step = np.float32(planes[e, 2])
                    base = np.float32(planes[e, 0] * pz + planes[e, 1] * py + planes[e, 2] * (px + x0) + planes[e, 3])
                    for k in range(size):
                        depth[k] = min(depth[k], base + step * np.float32(k))
            # Every V to come has a lower slope along the row, so no cell comes twice and the row ends for certain.
            x0 = x1
            if gate >= 0:
                owner = neighbour[gate]
        row = labels[z, y]
        for x in range(width):
            row[x] = owners[x]
        if with_distance:
            line = distance[z, y]
            for x in range(width):
                line[x] = max(near[x], np.float32(0.0))
