"""Pairs a minute of the torch backend: labels, boundary and image to rung 4 of distinct 256² fields of 120 grains.

Run ``python benchmarks/bench_on_device.py`` where there is a CUDA device (the target is 10⁶ pairs a minute), or with
``--device cpu`` to see the torch code beside one core of the compiled kernels.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize, synthesize_batch

RECIPE = MicrostructureRecipe(shape=(256, 256), n_seeds=120, appearance=Appearance(rung=4))
TARGET = 1_000_000


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    cuda = torch.cuda.is_available() and given.device != "cpu"
    if given.device == "auto" and not cuda:
        print(json.dumps({"pairs_a_minute": "not measured: no CUDA device", "target": TARGET}))
        return
    batch = given.batch or (512 if cuda else 4)
    synthesize_batch(RECIPE, range(batch), given.device)  # compiles
    made, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < given.seconds:
        out = synthesize_batch(RECIPE, range(made, made + batch), given.device)
        made += batch
    distinct = len({field.numpy().tobytes() for field in out.grains.cpu()})
    spent = time.perf_counter() - begin
    synthesize(RECIPE, 0)
    begin = time.process_time()
    for seed in range(20):
        synthesize(RECIPE, seed)
    one_core = 20 / (time.process_time() - begin)
    result = {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "pairs_a_minute": round(60 * made / spent),
        "target": TARGET,
        "ratio_to_one_cpu_core": round(made / spent / one_core, 2),
        "distinct_in_last_batch": f"{distinct} of {batch}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
