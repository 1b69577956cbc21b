"""A process of its own that segments in children and kills them: fork is only safe before torch and zarr have threads.

    python killed_runs.py FOLDER OUT_NAME MODE KILLS SEED

Runs are killed, gone on with and killed again until there were KILLS kills and every run is through. Prints, as JSON,
how many blocks were done at each kill that met a run at work.
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


def journalled(folder: Path, pattern: str) -> int:
    """Blocks that the journal of a run tells of; 0 before there is one and after it is gone."""
    journal = next(folder.glob(f"{pattern}.journal"), None)
    try:
        return max(0, len(journal.read_text().splitlines()) - 1) if journal else 0
    except FileNotFoundError:
        return 0


def blocks_until(pid: int, folder: Path, pattern: str, enough: int) -> int:
    """Wait for a run to have done so many blocks, or to end, and return the most that were seen."""
    most = 0
    while most < enough and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        most = max(most, journalled(folder, pattern))
        time.sleep(0.002)
    return most


def main() -> None:
    torch.set_num_threads(1)
    model = build_model()
    model.predictor.plan((64, 64), 16)  # measured once, and not in every child
    model.network.register_forward_hook(lambda *_: time.sleep(0.01))
    folder, name, mode, kills, seed = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    began = time.monotonic()
    pid = child(model, folder, f"whole-{name}", mode, False)
    blocks = blocks_until(pid, folder, "whole-*", sys.maxsize)
    assert os.waitpid(pid, 0)[1] == 0
    assert blocks > 0
    pause = (time.monotonic() - began) / max(blocks, 1)
    chance, done = random.Random(seed), []
    number = -1
    while len(done) < kills:
        number += 1
        assert number < 20 * kills, "every run came through before it was killed"
        pid = child(model, folder, f"{number}-{name}", mode, False)
        # Killed, gone on with, killed again …, until one comes through. By blocks, and then some moments later: a
        # clock alone would, on a busy machine, kill every run before its first block.
        for _ in range(3):
            blocks_until(pid, folder, f"{number}-*", chance.randrange(blocks))
            time.sleep(chance.uniform(0, pause))
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):  # and had not come through a moment before
                done.append(journalled(folder, f"{number}-*"))
            if (folder / f"{number}-{name}").exists():
                break
            pid = child(model, folder, f"{number}-{name}", mode, True)
        else:
            assert os.waitpid(pid, 0)[1] == 0
    print(json.dumps(done))


if __name__ == "__main__":
    main()
