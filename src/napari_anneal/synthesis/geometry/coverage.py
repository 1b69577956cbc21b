"""Antialiasing: the exact share of a pixel on one side of a straight boundary, and the cover of lines of any width."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["boundary_coverage", "share_of_pixel"]

FloatImage = npt.NDArray[np.float32]
# Components of a unit normal below this count as none: what they change is less than rounding in their terms.
LEAST_TILT = 1e-2


def boundary_coverage(distance: FloatImage, width: float) -> FloatImage:
    """Share of every pixel that a boundary line covers.

    Parameters
    ----------
    distance
        float32 ``(Y, X)`` or ``(Z, Y, X)``: px to the nearest boundary, as `Microstructure.distance`.
    width
        Width of the line, px; thinner than a pixel is fine.

    Returns
    -------
    cover
        float32 in [0, 1]. Exact where the boundary is straight across the pixel and no second one is near; the
        direction of the boundary is that in which the distance grows.
    """
    flat = distance.ndim == 2
    full = np.ascontiguousarray(distance[None] if flat else distance, dtype=np.float32)
    cover = np.zeros(full.shape, dtype=np.float32)
    _cover_lines(full, float(width) / 2, cover)
    return cover.reshape(distance.shape)


@compiled
def share_of_pixel(away: float, nz: float, ny: float, nx: float) -> float:
    """Volume of a unit pixel (voxel) on the side of a plane ``away`` px from the centre, 1 far inside.

    ``(nz, ny, nx)`` is the plane's unit normal. The distance of a random point of the pixel from the plane is a sum of
    three uniform variables, whose distribution is a piecewise cubic.
    """
    a, b, c = abs(nz), abs(ny), abs(nx)
    # Longest first; those of no length drop out.
    if a < b:
        a, b = b, a
    if b < c:
        b, c = c, b
    if a < b:
        a, b = b, a
    half = 0.5 * (a + b + c)
    if away >= half:
        return 1.0
    if away <= -half:
        return 0.0
    # By symmetry the far side is enough, where fewer terms cancel.
    t = half - abs(away)
    if c > LEAST_TILT:
        beyond = t**3
        for side in (a, b, c):
            if t > side:
                beyond -= (t - side) ** 3
        if t > b + c:
            beyond += (t - b - c) ** 3
        if t > a + c:
            beyond += (t - a - c) ** 3
        beyond /= 6.0 * a * b * c
    elif b > LEAST_TILT:
        beyond = t * t
        if t > b:
            beyond -= (t - b) ** 2
        if t > a:
            beyond -= (t - a) ** 2
        beyond /= 2.0 * a * b
    else:
        beyond = t / a
    return 1.0 - beyond if away > 0.0 else beyond


@compiled
def _cover_lines(distance: FloatImage, half: float, cover: FloatImage) -> None:
    """Fill ``cover`` for lines of that half width."""
    depth, height, width = distance.shape
    normal = np.zeros(3)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                d = distance[z, y, x]
                # Half the diagonal of a voxel.
                if not d < half + 0.87:
                    continue
                norm = 0.0
                for k in range(3):
                    up, down = np.float32(-np.inf), np.float32(-np.inf)
                    if k == 0:
                        up = distance[z + 1, y, x] - d if z + 1 < depth else up
                        down = distance[z - 1, y, x] - d if z > 0 else down
                    elif k == 1:
                        up = distance[z, y + 1, x] - d if y + 1 < height else up
                        down = distance[z, y - 1, x] - d if y > 0 else down
                    else:
                        up = distance[z, y, x + 1] - d if x + 1 < width else up
                        down = distance[z, y, x - 1] - d if x > 0 else down
                    # Away from the boundary the distance grows evenly; towards it, it may turn on the other side.
                    grows = abs(max(up, down))
                    normal[k] = min(grows, np.float32(1.0)) if grows < np.inf else np.float32(0.0)
                    norm += normal[k] * normal[k]
                if norm == 0.0:
                    normal[2], norm = 1.0, 1.0
                norm = np.sqrt(norm)
                a, b, c = normal[0] / norm, normal[1] / norm, normal[2] / norm
                inside = share_of_pixel(half - d, a, b, c) - share_of_pixel(-half - d, a, b, c)
                cover[z, y, x] = np.float32(inside)
