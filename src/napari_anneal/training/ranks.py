"""The processes that share a run, one a device: what they tell each other, and what happens when one of them is gone.

Each process computes its share of every batch; the loss is that of the whole batch and the gradients are added up, so
that every process moves the same weights in the same way and the run is the one that a single process would have made.
Process 0 alone writes files, tells events and listens to the user. How processes are launched and find each other is
Lightning Fabric's business.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from napari_anneal.errors import AnnealError, InputError
from napari_anneal.launching import is_launched

__all__ = ["ALONE", "TIMEOUT_S", "Ranks", "join"]

# A process that has not answered for so long is taken for lost. Validating, writing and drawing all take less.
TIMEOUT_S = 600.0

T = TypeVar("T")


class Ranks:
    """A run with one process: everything is agreed already.

    Attributes
    ----------
    rank, world
        Number of this process, and how many there are.
    device
        Where this process computes; ``None``: wherever the recipe says.
    """

    rank, world = 0, 1
    device: torch.device | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes, tells and listens."""
        return self.rank == 0

    def share(self, patches: int) -> slice:
        """Which patches of a batch of so many are this process's own."""
        each = patches // self.world
        return slice(self.rank * each, (self.rank + 1) * each)

    def agree(self, yes: bool) -> bool:
        """What the first process says."""
        return yes

    def same(self, thing: T) -> T:
        """The first process's thing, on all of them."""
        return thing

    def everyone(self, thing: T) -> list[T]:
        """The things of all processes, in order."""
        return [thing]

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Tensors of all processes, in order; of equal shape, detached."""
        return [tensor]

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Add up, in place, the tensors of all processes."""

    def united(self) -> AbstractContextManager[None]:
        """Context that either every process leaves, or none: the fault of one is raised by all."""
        return nullcontext()


ALONE = Ranks()


class JoinedRanks(Ranks):
    """A run with several processes.

    Parameters
    ----------
    rank, world, device
        See `Ranks`. The default process group of ``torch.distributed`` is open.
    """

    def __init__(self, rank: int, world: int, device: torch.device) -> None:
        self.rank, self.world, self.device = rank, world, device

    def agree(self, yes: bool) -> bool:
        """What the first process says."""
        said = torch.tensor([float(yes)], device=self.device)
        with _answered():
            distributed.broadcast(said, src=0)
        return bool(said.item())

    def same(self, thing: T) -> T:
        """The first process's thing, on all of them."""
        box = [thing]
        with _answered():
            distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def everyone(self, thing: T) -> list[T]:
        """The things of all processes, in order."""
        found: list[Any] = [None] * self.world
        with _answered():
            distributed.all_gather_object(found, thing)
        return found

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Tensors of all processes, in order; of equal shape, detached."""
        # Not every backend carries 16-bit numbers; as float32 they travel unchanged.
        short = tensor.is_floating_point() and tensor.element_size() < 4
        sent = (tensor.detach().float() if short else tensor.detach()).contiguous()
        found = [torch.empty_like(sent) for _ in range(self.world)]
        with _answered():
            distributed.all_gather(found, sent)
        return [part.to(tensor.dtype) for part in found]

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Add up, in place, the tensors of all processes."""
        kept = list(tensors)
        if not kept:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in kept])
        with _answered():
            distributed.all_reduce(flat)
        for tensor, total in zip(kept, torch.split(flat, [t.numel() for t in kept]), strict=True):
            tensor.copy_(total.view_as(tensor))

    @contextmanager
    def united(self) -> Iterator[None]:
        """Context that either every process leaves, or none: the fault of one is raised by all."""
        fault: Exception | None = None
        try:
            yield
        except Exception as error:
            fault = error
        told = self.everyone(None if fault is None else str(fault))
        if fault is not None:
            raise fault
        for rank, text in enumerate(told):
            if text is not None:
                raise AnnealError(text if rank == 0 else f"process {rank} of this run could not go on: {text}")


_joined: JoinedRanks | None = None


def join(devices: int, nodes: int, device: str) -> Ranks:
    """Join the processes of a run, once they have been launched; the same group serves every run of a process.

    Parameters
    ----------
    devices, nodes
        Processes on each machine, one a device, and machines.
    device
        As in the recipe: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        This process was not launched as one of several, the machine has too few devices, or the device is a single one.
    AnnealError
        The others do not come.
    """
    global _joined
    world = devices * nodes
    if world == 1:
        return ALONE
    if _joined is not None and _joined.world == world:
        return _joined
    accelerator = _accelerator(devices, device)
    if not is_launched():
        raise InputError(
            f"{devices} devices on {nodes} machine{'s' if nodes > 1 else ''} need a process each: start the run with "
            "'napari-anneal train --devices …', or a script with torchrun; in the viewer take one device."
        )
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets on standard error
    with _answered():
        strategy = DDPStrategy(timeout=timedelta(seconds=TIMEOUT_S))
        fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
        try:
            fabric.launch()
        except ValueError as error:  # started with other numbers than asked for
            raise InputError(
                f"the processes of this run do not fit {devices} devices × {nodes} nodes: {error}"
            ) from error
    _joined = JoinedRanks(fabric.global_rank, fabric.world_size, fabric.device)
    atexit.register(_leave)
    return _joined


def _accelerator(devices: int, device: str) -> str:
    """Kind of the devices, after checking that the machine has so many."""
    kind = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is not shared by {devices} processes; use 'cuda' or 'cpu'.")
    if kind == "cuda" and torch.cuda.device_count() < devices:
        raise InputError(
            f"this machine has {torch.cuda.device_count()} GPUs, not {devices}; take as many, or device='cpu'."
        )
    return kind


@contextmanager
def _answered() -> Iterator[None]:
    """Turn what torch says when another process is gone, or silent, into a sentence."""
    try:
        yield
    except RuntimeError as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise AnnealError(
            "another process of this run has ended or does not answer, so the run was stopped; see what that process "
            f"said, then resume the run from its last checkpoint ({first[:200]})."
        ) from error


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
