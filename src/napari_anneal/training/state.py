"""Where a run stands: network, optimizer, best weights, random numbers and counters, to be kept and put back.

What is captured is all that the rest of the run depends on, so a run that is put back goes on bit for bit (on a CPU) as
if it had never stopped. Batches are pure functions of the step's number, so the sampler's position is that number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from napari_anneal.training.averaging import AveragedWeights
from napari_anneal.training.batch_statistics import BatchStatistics
from napari_anneal.training.optimizers import build_optimizer
from napari_anneal.training.stages import Stage

__all__ = ["Best", "Captured", "Progress", "RunState"]


@dataclass
class Best:
    """The weights with the lowest validation loss so far, over all stages."""

    loss: float = math.inf
    epoch: int = 0
    dice: tuple[float, ...] = ()
    state: dict[str, Tensor] = field(default_factory=dict)

    def update(self, loss: float, epoch: int, dice: tuple[float, ...], network: nn.Module) -> bool:
        """Keep these weights if their loss is finite and lower; return whether it was."""
        if not loss < self.loss:
            return False
        self.loss, self.epoch, self.dice, self.state = loss, epoch, dice, _copied(network.state_dict())
        return True


@dataclass
class Progress:
    """The counters of a run.

    ``stage`` is the stage that is under way and ``local`` how many of its steps are done; ``step`` and ``epoch`` count
    over all stages. ``skipped`` steps were left out by early stopping. ``losses`` are those of the epoch under way.
    """

    stage: int = 0
    local: int = 0
    step: int = 0
    epoch: int = 0
    stale: int = 0
    skipped: int = 0
    losses: list[float] = field(default_factory=list)
    micro_batch: int | None = None
    # Halved after a divergence, once.
    rate_scale: float = 1.0
    seconds: float = 0.0
    reason: str = "complete"


@dataclass(frozen=True)
class Captured:
    """A run at one moment: named tensors (copies, on the CPU) and plain numbers."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class RunState:
    """Everything of a run that changes while it goes.

    Parameters
    ----------
    network
        On the device it computes on; trained in place.
    ema_decay
        Of the average of its weights that is validated and kept; ``None``: the weights themselves are.
    statistics
        What its normalisation layers do in a step; ``None``: all that learn see the batch.
    scaler
        Of the loss, for float16; ``None``: none is needed.
    """

    def __init__(
        self,
        network: nn.Module,
        ema_decay: float | None = None,
        statistics: BatchStatistics | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.network = network
        self.averaged = None if ema_decay is None else AveragedWeights(network, ema_decay)
        self.statistics = statistics or BatchStatistics(network)
        self.scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
        self.optimizer: torch.optim.Optimizer | None = None
        self.best = Best()
        self.progress = Progress()

    @property
    def shown(self) -> nn.Module:
        """What is validated, kept and shown: the average of the weights where there is one, else the weights."""
        return self.network if self.averaged is None else self.averaged.module

    def adopt_best(self) -> None:
        """Go on from the best weights so far."""
        self.network.load_state_dict(self.best.state)
        if self.averaged is not None:
            self.averaged.module.load_state_dict(self.best.state)

    def begin(self, stage: Stage) -> torch.optim.Optimizer:
        """Build the optimizer of a stage, unless the stage is under way already."""
        if self.optimizer is None:
            self.optimizer = build_optimizer(self.network, stage)
        return self.optimizer

    def end_stage(self) -> None:
        """Go on to the next stage, which has an optimizer of its own."""
        self.progress.stage, self.progress.local, self.progress.stale = self.progress.stage + 1, 0, 0
        self.optimizer = None

    def capture(self, instead_of: Captured | None = None) -> Captured:
        """Copy all of it; into the memory of an earlier capture that nobody needs any more, if one is given."""
        moving = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.averaged is not None:
            moving |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        if self.optimizer is not None:
            for index, values in self.optimizer.state_dict()["state"].items():
                moving |= {f"optimizer.{index}.{k}": v for k, v in values.items() if isinstance(v, Tensor)}
        tensors = _copied(moving, instead_of.tensors if instead_of is not None else {})
        # The best weights never change in place, so they need no copy.
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.state.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors |= {f"random.cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        best = {"loss": self.best.loss, "epoch": self.best.epoch, "dice": list(self.best.dice)}
        numbers = {"progress": asdict(self.progress), "best": best, "scaler": self.scaler.state_dict()}
        return Captured(tensors, numbers)

    def put_back(self, captured: Captured, stages: tuple[Stage, ...]) -> None:
        """Take the run back to a captured moment."""
        tensors, numbers = captured.tensors, captured.numbers
        self.progress = Progress(**numbers["progress"])
        self.progress.losses = list(self.progress.losses)
        self.network.load_state_dict(_under(tensors, "network"))
        if self.averaged is not None:
            self.averaged.load_state_dict(_under(tensors, "averaged"))
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(numbers["scaler"])
        best = numbers["best"]
        self.best.loss, self.best.epoch, self.best.dice = best["loss"], best["epoch"], tuple(best["dice"])
        self.best.state = _under(tensors, "best")
        self.optimizer = None
        if self.progress.local:
            self.optimizer = build_optimizer(self.network, stages[self.progress.stage])
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _under(tensors, "optimizer").items():
                index, _, key = name.partition(".")
                state.setdefault(int(index), {})[key] = tensor.clone()
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        torch.set_rng_state(tensors["random.cpu"])
        cards = sorted(name for name in tensors if name.startswith("random.cuda"))
        if cards and len(cards) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([tensors[name] for name in cards])


def _copied(tensors: dict[str, Tensor], memory: Mapping[str, Tensor] = MappingProxyType({})) -> dict[str, Tensor]:
    """Copies on the CPU; in the tensors of the same name and kind in ``memory``, which new ones would take time for."""
    copies = {}
    for name, tensor in tensors.items():
        old = memory.get(name)
        if old is not None and (old.shape, old.dtype) == (tensor.shape, tensor.dtype):
            copies[name] = old.copy_(tensor.detach())
        else:
            copies[name] = tensor.detach().to("cpu", copy=True)
    return copies


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
