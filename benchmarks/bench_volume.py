"""Time, peak memory and size on disk of a volume streamed to OME-Zarr: 1024³ voxels of 10⁵ grains by default.

    python benchmarks/bench_volume.py --rung 1               # labels, boundaries and a clean image
    python benchmarks/bench_volume.py --rung 4 --side 256 --grains 1600

Measured on two cores shared with other work: rung 1 took 73 s of processor time (169 s by the clock) and 1.6 GiB at its
peak; rung 4 took 201 s (579 s) and 2.6 GiB. The target is 12 GiB. On disk: 0.16 GiB of grains, 0.14 GiB of boundary,
and 0.4 GiB (rung 1) or 1.0 GiB (rung 4) of 8-bit image.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from napari_anneal.synthesis import MicrostructureRecipe, synthesize_volume


def main() -> None:
    """Make one volume in a temporary folder, say what it took, and delete it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--grains", type=int, default=100_000)
    parser.add_argument("--rung", type=int, default=1)
    asked = parser.parse_args()
    recipe = MicrostructureRecipe(shape=(asked.side,) * 3, n_seeds=asked.grains, appearance={"rung": asked.rung})
    with tempfile.TemporaryDirectory() as folder:
        wall, processor = time.perf_counter(), time.process_time()
        out = synthesize_volume(recipe, 0, Path(folder) / "volume.ome.zarr")
        took = {
            "wall_s": round(time.perf_counter() - wall, 1),
            "processor_s": round(time.process_time() - processor, 1),
            "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            "disk_gib": round(sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 2**30, 3),
        }
    print(json.dumps({**vars(asked), **took}))


if __name__ == "__main__":
    main()
