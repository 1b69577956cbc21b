"""Whole pairs of every form of object at 256² (geometry to rung 5), one core: time, and ratio to a pair of grains.

Run ``python benchmarks/bench_objects.py``. Processor time, so that a busy machine does not count; the ratio to the
grains of the same run is what can be compared between machines.
"""

from __future__ import annotations

import json
import os
import platform
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, Objects, synthesize

REPEATS = 10
DENSE = {"form": "fibres", "volume_fraction": 0.6, "diameter": 12, "size_dispersion": 0.06, "gap": 0.5}
FORMS = {
    "precipitates, 0.15": {},
    "cuboids of γ′, 0.6": {"form": "cuboids", "volume_fraction": 0.6, "diameter": 30, "exponent": 6},
    "particles apart, 0.15": {"form": "particles"},
    "particles apart, 0.3": {"form": "particles", "volume_fraction": 0.3},
    "particles touching, 0.25": {"form": "particles", "overlap": "touching", "volume_fraction": 0.25},
    "particles overlapping, 0.3": {"form": "particles", "overlap": "free", "volume_fraction": 0.3},
    "pores, 0.1": {"form": "pores", "volume_fraction": 0.1},
    "fibres cut across, 0.6": DENSE,
    "fibres in the plane, 0.4": {"form": "fibres", "tilt_deg": 0, "volume_fraction": 0.4, "diameter": 8},
    "short fibres, 0.2": {
        "form": "fibres", "tilt_deg": 0, "length": 80, "misorientation_deg": 30, "volume_fraction": 0.2, "diameter": 8,
    },
    "dislocations, 0.02 px/px²": {"form": "dislocations"},
    "nanoparticles, 0.12": {"form": "nanoparticles", "volume_fraction": 0.12},
}  # fmt: skip


def milliseconds(recipe):
    synthesize(recipe, 0)
    begin = time.process_time()
    for seed in range(REPEATS):
        synthesize(recipe, seed)
    return 1e3 * (time.process_time() - begin) / REPEATS


def main():
    worn = Appearance(rung=5)
    grains = milliseconds(MicrostructureRecipe(shape=(256, 256), n_seeds=120, appearance=worn))
    print(f"{platform.processor() or platform.machine()}: a pair of grains takes {grains:.1f} ms")
    rows = []
    for name, objects in FORMS.items():
        recipe = MicrostructureRecipe(kind="objects", shape=(256, 256), objects=Objects(**objects), appearance=worn)
        taken = milliseconds(recipe)
        rows.append({"form": name, "ms": round(taken, 1), "to_grains": round(taken / grains, 2)})
        print(f"{name:28s} {taken:6.1f} ms   {taken / grains:5.2f} × grains")
    print(json.dumps({"grains_ms": round(grains, 1), "forms": rows}))


if __name__ == "__main__":
    main()
