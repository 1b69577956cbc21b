"""The training loop, read top to bottom as the recipe reads: for each stage, for each epoch, steps, then validation.

It knows neither files nor viewers nor plots: it yields events, and whoever listens draws, saves or prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from napari_anneal.augmentation import Augmenter
from napari_anneal.devices import autocast, held_bytes
from napari_anneal.models.layer_groups import keep_frozen_statistics
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.training.batches import PatchSource, batches, validation_batches
from napari_anneal.training.control import RunControl
from napari_anneal.training.events import (
    EpochDone,
    Event,
    NoiseScaleRead,
    Notice,
    RunFinished,
    StageStarted,
    StepDone,
)
from napari_anneal.training.gradients import backward, forward_pass, is_out_of_memory, random_state, set_random_state
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.noise_scale import NoiseScale, squared_norm, squared_norm_of_half
from napari_anneal.training.optimizers import set_rates
from napari_anneal.training.pace import Pace
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.stages import Stage
from napari_anneal.training.state import Best, Captured, RunState
from napari_anneal.validation.metrics import confusion_matrix, scores_from_confusion

__all__ = ["TrainingSet", "train"]

# A stage that stopped early ends itself, not the run.
RUNNING = ("complete", "stopped early")


@dataclass(frozen=True)
class TrainingSet:
    """What a run learns from and is judged by."""

    source: PatchSource
    validation: list[PreparedSlice]
    steps_per_epoch: int


def train(
    state: RunState,
    data: TrainingSet,
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    device: torch.device,
    cancelled: Callable[[], bool],
    control: RunControl | None = None,
    watch: Callable[[int], Iterable[Event]] | None = None,
) -> Iterator[Event]:
    """Run the stages of a recipe, from wherever the state stands, and leave the best weights in the network.

    Parameters
    ----------
    state
        The network (on ``device``, changed in place) and how far its run has come. A caller that is interrupted finds
        the best weights so far in it, and may capture it whenever an event has arrived.
    data, recipe, loss_of, device
        What to learn from, how, the loss of logits and labels, and where to compute.
    cancelled
        Asked before every step.
    control
        Looked at before every step (pause) and after it (finish).
    watch
        Tells what the network, as it is, makes of a watched image; called with the epoch after every validation.

    Yields
    ------
    Event
        ``StageStarted``, ``StepDone``, ``EpochDone``, ``Predicted``, ``Notice`` and at last ``RunFinished``.
    """
    augment = Augmenter(recipe.augmentation)
    control = control or RunControl()
    pace = Pace(state.progress.seconds)
    noise = NoiseScale()
    safe = state.capture()  # what a divergence falls back to

    while state.progress.stage < len(recipe.stages) and state.progress.reason in RUNNING:
        stage = recipe.stages[state.progress.stage]
        length = stage.length(data.steps_per_epoch)
        first = state.progress.step - state.progress.local
        optimizer = state.begin(stage)
        yield StageStarted(stage.name, state.progress.stage, first, length, stage.rates)
        stream = batches(
            data.source, augment, recipe.batch_size, range(state.progress.step, first + length), recipe.seed, device
        )
        pace.begin_epoch()
        pace.begin_step()

        for images, labels in stream:
            progress = state.progress
            pace.leave_out(control.wait(cancelled))
            if cancelled():
                progress.reason = "cancelled"
                break
            state.network.train()
            keep_frozen_statistics(state.network)  # train() has just woken them
            scale = recipe.rate_scale * progress.rate_scale
            rates = set_rates(optimizer, stage, progress.local, length, scale)
            optimizer.zero_grad(set_to_none=True)
            loss, smaller = accumulate(state, recipe, loss_of, images, labels)
            told: list[Event] = [Notice(smaller)] if smaller else []
            if recipe.noise_scale_every and (progress.step + 1) % recipe.noise_scale_every == 0:
                told.extend(measure_noise(state, recipe, loss_of, noise, images, labels))
            nn.utils.clip_grad_norm_(state.network.parameters(), recipe.max_gradient)
            optimizer.step()
            progress.step += 1
            progress.local += 1
            progress.losses.append(loss)
            progress.seconds = pace.seconds
            total, left = _left(state, data, recipe)
            speed = pace.end_step(len(images))
            told.append(StepDone(progress.step, total, loss, rates, left, speed, held_bytes(device)))

            done: EpochDone | None = None
            finishing = control.finishing
            over = progress.local == length or finishing
            if math.isfinite(loss) and (over or progress.local % data.steps_per_epoch == 0):
                done = end_epoch(state, data, recipe, loss_of, device, pace)
                loss = done.val_loss
                if progress.stale >= recipe.patience and not over:
                    told.append(Notice(_early_stop(stage, recipe, state.best)))
                    progress.skipped += length - progress.local
                    progress.reason, over = "stopped early", True
                    if progress.stage + 1 < len(recipe.stages):
                        # The next stage goes on from the best, not from the stale.
                        state.network.load_state_dict(state.best.state)
                if finishing and progress.step < total:
                    progress.reason = "finished"
                elif over and math.isfinite(loss):
                    state.end_stage()
                told.append(done)  # last: whoever captures the state now has told all of it
            if not math.isfinite(loss):
                told.append(Notice(fall_back(state, safe, recipe)))
                over = True
            elif progress.losses == []:
                safe = state.capture()
            yield from told
            if done is not None and math.isfinite(loss) and watch is not None:
                yield from watch(done.epoch)
            if over:
                break
            if done is not None:
                pace.begin_epoch()
            pace.begin_step()

        stream.close()

    if state.best.state:
        state.network.load_state_dict(state.best.state)
    state.network.eval()
    yield RunFinished(state.progress.reason, state.best.epoch, state.best.loss, pace.seconds)


def accumulate(
    state: RunState, recipe: FineTuneRecipe, loss_of: PaintedLoss, images: torch.Tensor, labels: torch.Tensor
) -> tuple[float, str]:
    """Gradients of one batch; where memory does not suffice, of half as many images at a time, and say so."""
    progress, said = state.progress, ""
    random = random_state(images.device)
    forward = forward_pass(state.network, recipe.precision)
    while True:
        at_once = min(progress.micro_batch or recipe.micro_batch or len(images), len(images))
        try:
            return backward(forward, state.network, loss_of, images, labels, at_once), said
        except Exception as error:
            if not is_out_of_memory(error) or at_once == 1:
                raise
        # Outside the except clause: the error's frames hold the very tensors that must go.
        state.network.zero_grad(set_to_none=True)
        if images.device.type == "cuda":
            torch.cuda.empty_cache()
        set_random_state(images.device, random)
        progress.micro_batch = math.ceil(at_once / 2)
        said = (
            f"Memory did not suffice for {at_once} patches at once, so {progress.micro_batch} are computed at a time; "
            "the batch and the result stay as they were."
        )


def measure_noise(
    state: RunState,
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    noise: NoiseScale,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> list[Event]:
    """Read off the gradient noise scale, at the cost of half a step; not where memory is short or a batch is one."""
    if len(images) < 2 or state.progress.micro_batch or recipe.micro_batch:
        return []
    forward = forward_pass(state.network, recipe.precision)
    whole = squared_norm(p.grad for p in state.network.parameters() if p.requires_grad)
    part = squared_norm_of_half(forward, state.network, loss_of, images, labels)
    noise.update(part, whole, len(images) // 2, len(images))
    return [NoiseScaleRead(state.progress.step + 1, noise.value, noise.sentence(len(images)))]


def end_epoch(
    state: RunState,
    data: TrainingSet,
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    device: torch.device,
    pace: Pace,
) -> EpochDone:
    """Validate, and keep the weights if they are the best so far."""
    progress = state.progress
    progress.epoch += 1
    val_loss, val_dice = validate(state.network, data.validation, recipe, loss_of, device)
    improved = state.best.update(val_loss, progress.epoch, val_dice, state.network)
    progress.stale = 0 if improved else progress.stale + 1
    mean, progress.losses = float(np.mean(progress.losses)), []
    return EpochDone(
        progress.epoch,
        recipe.total_epochs(data.steps_per_epoch),
        progress.step,
        recipe.stages[progress.stage].name,
        mean,
        val_loss,
        val_dice,
        improved,
        pace.epoch_seconds,
    )


def fall_back(state: RunState, safe: Captured, recipe: FineTuneRecipe) -> str:
    """After a loss that is infinite or NaN: back to the last good epoch with half the rates, once; then the end."""
    if state.progress.rate_scale < 1:
        state.progress.reason = "diverged"
        return (
            "The loss became infinite or NaN again, so the run was stopped and the best weights so far were kept; "
            "lower the learning rates."
        )
    state.put_back(safe, recipe.stages)
    state.progress.rate_scale = 0.5
    return "The loss became infinite or NaN, so the run went back to the last good epoch, with half the learning rates."


def _left(state: RunState, data: TrainingSet, recipe: FineTuneRecipe) -> tuple[int, float]:
    """Steps of the whole run, and seconds it still takes at the pace so far."""
    progress = state.progress
    total = recipe.total_steps(data.steps_per_epoch) - progress.skipped
    return total, progress.seconds / progress.step * (total - progress.step)


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
