"""Learning-rate range test: which peak rate to take, from one short sweep (Smith 2017, section 3.3).

The rate grows geometrically from step to step, all groups in the proportions of the recipe, until the loss explodes.
The rate suggested is that at which the smoothed loss falls fastest. Nothing of the sweep stays: it trains a network of
its own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from napari_anneal.augmentation import Augmenter
from napari_anneal.cancelling import CancelSignal
from napari_anneal.devices import pick_device
from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.batch_statistics import BatchStatistics
from napari_anneal.training.batches import batches
from napari_anneal.training.gradients import backward, forward_pass
from napari_anneal.training.losses import loss_of_recipe
from napari_anneal.training.optimizers import build_optimizer
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.setup import prepare_run, resolve_start
from napari_anneal.training.stages import Stage
from napari_anneal.validation import SplitPlan

__all__ = ["RateCurve", "find_rate", "with_head_rate"]

# The sweep ends when the smoothed loss is this many times its least value.
EXPLODED = 4.0
SMOOTHING = 0.9
LEAST_STEPS = 20


@dataclass(frozen=True)
class RateCurve:
    """Result of a sweep: one entry a step.

    ``rates`` are those of the head (other groups in proportion), ``losses`` the raw and ``smoothed`` the smoothed
    training losses; ``suggestion`` is a rate of the head, ``None`` where the loss fell nowhere.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None

    @property
    def sentence(self) -> str:
        """What to do."""
        if self.suggestion is None:
            return "The loss fell at no learning rate of the sweep, so none is suggested; check the labels."
        return (
            f"The loss falls fastest at a head learning rate of {self.suggestion:.1e}; other groups keep their ratio."
        )


def find_rate(
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    start: str | os.PathLike[str] | Model | None = None,
    *,
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
    watch: Callable[[float, float], None] | None = None,
) -> RateCurve:
    """Sweep the learning rate of the stage that trains most groups; arguments and errors as `fine_tune`.

    Parameters
    ----------
    samples, plan, recipe, start
        As in `fine_tune`.
    steps
        Optimizer steps of the whole sweep; it ends earlier when the loss explodes.
    lowest, highest
        Learning rates of the head at the first and the last step.
    progress
        Called with (steps done, steps).
    cancel
        Asked before every step; what was swept so far is the result.
    watch
        Called with the head's rate and the loss of every step.
    """
    if not 0 < lowest < highest or steps < LEAST_STEPS:
        raise InputError(
            f"a sweep from {lowest:g} to {highest:g} in {steps} steps cannot be; give rising positive rates and "
            f"{LEAST_STEPS} steps or more."
        )
    recipe = recipe or FineTuneRecipe.from_preset("scratch" if start is None else "canonical")
    prepared = prepare_run(samples, plan, recipe)
    device = pick_device(recipe.device)
    begun = resolve_start(start, recipe, prepared.classes, prepared.channels)
    network = begun.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = loss_of_recipe(recipe, prepared.painted, len(prepared.classes)).to(device)
    forward = forward_pass(network, recipe.precision)
    stage = max(recipe.stages, key=lambda stage: len(stage.rates))
    reference = max(stage.rates.values())
    optimizer = build_optimizer(network, stage)
    statistics = BatchStatistics(network, recipe.batch_norm, begun.origin["kind"])
    stream = batches(
        prepared.data.source, Augmenter(recipe.augmentation), recipe.batch_size, range(steps), recipe.seed, device
    )

    rates: list[float] = []
    losses: list[float] = []
    for step, (images, labels) in enumerate(stream):
        if cancel is not None and cancel.is_set():
            break
        rate = lowest * (highest / lowest) ** (step / (steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate / reference
        statistics.wake(images, min(recipe.micro_batch or len(images), len(images)))
        optimizer.zero_grad(set_to_none=True)
        loss = backward(forward, network, loss_of, images, labels, recipe.micro_batch)
        if not math.isfinite(loss):
            break
        optimizer.step()
        rates.append(rate)
        losses.append(loss)
        if watch is not None:
            watch(rate, loss)
        if progress is not None:
            progress(step + 1, steps)
        smoothed = smooth(losses)
        if step > LEAST_STEPS // 2 and smoothed[-1] > EXPLODED * min(smoothed):
            break
    stream.close()
    smoothed = smooth(losses)
    return RateCurve(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed))


def smooth(losses: Sequence[float]) -> list[float]:
    """Exponential moving average, corrected for its start at zero."""
    mean, out = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        out.append(mean / (1 - SMOOTHING**number))
    return out


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """Rate of the steepest fall over the logarithm of the rate, before the minimum; ``None`` where it falls nowhere."""
    if len(rates) < 3:
        return None
    lowest = int(np.argmin(smoothed))
    slope = np.gradient(np.asarray(smoothed), np.log(np.asarray(rates)))[: lowest + 1]
    return float(rates[int(slope.argmin())]) if len(slope) and slope.min() < 0 else None


def with_head_rate(recipe: FineTuneRecipe, rate: float) -> FineTuneRecipe:
    """Take a suggestion over: the stage that was swept gets that rate for its fastest group, others in proportion."""
    swept = max(recipe.stages, key=lambda stage: len(stage.rates))
    factor = rate / max(swept.rates.values())

    def scaled(stage: Stage) -> Stage:
        if stage.optimizer != swept.optimizer:
            return stage
        return stage.model_copy(update={"rates": {g: min(r * factor, 1.0) for g, r in stage.rates.items()}})

    return recipe.model_copy(update={"stages": tuple(scaled(stage) for stage in recipe.stages)})
