"""The training loop, read top to bottom as the recipe reads: for each stage, for each epoch, steps, then validation.

It knows neither files nor viewers nor plots: it yields events, and whoever listens draws, saves or prints.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from napari_anneal.augmentation import Augmenter
from napari_anneal.devices import autocast
from napari_anneal.models.layer_groups import keep_frozen_statistics
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.training.batches import PatchSource, batches, validation_batches
from napari_anneal.training.events import EpochDone, Event, Notice, RunFinished, StageStarted, StepDone
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.optimizers import build_optimizer, set_rates
from napari_anneal.training.recipe import FineTuneRecipe, Stage
from napari_anneal.validation.metrics import confusion_matrix, scores_from_confusion

__all__ = ["Best", "TrainingSet", "train"]


@dataclass(frozen=True)
class TrainingSet:
    """What a run learns from and is judged by."""

    source: PatchSource
    validation: list[PreparedSlice]
    steps_per_epoch: int


@dataclass
class Best:
    """The weights with the lowest validation loss so far, over all stages."""

    loss: float = math.inf
    epoch: int = 0
    dice: tuple[float, ...] = ()
    state: dict[str, torch.Tensor] = field(default_factory=dict)

    def update(self, loss: float, epoch: int, dice: tuple[float, ...], network: nn.Module) -> bool:
        """Keep these weights if their loss is finite and lower; return whether it was."""
        if not loss < self.loss:
            return False
        state = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        self.loss, self.epoch, self.dice, self.state = loss, epoch, dice, state
        return True


def train(
    network: nn.Module,
    data: TrainingSet,
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    device: torch.device,
    best: Best,
    cancelled: Callable[[], bool],
) -> Iterator[Event]:
    """Run the stages of a recipe and leave the best weights in the network.

    Parameters
    ----------
    network
        On ``device``; changed in place.
    data, recipe, loss_of, device
        What to learn from, how, the loss of logits and labels, and where to compute.
    best
        Filled in as the run goes: a caller that is interrupted finds the best weights so far in it.
    cancelled
        Asked before every step.

    Yields
    ------
    Event
        ``StageStarted``, ``StepDone``, ``EpochDone``, ``Notice`` and at last ``RunFinished``.
    """
    augment = Augmenter(recipe.augmentation)
    began, step, epoch = time.monotonic(), 0, 0
    total_steps = recipe.epochs * data.steps_per_epoch
    reason = "complete"

    for index, stage in enumerate(recipe.stages):
        optimizer = build_optimizer(network, stage)
        stage_steps = stage.epochs * data.steps_per_epoch
        yield StageStarted(stage.name, index, step, stage_steps, stage.rates)
        stale, losses = 0, []
        steps = range(step, step + stage_steps)
        stream = batches(data.source, augment, recipe.batch_size, steps, recipe.seed, device)
        epoch_began = time.monotonic()

        for local, (images, labels) in enumerate(stream):
            if cancelled():
                reason = "cancelled"
                break
            network.train()
            keep_frozen_statistics(network)  # train() has just woken them
            rates = set_rates(optimizer, stage, local, stage_steps)
            with autocast(device, recipe.precision):
                logits = network(images)
            loss = loss_of(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.max_gradient)
            optimizer.step()
            step += 1
            losses.append(loss.item())
            left = (time.monotonic() - began) / step * (total_steps - step)
            yield StepDone(step, total_steps, losses[-1], rates, left)
            if not math.isfinite(losses[-1]):
                reason = "diverged"
                break
            if (local + 1) % data.steps_per_epoch:
                continue

            epoch += 1
            val_loss, val_dice = validate(network, data.validation, recipe, loss_of, device)
            improved = best.update(val_loss, epoch, val_dice, network)
            stale = 0 if improved else stale + 1
            seconds, epoch_began = time.monotonic() - epoch_began, time.monotonic()
            mean, losses = float(np.mean(losses)), []
            yield EpochDone(epoch, recipe.epochs, step, stage.name, mean, val_loss, val_dice, improved, seconds)
            if stale >= recipe.patience:
                yield Notice(_early_stop(stage, recipe, best))
                total_steps -= stage_steps - local - 1
                reason = "stopped early"
                if index + 1 < len(recipe.stages):
                    network.load_state_dict(best.state)  # the next stage goes on from the best, not from the stale
                break

        stream.close()
        if reason in ("cancelled", "diverged"):
            break

    if reason == "diverged":
        yield Notice(
            "The loss became infinite or NaN, so the run was stopped and the best weights so far were kept; lower the "
            "learning rates."
        )
    if best.state:
        network.load_state_dict(best.state)
    network.eval()
    yield RunFinished(reason, best.epoch, best.loss, time.monotonic() - began)


def validate(
    network: nn.Module,
    tiles: list[PreparedSlice],
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    device: torch.device,
) -> tuple[float, tuple[float, ...]]:
    """Mean loss over painted validation pixels and Dice of each class (NaN where nothing is painted)."""
    network.eval()
    total, painted, table = 0.0, 0, None
    with torch.inference_mode():
        for images, labels in validation_batches(tiles, recipe.batch_size, device):
            with autocast(device, recipe.precision):
                logits = network(images)
            count = int((labels > 0).sum())
            total, painted = total + float(loss_of(logits, labels)) * count, painted + count
            found = confusion_matrix(labels.cpu().numpy(), logits.argmax(dim=1).cpu().numpy() + 1, logits.shape[1])
            table = found if table is None else table + found
    if table is None or not painted:
        return math.nan, ()
    return total / painted, tuple(float(d) for d in scores_from_confusion(table).dice)


def _early_stop(stage: Stage, recipe: FineTuneRecipe, best: Best) -> str:
    return (
        f"Stage '{stage.name}' ended early: {recipe.patience} epochs without a lower validation loss "
        f"(best so far: epoch {best.epoch})."
    )
