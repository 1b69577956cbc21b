"""Which processor computes, and in which precision: decided here, once, for training and inference alike."""

from __future__ import annotations

import contextlib
from typing import Any, Literal

import torch

from napari_anneal.errors import InputError

__all__ = ["Precision", "autocast", "has_bfloat16", "pick_device"]

Precision = Literal["auto", "float32", "bfloat16"]


def pick_device(name: str = "auto") -> torch.device:
    """Choose CUDA, Apple's MPS or the CPU, in this order, or the one that is named.

    Raises
    ------
    InputError
        The named device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not available here; use 'auto' or 'cpu'.") from error
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: on a CPU only with the AVX512-BF16 or AMX instructions."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Context in which a forward pass runs in the wanted precision ("auto": bfloat16 where it is faster)."""
    wanted = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16) if wanted else contextlib.nullcontext()
