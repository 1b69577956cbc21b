"""Checkpoints: all of a run in one file, written whole or not at all, two generations, verified when read.

A ``.safetensors`` file (no pickle) whose header carries a digest of every tensor; counters and history lie in it as
JSON. The older generation goes only when the newer is on disk, so at any moment one of the two can be read.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_anneal.errors import InputError
from napari_anneal.samples.placing import remove
from napari_anneal.training.state import Captured

__all__ = ["Checkpoint", "has_checkpoint", "read_checkpoint", "remove_checkpoints", "write_checkpoint"]

NEWEST, PREVIOUS, PARTIAL = "checkpoint.safetensors", "checkpoint.previous.safetensors", ".checkpoint.partial"
NUMBERS = "numbers.json"


@dataclass(frozen=True)
class Checkpoint:
    """A run as it was read from disk. ``notice`` is empty, or says that the newer file was damaged."""

    captured: Captured
    about: dict[str, Any]
    notice: str


def write_checkpoint(folder: Path, captured: Captured, about: dict[str, Any]) -> None:
    """Write a checkpoint; what was the newest becomes the previous one.

    Parameters
    ----------
    folder
        Of the run.
    captured
        From ``RunState.capture``.
    about
        What the run needs beside its state to go on, as JSON: recipe, fingerprints, history.

    Raises
    ------
    OSError
        It could not be written; the earlier checkpoints are as they were.
    """
    text = json.dumps({"numbers": captured.numbers, "about": about}).encode()
    tensors = {name: tensor.contiguous() for name, tensor in captured.tensors.items()}
    tensors[NUMBERS] = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
    partial = folder / PARTIAL
    try:
        save_file(tensors, partial, metadata={"sha256": _digest(tensors)})
        _to_disk(partial)
    except SafetensorError as error:  # how the library reports a full disk
        remove(partial)
        raise OSError(str(error)) from error
    except OSError:
        remove(partial)
        raise
    if (folder / NEWEST).exists():
        (folder / NEWEST).replace(folder / PREVIOUS)
    partial.replace(folder / NEWEST)
    _to_disk(folder)


def has_checkpoint(folder: Path) -> bool:
    """Whether a run in this folder can be gone on with."""
    return (folder / NEWEST).exists() or (folder / PREVIOUS).exists()


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the newest checkpoint, or the one before where the newest is damaged.

    Raises
    ------
    InputError
        None can be read.
    """
    notice = ""
    for name in (NEWEST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            tensors = _read(path)
            text = json.loads(bytes(tensors.pop(NUMBERS).numpy()))
            return Checkpoint(Captured(tensors, text["numbers"]), text["about"], notice)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            notice = (
                f"The newest checkpoint ({path.name}) is damaged ({error}), so the run goes on from the one before it."
            )
    raise InputError(f"no checkpoint in {folder} can be read, all are damaged; start the run anew in another folder.")


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a run that has come to its end."""
    for name in (NEWEST, PREVIOUS, PARTIAL):
        remove(folder / name)


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file whose digest is right."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        expected = (file.metadata() or {}).get("sha256")
    if expected != _digest(tensors):
        raise ValueError("its contents do not match their digest")
    return tensors


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    """Wait until a file (or the entries of a folder) has left the system's cache."""
    if path.is_dir() and os.name == "nt":  # Windows has no handle on a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
