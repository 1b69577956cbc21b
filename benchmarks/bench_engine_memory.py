"""Peak memory of segmenting a volume from disk to disk, as the operating system counts it (``ru_maxrss`` of a child).

The network is one convolution, so that the figure is of reading, placing and writing; activations of a real network
come on top (``tile="auto"``: about 1 GiB on a CPU). The volume is written slab by slab before the child starts.

    python benchmarks/bench_engine_memory.py [--side 1000] [--depth SIDE] [--dtype uint8] [--source zarr|tiff]
                                             [--mode slices|triplanar|twelve] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write_volume(path: Path, shape: tuple[int, int, int], dtype: str, source: str) -> None:
    """A volume of blobs: noise of a few voxels' size, repeated; little to write, nothing for free."""
    pattern = np.random.default_rng(0).integers(0, 200, (16, 67, 71)).repeat(2, 1).repeat(2, 2).astype(dtype)
    tiled = np.tile(pattern, (1, -(-shape[1] // 134), -(-shape[2] // 142)))[:, : shape[1], : shape[2]]
    if source == "zarr":
        import zarr

        array = zarr.create_array(path, shape=shape, chunks=(16, 256, 256), dtype=dtype)
        for z in range(0, shape[0], 16):
            array[z : z + 16] = tiled[: min(16, shape[0] - z)]
        return
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            (tiled[z % 16] for z in range(shape[0])), shape=shape, dtype=dtype, photometric="minisblack", metadata=None
        )


def child(source: str, out: str, mode: str) -> None:
    """Segment, and print what the process took."""
    import torch

    from napari_anneal.inference import Model
    from napari_anneal.models import ArchitectureSpec, BundleCard

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    card = BundleCard(architecture=ArchitectureSpec(encoder="resnet18", encoder_depth=3), classes=("a", "b"))
    model = Model(network, card, device="cpu", precision="float32")
    model.segment(np.random.default_rng(0).random((64, 64)))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    model.segment(source, axes="ZYX", out=out, mode=mode)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"before_mib": before >> 10, "peak_mib": peak >> 10, "seconds": round(seconds, 1)}))


def measure(folder: Path, shape: tuple[int, int, int], dtype: str, source: str, mode: str) -> dict[str, object]:
    """Write, segment in a child, and put the figures together."""
    volume = folder / ("volume.zarr" if source == "zarr" else "volume.tif")
    write_volume(volume, shape, dtype, source)
    command = [sys.executable, __file__, "--child", str(volume), str(folder / "seg.ome.zarr"), mode]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.stderr[-3000:])
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    found = json.loads(ran.stdout.splitlines()[-1])
    return {
        "shape": shape, "dtype": dtype, "source": source, "mode": mode, "volume_mib": size >> 20, **found,
        "volume_over_peak": round((size >> 20) / found["peak_mib"], 2),
    }  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--dtype", default="uint8")
    parser.add_argument("--source", choices=("zarr", "tiff"), default="zarr")
    parser.add_argument("--mode", default="slices")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    shape = (options.depth or options.side, options.side, options.side)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(measure(Path(folder), shape, options.dtype, options.source, options.mode)))


if __name__ == "__main__":
    main()
