"""Throughput of segmenting a stack to disk, as a ratio to the bare forward passes over the very same tiles.

Everything around the network (reading, grey limits, softmax, placing, labels, compressing and writing OME-Zarr) is in
the one and not in the other. Rounds alternate between the two, so that what else the machine does hits both; the
reported ratio is the median of the rounds' ratios.

    python benchmarks/bench_tiling.py [--side 512] [--depth 8] [--tile auto] [--encoder resnet34] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_anneal.inference import Model
from napari_anneal.inference.tiles import pad_to_stride
from napari_anneal.models import ArchitectureSpec, BundleCard, build_network


def bare_forward(model: Model, stack: np.ndarray, tile: int | str | None) -> float:
    """Seconds for the network alone over the tiles of every slice, input tensors prepared beforehand."""
    predictor = model.predictor
    plan = predictor.plan(stack.shape[1:], tile)
    plane = pad_to_stride(np.zeros((1, *stack.shape[1:]), np.float32), predictor.stride)
    network = model.network.eval()
    reduced = predictor.dtype is torch.bfloat16
    seconds = 0.0
    with torch.inference_mode(), torch.autocast(predictor.device.type, dtype=torch.bfloat16, enabled=reduced):
        for t in plan:
            part = np.ascontiguousarray(plane[None, :, t.y.computed, t.x.computed])
            batch = torch.from_numpy(part).to(predictor.device, memory_format=torch.channels_last)
            start = time.perf_counter()
            for _ in range(len(stack)):
                network(batch)
            if predictor.device.type == "cuda":
                torch.cuda.synchronize()
            seconds += time.perf_counter() - start
    return seconds


def segment(model: Model, stack: np.ndarray, tile: int | str | None) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        model.segment(stack, tile=tile, out=Path(folder) / "seg.ome.zarr")
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tile = int(options.tile) if options.tile.isdigit() else options.tile
    spec = ArchitectureSpec(encoder=options.encoder)
    card = BundleCard(architecture=spec, classes=("grain", "boundary"))
    model = Model(build_network(spec), card, precision=options.precision)
    shape = (options.depth, options.side, options.side)
    stack = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    plan = model.predictor.plan(shape[1:], tile)
    segment(model, stack[:2], tile)
    bare_forward(model, stack[:2], tile)
    ratios, bare, whole = [], [], []
    for _ in range(options.rounds):
        bare.append(bare_forward(model, stack, tile))
        whole.append(segment(model, stack, tile))
        ratios.append(bare[-1] / whole[-1])
    result = {
        "throughput_over_bare_forward": round(statistics.median(ratios), 3),
        "rounds": [round(r, 3) for r in ratios],
        "bare_s": round(statistics.median(bare), 3),
        "segment_s": round(statistics.median(whole), 3),
        "tiles": len(plan),
        "computed_over_image_pixels": round(plan.computed_pixels / (options.side**2), 3),
        "precision": str(model.predictor.dtype).removeprefix("torch."),
        "device": str(model.predictor.device),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
