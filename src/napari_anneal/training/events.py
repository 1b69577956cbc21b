"""What a run tells while it goes: small frozen objects; curves, progress bars, tables and logs listen to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from napari_anneal.models.layer_groups import GroupName
from napari_anneal.training.control import RunControl

__all__ = [
    "EpochDone",
    "Event",
    "NoiseScaleRead",
    "Notice",
    "PartStarted",
    "Predicted",
    "RunFinished",
    "RunStarted",
    "StageStarted",
    "StepDone",
]


@dataclass(frozen=True)
class RunStarted:
    """The run is set up. ``stages``: (name, epochs) in order; ``parameters``: count by layer group."""

    total_steps: int
    total_epochs: int
    stages: tuple[tuple[str, int], ...]
    classes: tuple[str, ...]
    parameters: dict[str, int]
    device: str
    train_slices: int
    validation_slices: int


@dataclass(frozen=True)
class StageStarted:
    """A stage begins; ``groups`` maps each group that learns to its peak rate."""

    name: str
    index: int
    first_step: int
    steps: int
    groups: Mapping[GroupName, float]


@dataclass(frozen=True)
class StepDone:
    """One optimizer step is done.

    ``rates``: learning rate by group; ``seconds_left``: if the run goes to its end; ``patches_per_s``: of the last
    steps, without validations and pauses; ``gpu_bytes``: memory held on the GPU, ``None`` on a CPU.
    """

    step: int
    total_steps: int
    loss: float
    rates: dict[str, float]
    seconds_left: float
    patches_per_s: float
    gpu_bytes: int | None

    @property
    def lr(self) -> float:
        """The highest of the current rates (the head's)."""
        return max(self.rates.values())


@dataclass(frozen=True)
class EpochDone:
    """One epoch is validated. ``val_dice`` is NaN for a class without painted validation pixels."""

    epoch: int
    total_epochs: int
    step: int
    stage: str
    train_loss: float
    val_loss: float
    val_dice: tuple[float, ...]
    best: bool
    seconds: float


@dataclass(frozen=True, eq=False)
class Predicted:
    """What the network makes of the watched image after an epoch: ``labels`` uint8 ``(Y, X)``, 1…K."""

    epoch: int
    labels: npt.NDArray[Any]


@dataclass(frozen=True)
class NoiseScaleRead:
    """The gradient noise scale was read off: ``scale`` in patches (``None``: too noisy to say), and what it means."""

    step: int
    scale: float | None
    sentence: str


@dataclass(frozen=True)
class Notice:
    """One sentence the user should read; the run goes on."""

    text: str


@dataclass(frozen=True)
class RunFinished:
    """The run is over. ``reason``: "complete", "stopped early", "finished", "cancelled", "diverged", "disk full"."""

    reason: str
    best_epoch: int
    best_val_loss: float
    seconds: float


@dataclass(frozen=True)
class PartStarted:
    """One of several runs begins, or is found finished (``done``); its events follow.

    ``of`` says what it is part of: an arrow of a cascade, a run or control of a comparison, a fold of a
    cross-validation. It is the ``number``-th (from 1) of ``total``; ``control`` steers that run alone.
    """

    of: Literal["cascade", "comparison", "cross-validation"]
    number: int
    total: int
    name: str
    control: RunControl
    done: bool = False


Event = RunStarted | StageStarted | StepDone | EpochDone | Predicted | NoiseScaleRead | Notice | RunFinished
