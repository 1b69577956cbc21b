"""A rehearsal: a few real steps of a run, timed, on a copy of its network; what the whole run takes follows from them.

The steps are those of the training loop itself, so whatever makes them slow or fast (augmentation, precision,
accumulated gradients) is in the figure.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from napari_anneal.cancelling import CancelSignal
from napari_anneal.models.starts import Start
from napari_anneal.training.events import EpochDone, StageStarted, StepDone
from napari_anneal.training.loop import TrainingSet, train
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run_setup import begin_state
from napari_anneal.training.stages import Stage

__all__ = ["StepTimes", "rehearse"]

# Steps of a rehearsed stage: the first warms up and the last is followed by a validation; those between are timed.
STEPS = 4


@dataclass(frozen=True)
class StepTimes:
    """Seconds a step by the number of layer groups that learn, and seconds of validation a patch."""

    steps: dict[int, float]
    validation: float

    def step(self, groups: int) -> float:
        """Seconds of one step with so many groups learning; between those that were timed, in proportion."""
        known = sorted(self.steps)
        return float(np.interp(groups, known, [self.steps[n] for n in known]))

    def seconds(self, recipe: FineTuneRecipe, steps_per_epoch: int, validation_patches: int) -> float:
        """Seconds of a whole run, if no stage ends early."""
        # Reading the gradient noise scale takes half a step more.
        extra = 1 + (0.5 / recipe.noise_scale_every if recipe.noise_scale_every else 0.0)
        training = sum(s.length(steps_per_epoch) * self.step(len(s.rates)) * extra for s in recipe.stages)
        return training + recipe.total_epochs(steps_per_epoch) * validation_patches * self.validation


def rehearse(
    begun: Start,
    data: TrainingSet,
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> StepTimes | None:
    """Time a few steps of the stages that train fewest and most layer groups.

    Parameters
    ----------
    begun
        Where the run would start; its network stays as it is, and so do torch's random numbers.
    data, recipe, loss_of, device
        As in `train`.
    progress
        Called with (steps done, steps).
    cancel
        Asked before every step; a rehearsal that is cancelled gives ``None``.
    """
    stages = _shortest_and_widest(recipe)
    # Of several processes each computes its share, at the same time.
    alone = {"devices": 1, "nodes": 1, "batch_size": recipe.batch_size // recipe.world}
    short = recipe.model_copy(update={"stages": stages, "noise_scale_every": 0, **alone})
    # No epoch ends before its stage does, and that validation looks at one batch.
    few = TrainingSet(data.source, data.validation[: recipe.batch_size], steps_per_epoch=10 * STEPS)
    actor = copy.deepcopy(begun.network).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups, done, marks = 0, 0, [time.perf_counter()]
    steps: dict[int, float] = {}
    validations: list[float] = []

    def stopped() -> bool:
        return cancel is not None and cancel.is_set()

    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        for event in train(begin_state(actor, short, begun, device), few, short, loss_of, device, stopped):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            now = time.perf_counter()
            if isinstance(event, StageStarted):
                groups, marks = len(event.groups), [now]
            elif isinstance(event, StepDone):
                marks.append(now)
                done += 1
                if progress is not None:
                    progress(done, STEPS * len(stages))
            elif isinstance(event, EpochDone):
                steps[groups] = float(np.mean(np.diff(marks)[1 : STEPS - 1]))
                last = now - marks[STEPS - 1]  # the last step and the validation
                validations.append(max(0.0, last - steps[groups]))
    if len(steps) < len(stages):
        return None
    return StepTimes(steps, float(np.mean(validations)) / len(few.validation))


def _shortest_and_widest(recipe: FineTuneRecipe) -> tuple[Stage, ...]:
    by_width = {len(stage.rates): stage for stage in recipe.stages}
    chosen = [by_width[width] for width in sorted({min(by_width), max(by_width)})]
    return tuple(stage.model_copy(update={"epochs": None, "steps": STEPS}) for stage in chosen)
