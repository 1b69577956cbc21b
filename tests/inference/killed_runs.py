"""A process of its own that segments in children and kills them: fork is only safe before torch and zarr have threads.

    python killed_runs.py FOLDER OUT_NAME MODE KILLS SEED

Runs are killed, gone on with and killed again until there were KILLS kills and every run is through. Prints, as JSON,
how many blocks were done at each kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from conftest import build_model

import napari_anneal.inference.ome_zarr_labels
import napari_anneal.inference.tiff_labels  # noqa: F401 (before the fork)
from napari_anneal.inference import Model


def segment(model: Model, folder: Path, name: str, mode: str, resume: bool) -> None:
    stack = np.load(folder / "stack.npy")
    model.segment(stack, axes="ZYX", out=folder / name, mode=mode, resume=resume, tile=16)


def child(*arguments) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            segment(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def main() -> None:
    torch.set_num_threads(1)
    model = build_model()
    model.predictor.plan((64, 64), 16)  # measured once, and not in every child
    model.network.register_forward_hook(lambda *_: time.sleep(0.01))
    folder, name, mode, kills, seed = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    began = time.monotonic()
    assert os.waitpid(child(model, folder, f"whole-{name}", mode, False), 0)[1] == 0
    whole = time.monotonic() - began
    chance, done = random.Random(seed), []
    number = -1
    while len(done) < kills:
        number += 1
        pid = child(model, folder, f"{number}-{name}", mode, False)
        # Killed, gone on with, killed again …, until one comes through.
        for _ in range(3):
            time.sleep(chance.uniform(0.05, 0.9) * whole)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            journal = next(folder.glob(f"{number}-*.journal"), None)
            done.append(len(journal.read_text().splitlines()) - 1 if journal else 0)
            if (folder / f"{number}-{name}").exists():
                break
            pid = child(model, folder, f"{number}-{name}", mode, True)
        else:
            assert os.waitpid(pid, 0)[1] == 0
    print(json.dumps(done))


if __name__ == "__main__":
    main()
