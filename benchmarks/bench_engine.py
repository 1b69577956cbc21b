"""The volume engine against the bare network, MONAI's sliding window, and twelve directions done plainly: ratios.

Same weights, same volume, same device, rounds that alternate. Every ratio is given in wall-clock and in processor time;
on a machine that does other things besides, the latter is the one to look at (it sees all threads, but no overlap).

``forward``  our run to OME-Zarr, over the bare forward passes on the very same tiles, in the very same precision.
``monai``    ``monai.inferers.sliding_window_inference`` at its defaults (overlap 0.25, constant blending) with windows
             of 256², slice by slice, over our run in memory.
``twelve``   twelve directions as volume-segmantics' high-quality mode is documented to do: the volume is turned four
             times about an axis and predicted along all three axes each time, in float32; labels and half-precision
             probabilities of all directions are held in memory and merged by the highest. The algorithm is written out
             here; that package itself is not run. Also gives the peak memory of both, above that before the run.
``linear``   seconds over voxels of cubes of several sides; the slope of a straight line through the logarithms.

    python benchmarks/bench_engine.py forward|monai|twelve|linear [--side 256] [--depth 16] [--encoder resnet34]
                                      [--precision auto] [--rounds 3] [--sides 64,128,256,512]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from napari_anneal.inference import Model
from napari_anneal.inference.tiles import pad_to_stride
from napari_anneal.models import ArchitectureSpec, BundleCard, build_network
from napari_anneal.samples.normalisation import intensity_range, standardise


def build_model(encoder: str, precision: str) -> Model:
    torch.manual_seed(0)
    spec = ArchitectureSpec(encoder=encoder)
    return Model(build_network(spec), BundleCard(architecture=spec, classes=("a", "b")), precision=precision)


def volume(shape: tuple[int, ...]) -> np.ndarray:
    """Blobs of about ten pixels."""
    noise = np.random.default_rng(0).random(tuple(-(-n // 8) for n in shape), dtype=np.float32)
    smooth = ndimage.zoom(noise, 8, order=1)[tuple(slice(n) for n in shape)]
    return (255 * smooth).astype(np.uint8)


def timed(job: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - wall, time.process_time() - cpu


def to_disk(model: Model, stack: np.ndarray, **settings: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model.segment(stack, axes="ZYX", out=Path(folder) / "seg.ome.zarr", **settings)


def bare(model: Model, stack: np.ndarray) -> Callable[[], None]:
    """The network alone over the tiles of every slice; its input tensors are made beforehand."""
    predictor = model.predictor
    plan = predictor.plan(stack.shape[1:])
    plane = pad_to_stride(np.zeros((1, *stack.shape[1:]), np.float32), predictor.stride)
    batches = [
        torch.from_numpy(np.ascontiguousarray(plane[None, :, t.y.computed, t.x.computed])).to(
            predictor.device, memory_format=torch.channels_last
        )
        for t in plan
    ]
    network = model.network.eval()

    def run() -> None:
        reduced = predictor.dtype is torch.bfloat16
        with torch.inference_mode(), torch.autocast(predictor.device.type, torch.bfloat16, enabled=reduced):
            for _ in range(len(stack)):
                for batch in batches:
                    network(batch)
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()

    return run


def monai_labels(model: Model, stack: np.ndarray) -> np.ndarray:
    """Labels of every slice by MONAI's sliding window at its defaults."""
    from monai.inferers import sliding_window_inference

    limits = intensity_range(stack, "ZYX")
    side = min(256, *stack.shape[1:])
    labels = np.zeros(stack.shape, np.uint8)
    with torch.no_grad():
        for z, plane in enumerate(stack):
            unit = torch.from_numpy(standardise(limits.apply(plane)))[None, None].to(model.predictor.device)
            logits = sliding_window_inference(unit, (side, side), 4, model.network)
            labels[z] = logits.argmax(dim=1)[0].cpu().numpy() + 1
    return labels


def plain_twelve(network: torch.nn.Module, stack: np.ndarray, stride: int) -> np.ndarray:
    """Twelve directions with everything in memory; see the module's first lines."""
    limits = intensity_range(stack, "ZYX")
    unit = standardise(limits.apply(stack))

    def along(turned: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        labels, best = [], []
        with torch.no_grad():
            for plane in np.moveaxis(turned, axis, 0):
                padded = torch.from_numpy(pad_to_stride(np.ascontiguousarray(plane)[None], stride))[None]
                found = torch.softmax(network(padded), dim=1)[0, :, : plane.shape[0], : plane.shape[1]]
                chance, label = found.max(dim=0)
                labels.append(label.numpy().astype(np.uint8))
                best.append(chance.numpy().astype(np.float16))
        return np.moveaxis(np.stack(labels), 0, axis), np.moveaxis(np.stack(best), 0, axis)

    all_labels, all_best = [], []
    for quarters in range(4):
        turned = np.rot90(unit, quarters)
        for axis in range(3):
            labels, best = along(turned, axis)
            all_labels.append(np.rot90(labels, -quarters))
            all_best.append(np.rot90(best, -quarters))
    winner = np.stack(all_best).argmax(axis=0)
    return np.take_along_axis(np.stack(all_labels), winner[None], axis=0)[0] + 1


def compare(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> dict[str, object]:
    """Their time over ours, round by round."""
    ours()
    theirs()
    pairs = [(timed(theirs), timed(ours)) for _ in range(rounds)]
    wall, cpu = ([round(a[i] / b[i], 3) for a, b in pairs] for i in (0, 1))
    return {
        "wall_ratio": statistics.median(wall),
        "cpu_ratio": statistics.median(cpu),
        "wall_rounds": wall,
        "cpu_rounds": cpu,
    }


def peak_mib(what: str, options: argparse.Namespace) -> int:
    """Peak memory of one way of doing twelve directions, in a process of its own, above what was held before it."""
    sizes = ["--side", str(options.side), "--depth", str(options.depth)]
    command = [sys.executable, __file__, "peak", "--what", what, *sizes]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def peak(options: argparse.Namespace) -> None:
    """Print the memory of this very process, in MiB; the network is one convolution, so that it is the method's."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    spec = ArchitectureSpec(encoder="resnet18", encoder_depth=3)
    card = BundleCard(architecture=spec, classes=("a", "b"))
    model = Model(torch.nn.Conv2d(1, 2, 3, padding=1), card, precision="float32", device="cpu")
    to_disk(model, volume((8, 64, 64)), mode="twelve")
    stack = volume((options.depth, options.side, options.side))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if options.what == "ours":
        to_disk(model, stack, mode="twelve")
    else:
        plain_twelve(model.network.eval(), stack, spec.stride)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("forward", "monai", "twelve", "linear", "peak"))
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--depth", type=int, default=16)
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", default="64,128,256,512")
    parser.add_argument("--what", default="ours")
    options = parser.parse_args()
    if options.part == "peak":
        peak(options)
        return
    model = build_model(options.encoder, options.precision)
    stack = volume((options.depth, options.side, options.side))
    if options.part == "forward":
        result = compare(lambda: to_disk(model, stack), bare(model, stack), options.rounds)
    elif options.part == "monai":
        result = compare(lambda: model.segment(stack, axes="ZYX"), lambda: monai_labels(model, stack), options.rounds)
    elif options.part == "twelve":
        network, stride = model.network.eval(), model.predictor.stride
        result = compare(
            lambda: to_disk(model, stack, mode="twelve"), lambda: plain_twelve(network, stack, stride), options.rounds
        )
        ours, theirs = peak_mib("ours", options), peak_mib("theirs", options)
        result |= {"peak_mib": ours, "plain_peak_mib": theirs, "memory_ratio": round(ours / max(1, theirs), 3)}
    else:
        sides = [int(side) for side in options.sides.split(",")]
        to_disk(model, volume((8, 64, 64)))
        times = [timed(lambda side=side: to_disk(model, volume((side,) * 3))) for side in sides]
        slopes = [float(np.polyfit(3 * np.log(sides), np.log([t[i] for t in times]), 1)[0]) for i in (0, 1)]
        result = {
            "sides": sides, "wall_s": [round(t[0], 2) for t in times], "cpu_s": [round(t[1], 2) for t in times],
            "wall_slope": round(slopes[0], 3), "cpu_slope": round(slopes[1], 3),
        }  # fmt: skip
    result |= {"part": options.part, "shape": list(stack.shape), "precision": str(model.predictor.dtype),
               "threads": torch.get_num_threads(), "device": str(model.predictor.device)}  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
