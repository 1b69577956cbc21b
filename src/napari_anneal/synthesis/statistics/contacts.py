"""Who touches whom, and over what length or area: grain changes counted along lines in many directions.

Crofton's formula turns counts into lengths: lines of a direction that lie λ apart cross a curve N times, and its
length is π/2 · Σ w N λ over directions of weights w that sum to 1; an area is 2 · Σ w N a with a the area per line.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["count_contacts", "crofton_weights", "line_directions"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def line_directions(ndim: int) -> IntArray:
    """Steps (Z, Y, X) to half of the neighbours of a pixel: 4 in 2D, 13 in 3D, the axes among them."""
    steps = [
        (z, y, x)
        for z in ((0,) if ndim == 2 else (0, 1))
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
        if (z, y, x) > (0, 0, 0)
    ]
    return np.array(steps, dtype=np.int64)


def crofton_weights(directions: IntArray, step: FloatArray, ndim: int) -> FloatArray:
    """Length (2D) or area (3D) that one crossing along each direction stands for, pixels of size ``step``."""
    real = directions * step
    length = np.linalg.norm(real, axis=1)
    # The share of all directions that are nearest to each: counted over evenly spread ones.
    turn = np.arange(20_000) + 0.5
    if ndim == 2:
        angle = np.pi * turn / len(turn)
        even = np.column_stack([np.zeros_like(angle), np.sin(angle), np.cos(angle)])
    else:
        height, angle = 1 - turn / len(turn), np.pi * (1 + np.sqrt(5)) * turn
        flat = np.sqrt(1 - height**2)
        even = np.column_stack([height, flat * np.sin(angle), flat * np.cos(angle)])
    nearest = np.abs(even @ (real / length[:, None]).T).argmax(axis=1)
    share = np.bincount(nearest, minlength=len(directions)) / len(turn)
    pixel = float(np.prod(step))
    return np.asarray((np.pi / 2 if ndim == 2 else 2.0) * share * pixel / length, dtype=np.float64)


def count_contacts(
    index: npt.NDArray[np.int32], count: int, directions: IntArray
) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Pairs of grains ``(P, 2)``, numbered from 0, and how often each is crossed along each direction ``(P, D)``."""
    slots = 1 << max(10, int(np.ceil(np.log2(16 * (count + 1)))))
    while True:
        keys = np.full(slots, -1, dtype=np.int64)
        hits = np.zeros((slots, len(directions)), dtype=np.int32)
        if tally(np.ascontiguousarray(index), count, directions, keys, hits):
            break
        # More pairs than a table this size takes; label maps of noise do that.
        slots *= 4
    used = np.flatnonzero(keys >= 0)
    used = used[np.argsort(keys[used])]
    return np.column_stack(np.divmod(keys[used], max(count, 1))), hits[used]


@compiled
def tally(
    index: npt.NDArray[np.int32], count: int, directions: IntArray, keys: IntArray, hits: npt.NDArray[np.int32]
) -> bool:
    """Count label changes in a hash table (open addressing); False when it is more than half full."""
    depth, height, width = index.shape
    mask = keys.size - 1
    used = 0
    last, slot = np.int64(-1), np.int64(0)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                a = index[z, y, x]
                if a == 0:
                    continue
                for d in range(directions.shape[0]):
                    v, u, t = z + directions[d, 0], y + directions[d, 1], x + directions[d, 2]
                    if v >= depth or u < 0 or u >= height or t < 0 or t >= width:
                        continue
                    b = index[v, u, t]
                    if b == a or b == 0:
                        continue
                    key = np.int64(min(a, b) - 1) * count + np.int64(max(a, b) - 1)
                    # Along a boundary the same pair comes again and again.
                    if key != last:
                        last = key
                        slot = (key * np.int64(2654435761) >> 7) & mask
                        while keys[slot] != key:
                            if keys[slot] < 0:
                                used += 1
                                if 2 * used > mask:
                                    return False
                                keys[slot] = key
                            else:
                                slot = (slot + 1) & mask
                    hits[slot, d] += 1
    return True
