"""Which processor computes, and in which precision: decided here, once, for training and inference alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import psutil
import torch

from napari_anneal.errors import InputError

__all__ = [
    "Precision",
    "autocast",
    "computing",
    "free_bytes",
    "has_bfloat16",
    "has_float16",
    "held_bytes",
    "pick_device",
    "resolve_precision",
]

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for, or (``None``, ``"auto"``) the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    InputError
        Torch does not know the name, or the machine has no such device.
    """
    if device is None or device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {str(device)!r} cannot be used on this machine; use 'auto' or 'cpu'.") from error
    return picked


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed in hardware (emulated, it would be slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Private names of torch: where a version lacks one, the answer is the safe "no".
    probes = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(bool(probe()) for probe in probes if probe is not None)


def has_float16(device: torch.device) -> bool:
    """Whether float16 is worth computing in: on a GPU of NVIDIA or AMD (a CPU emulates it, far slower than float32)."""
    return device.type == "cuda"


def held_bytes(device: torch.device) -> int | None:
    """Memory (bytes) that this process holds on a GPU, torch's reserve included; ``None`` on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    return int(torch.mps.driver_allocated_memory()) if device.type == "mps" else None


def free_bytes(device: torch.device) -> int | None:
    """Memory (bytes) that is free on a device now; ``None`` where it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Turn a precision setting into the type convolutions are computed in.

    ``"auto"`` is bfloat16 where it is computed in hardware; ``"float16"`` is float32 where it is not. ``"auto"`` never
    is float16, whose range is too small to train in without a gradient scaler.

    Raises
    ------
    InputError
        Not one of ``"float32"``, ``"bfloat16"``, ``"float16"``, ``"auto"``.
    """
    if precision not in get_args(Precision):
        raise InputError(f"precision {precision!r} is not known; use 'float32', 'bfloat16', 'float16' or 'auto'.")
    if precision == "float16" and has_float16(device):
        return torch.float16
    if precision == "bfloat16" or (precision == "auto" and has_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Inference mode, with autocast where ``dtype`` has 16 bits and true float32 where it is float32."""
    reduced = dtype is not torch.float32
    # TF32 keeps 10 bits of mantissa: a tile and the whole image would then differ by far more than 1e-5.
    exact = torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled,
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=reduced,
    )
    with exact, torch.inference_mode(), _autocast(device, dtype):
        yield


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Context in which a forward pass of training runs in the wanted precision."""
    return _autocast(device, resolve_precision(precision, device))


def _autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    reduced = dtype is not torch.float32
    return torch.autocast(device.type, dtype=dtype if reduced else torch.bfloat16, enabled=reduced)
