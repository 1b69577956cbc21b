"""Labels and exact boundary distance against a k-d tree, and whole pairs a second: ratios within one run.

The peer is what one would write with SciPy: ``cKDTree.query(k=8)`` for the nearest seeds of every pixel, then the
bisector distance over those eight. Run ``python benchmarks/bench_tessellation.py`` (``--quick`` leaves out the two
largest sizes).
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.spatial import cKDTree

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, RecipeRanges, SyntheticStream, synthesize
from napari_anneal.synthesis.geometry.cells import find_cells
from napari_anneal.synthesis.geometry.tessellation import tessellate

CASES = [((256, 256), 120), ((512, 512), 500), ((2048, 2048), 2400), ((128, 128, 128), 500)]
TARGETS = {((512, 512), 500): 100, ((2048, 2048), 2400): 120, ((128, 128, 128), 500): 50}


def peer(seeds, shape):
    """Owner and bisector distance of every pixel from its eight nearest seeds."""
    pixels = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, len(shape))
    near, index = cKDTree(seeds).query(pixels, k=8)
    apart = np.linalg.norm(seeds[index[:, 1:]] - seeds[index[:, :1]], axis=-1)
    distance = ((near[:, 1:] ** 2 - near[:, :1] ** 2) / (2 * apart)).min(axis=1)
    return index[:, 0].reshape(shape), distance.reshape(shape)


def seconds(work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    """Least time of several runs; processor time unless told otherwise, as other users of the machine do not count."""
    best = float("inf")
    for _ in range(repeats):
        begin = clock()
        work()
        best = min(best, clock() - begin)
    return best


def median_cpu_ms(works: list[Callable[[], object]]) -> float:
    """Median processor time in ms: that of one core, whatever else runs on the machine."""
    spent = []
    for work in works:
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return round(1e3 * float(np.median(spent)), 2)


def main() -> None:
    rows = []
    tessellate(find_cells(np.random.default_rng(0).random((20, 2)) * 30), (30, 30))  # compile
    for shape, count in CASES[: 2 if "--quick" in sys.argv else None]:
        seeds = np.random.default_rng(1).random((count, len(shape))) * np.array(shape) - 0.5
        labels, distance = tessellate(find_cells(seeds), shape)
        slow = seconds(lambda seeds=seeds, shape=shape: peer(seeds, shape), 3)
        theirs, near = peer(seeds, shape)
        fast = seconds(lambda seeds=seeds, shape=shape: tessellate(find_cells(seeds), shape), 15)
        cells = seconds(lambda seeds=seeds: find_cells(seeds), 15)
        periodic = seconds(lambda seeds=seeds, shape=shape: tessellate(find_cells(seeds, period=shape), shape), 3)
        two = seconds(
            lambda seeds=seeds, shape=shape: tessellate(find_cells(seeds), shape, workers=2), 7, time.perf_counter
        )
        rows.append(
            {
                "shape": shape,
                "seeds": count,
                "ours_ms": round(1e3 * fast, 2),
                "of_which_cells_ms": round(1e3 * cells, 2),
                "periodic_ms": round(1e3 * periodic, 2),
                "ours_two_threads_wall_ms": round(1e3 * two, 2),
                "kd_tree_ms": round(1e3 * slow, 1),
                "ratio": round(slow / fast, 1),
                "target": TARGETS.get((shape, count)),
                "labels_differ": int((theirs != labels).sum()),
                # Eight seeds do not always include the neighbour across the nearest side.
                "distance_differs_share": float(np.mean(np.abs(near - distance) > 1e-3)),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    recipe = MicrostructureRecipe(shape=(256, 256), n_seeds=120, appearance=Appearance(rung=5))
    synthesize(recipe)
    pair = median_cpu_ms([lambda k=k: synthesize(recipe, k) for k in range(60)])
    print(json.dumps({"pair_256_rung_5_cpu_ms": pair, "target_ms": 15}))
    for name, curve in (("bent", {"waviness": 1.5}), ("own_metrics", {"aspect_spread": 0.3})):
        curved = recipe.model_copy(update=curve)
        synthesize(curved)
        pair = median_cpu_ms([lambda k=k, curved=curved: synthesize(curved, k) for k in range(60)])
        print(json.dumps({f"pair_256_rung_5_{name}_cpu_ms": pair, "target_ms": 15}))
    for kind in ("grains", "objects"):
        stream = SyntheticStream(RecipeRanges(kind=kind), seed=1)
        for i in range(8):
            stream[i]
        pair = median_cpu_ms([lambda i=i, stream=stream: stream[i] for i in range(8, 108)])
        print(json.dumps({f"stream_256_{kind}_median_cpu_ms": pair, "target_ms": 15}))
    print(json.dumps({"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
