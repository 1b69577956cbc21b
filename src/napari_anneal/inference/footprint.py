"""How much memory one forward pass holds at its peak, measured per pixel, so that ``tile="auto"`` fits a budget."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_anneal.inference.receptive_field import evaluating

__all__ = ["MEMORY_BUDGET", "bytes_per_pixel", "memory_budget"]

# What the activations of one forward pass may take on the CPU: it leaves a laptop usable, and whole 1500²
# images still go through a ResNet-34 U-Net in one piece.
MEMORY_BUDGET = 1 << 30
# Convolution libraries keep reordered copies of their input beside the tensors that can be counted.
WORKSPACE = 1.5
PROBE_SIDE = 256


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that are alive, and remembers the highest count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._alive:
            self._alive.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


def bytes_per_pixel(network: nn.Module, in_channels: int, stride: int) -> float:
    """Peak bytes of float32 activations per input pixel of a forward pass, workspaces estimated on top.

    The network must be on the CPU or is probed where it is; its mode is left as it was.
    """
    side = max(1, PROBE_SIDE // stride) * stride
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    probe = torch.zeros((1, in_channels, side, side), device=device)
    counter = _LiveBytes()
    with evaluating(network), torch.inference_mode(), counter:
        network(probe)
    return WORKSPACE * (counter.peak + probe.nbytes) / side**2


def memory_budget(device: torch.device) -> tuple[int, int]:
    """Bytes that the activations of one forward pass should take, and bytes they may take where that saves much time.

    1 GiB, and up to half of what is available, on the CPU; half of what is free, on a GPU.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) // 2, int(free) // 2
    return MEMORY_BUDGET, max(MEMORY_BUDGET, _available_memory() // 2)


def _available_memory() -> int:
    """Bytes this process can still get, a container's limit included."""
    available = int(psutil.virtual_memory().available)
    cgroup = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no such limit: another system, or "max"
        limit = int((cgroup / "memory.max").read_text())
        available = min(available, max(0, limit - int((cgroup / "memory.current").read_text())))
    return available
