"""Statistics of a label map, against scikit-image in the same run: sizes, moments and neighbours.

    python benchmarks/bench_statistics.py

The peer measures less (no contacts, no junctions): `regionprops_table` for size, centroid and axes, and the region
adjacency by comparing shifted maps with NumPy. Processor time, the best of three.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from skimage.measure import regionprops_table

from napari_anneal.synthesis import MicrostructureRecipe, close_cells, grain_statistics, network_statistics, synthesize

PROPERTIES = ("label", "area", "centroid", "axis_major_length", "axis_minor_length", "bbox")


def peer(labels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    pairs = []
    for axis in range(labels.ndim):
        a, b = (np.take(labels, range(k, labels.shape[axis] - 1 + k), axis).ravel() for k in (0, 1))
        pairs.append(np.column_stack([np.minimum(a, b), np.maximum(a, b)])[a != b])
    return regionprops_table(labels, properties=PROPERTIES), np.unique(np.concatenate(pairs), axis=0)


def best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def compare(shape: tuple[int, ...], grains: int) -> None:
    made = synthesize(MicrostructureRecipe(shape=shape, n_seeds=grains), 0)
    broken = made.boundary & (np.random.default_rng(0).random(shape) > 0.1)
    # Compiled before the clock runs.
    grain_statistics(made.grains)
    network_statistics(broken)
    ours, theirs = best(lambda: grain_statistics(made.grains)), best(lambda: peer(made.grains))
    closing, network = best(lambda: close_cells(broken)), best(lambda: network_statistics(broken))
    print(
        f"{shape}, {grains} grains: grain_statistics {ours * 1e3:.0f} ms, scikit-image + NumPy {theirs * 1e3:.0f} ms "
        f"({theirs / ours:.1f}×); close_cells {closing:.2f} s, network_statistics {network:.2f} s"
    )


if __name__ == "__main__":
    compare((2048, 2048), 2400)
    compare((128, 128, 128), 500)
