"""Dividing volumes into grains: time and memory against scikit-image (and cc3d, where installed), and by size.

Run ``python benchmarks/bench_instances.py``. Boundary probabilities of a tessellation with smooth noise, one core.
The peer takes the same steps: Euclidean distance (SciPy), hollows deep enough (``h_maxima``), ``watershed``; the last
one alone is given too. Memory is what the process held at most above what it held before the call, as the
operating system (Linux) says; each figure comes from a process of its own. Ratios of one run can be compared between
machines; times cannot.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

SIDES = (64, 96, 128, 192, 256)
PEER_SIDE, DISK_SIDE, COMPONENTS_SIDE = 160, 512, 256


def boundary_probability(side, seed=0):
    """A network's output, about: grains of 27 px, walls of 3 px, noise with a grain of 2 px."""
    from scipy import ndimage

    import napari_anneal as na

    recipe = na.MicrostructureRecipe(shape=(side,) * 3, n_seeds=max(side**3 // 20_000, 2))
    made = na.synthesize(recipe, seed=seed)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 0.2, made.distance.shape), 1)
    return np.clip(0.95 * np.exp(-((made.distance / 1.5) ** 2)) + noise, 0, 1).astype(np.float32), made.grains


def rand_error(truth, labels):
    from napari_anneal.validation import compare_partitions

    return round(compare_partitions(truth, labels).rand_error, 4)


def ours(side):
    from napari_anneal.inference import find_instances

    probability, truth = boundary_probability(side)
    find_instances(probability[:20, :20, :20], workers=1)
    found = {}

    def work():
        found["it"] = find_instances(probability, workers=1)

    seconds, memory = measured(work)
    return {"s": seconds, "bytes_a_voxel": memory / side**3, "rand_error": rand_error(truth, found["it"].labels)}


def scikit_image(side):
    from scipy import ndimage
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    probability, truth = boundary_probability(side)
    times = {}

    def work():
        distance = ndimage.distance_transform_edt(probability < 0.5)
        hollows = ndimage.label(h_maxima(distance, 1.0))[0]
        begin = time.process_time()
        times["labels"] = watershed(-distance, hollows)
        times["watershed_s"] = time.process_time() - begin

    seconds, memory = measured(work)
    error = rand_error(truth, times["labels"])
    return {"s": seconds, "watershed_s": times["watershed_s"], "bytes_a_voxel": memory / side**3, "rand_error": error}


def disk(side):
    """From one Zarr array on disk to another, in the blocks that are chosen for it."""
    import zarr

    from napari_anneal.inference import find_instances

    with tempfile.TemporaryDirectory() as folder:
        stores = [
            zarr.create_array(Path(folder) / name, shape=(side,) * 3, chunks=(64,) * 3, dtype=dtype)
            for name, dtype in (("p.zarr", "float32"), ("labels.zarr", "int32"))
        ]
        part, _ = boundary_probability(side // 2)
        for corner in np.ndindex(2, 2, 2):
            stores[0][tuple(slice(c * side // 2, (c + 1) * side // 2) for c in corner)] = part
        del part
        find_instances(np.zeros((9, 9, 9), np.float32), workers=1)
        seconds, memory = measured(lambda: find_instances(stores[0], out=stores[1], workers=1))
    return {"s": seconds, "mib": memory / 2**20, "volume_mib": side**3 * 8 / 2**20}


class Repeated:
    """A volume of any size that repeats a small one, and is held nowhere."""

    def __init__(self, part, side):
        self.part, self.shape, self.dtype = part, (side,) * 3, part.dtype

    def __getitem__(self, place):
        return self.part[np.ix_(*(np.arange(p.start, p.stop) % n for p, n in zip(place, self.part.shape, strict=True)))]


def large(side):
    """Memory of dividing a volume that need not be on the disk; run by hand: ``bench_instances.py large 1000``."""
    import zarr

    from napari_anneal.inference import find_instances

    part, _ = boundary_probability(256)
    part = np.concatenate([part, part[::-1]])
    find_instances(np.zeros((9, 9, 9), np.float32), workers=1)
    with tempfile.TemporaryDirectory() as folder:
        out = zarr.create_array(Path(folder) / "labels.zarr", shape=(side,) * 3, chunks=(128,) * 3, dtype="int32")
        seconds, memory = measured(lambda: find_instances(Repeated(part, side), out=out, workers=1))
    return {"s": seconds, "mib": memory / 2**20, "process_mib": _status("VmHWM") / 2**20}


def components(side):
    from scipy import ndimage

    from napari_anneal.inference import InstanceRecipe, find_instances

    probability, _ = boundary_probability(side)
    mask = probability < 0.5
    recipe = InstanceRecipe(kind="objects", split=False, min_size=1)
    find_instances(mask[:9, :9, :9], recipe, workers=1)
    result = {"s": measured(lambda: find_instances(mask, recipe, workers=1))[0]}
    result["scipy_s"] = measured(lambda: ndimage.label(mask))[0]
    try:
        import cc3d
    except ImportError:
        return result
    result["cc3d_s"] = measured(lambda: cc3d.connected_components(mask, connectivity=6))[0]
    return result


def measured(work):
    """Processor seconds, and bytes at most above what was held before."""
    # What was freed goes back to the system, so that it cannot be used again unseen; the peak begins anew.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    held = _status("VmRSS")
    begin = time.process_time()
    work()
    return time.process_time() - begin, max(_status("VmHWM") - held, 0)


def _status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])


JOBS = {job.__name__: job for job in (ours, scikit_image, disk, large, components)}


def apart(name, side):
    """Run one job in a process of its own."""
    done = subprocess.run([sys.executable, __file__, name, str(side)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    if len(sys.argv) == 3:
        print(json.dumps(JOBS[sys.argv[1]](int(sys.argv[2]))))
        return
    mine, peer = apart("ours", PEER_SIDE), apart("scikit_image", PEER_SIDE)
    print(f"{PEER_SIDE}³, scikit-image over ours: time {peer['s'] / mine['s']:.1f} (its watershed alone "
          f"{peer['watershed_s'] / mine['s']:.1f}), memory {peer['bytes_a_voxel'] / mine['bytes_a_voxel']:.1f}; "
          f"Rand error {mine['rand_error']} against {peer['rand_error']}")  # fmt: skip
    by_size = {side: apart("ours", side)["s"] for side in SIDES}
    slope = np.polyfit(np.log([s**3 for s in by_size]), np.log(list(by_size.values())), 1)[0]
    print("ns a voxel:", {side: round(1e9 * s / side**3) for side, s in by_size.items()}, f"slope {slope:.3f}")
    on_disk = apart("disk", DISK_SIDE)
    print(f"{DISK_SIDE}³ on disk ({on_disk['volume_mib']:.0f} MiB in and out): {on_disk['mib']:.0f} MiB of memory, "
          f"{1e9 * on_disk['s'] / DISK_SIDE**3:.0f} ns a voxel")  # fmt: skip
    parts = apart("components", COMPONENTS_SIDE)
    ratios = {name: round(parts["s"] / s, 1) for name, s in parts.items() if name != "s"}
    print(f"components of {COMPONENTS_SIDE}³: ours over", ratios)
    print(json.dumps({"ours": mine, "scikit_image": peer, "slope": slope, "disk": on_disk, "components": parts}))


if __name__ == "__main__":
    main()
