"""The training loop, read top to bottom as the recipe reads: for each stage, for each epoch, steps, then validation.

It knows neither files nor viewers nor plots: it yields events, and whoever listens draws, saves or prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from napari_anneal.augmentation import Augmenter
from napari_anneal.devices import held_bytes
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.training.batches import PatchSource, batches
from napari_anneal.training.control import RunControl
from napari_anneal.training.events import (
    EpochDone,
    Event,
    Notice,
    RunFinished,
    StageStarted,
    StepDone,
)
from napari_anneal.training.judging import validate
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.optimizers import set_rates
from napari_anneal.training.pace import Pace
from napari_anneal.training.ranks import ALONE, Ranks
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.stages import Stage
from napari_anneal.training.state import Best, Captured, RunState
from napari_anneal.training.step import Stepper

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
    ranks: Ranks = ALONE,
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
    ranks
        The processes that share every batch. The first one is cancelled, paused and finished, and the others with it.

    Yields
    ------
    Event
        ``StageStarted``, ``StepDone``, ``EpochDone``, ``Predicted``, ``Notice`` and at last ``RunFinished``.
    """
    augment = Augmenter(recipe.augmentation)
    control = control or RunControl()
    pace = Pace(state.progress.seconds)
    take_step = Stepper(state, recipe, loss_of, ranks)
    safe = state.capture()  # what a divergence falls back to

    while state.progress.stage < len(recipe.stages) and state.progress.reason in RUNNING:
        stage = recipe.stages[state.progress.stage]
        length = stage.length(data.steps_per_epoch)
        first = state.progress.step - state.progress.local
        optimizer = state.begin(stage)
        yield StageStarted(stage.name, state.progress.stage, first, length, stage.rates)
        steps, part = range(state.progress.step, first + length), ranks.share(recipe.batch_size)
        stream = batches(data.source, augment, recipe.batch_size, steps, recipe.seed, device, part)
        pace.begin_epoch()
        pace.begin_step()

        for images, labels in stream:
            progress = state.progress
            pace.leave_out(control.wait(cancelled, ranks.agree))
            if ranks.agree(cancelled()):
                progress.reason = "cancelled"
                break
            rates = set_rates(optimizer, stage, progress.local, length, recipe.rate_scale * progress.rate_scale)
            stepped = take_step(optimizer, images, labels)
            told, diverged = stepped.told, stepped.diverged
            progress.step += 1
            progress.local += 1
            if math.isfinite(stepped.loss):
                progress.losses.append(stepped.loss)
            progress.seconds = pace.seconds
            total, left = _left(state, data, recipe)
            speed = pace.end_step(recipe.batch_size)
            told.append(StepDone(progress.step, total, stepped.loss, rates, left, speed, held_bytes(device)))

            done: EpochDone | None = None
            finishing = ranks.agree(control.finishing)
            over = progress.local == length or finishing
            if not diverged and (over or progress.local % data.steps_per_epoch == 0):
                done = end_epoch(state, data, recipe, loss_of, device, pace, ranks)
                diverged = not math.isfinite(done.val_loss)
                if progress.stale >= recipe.patience and not over:
                    told.append(Notice(_early_stop(stage, recipe, state.best)))
                    progress.skipped += length - progress.local
                    progress.reason, over = "stopped early", True
                    if progress.stage + 1 < len(recipe.stages):
                        # The next stage goes on from the best, not from the stale.
                        state.adopt_best()
                if finishing and progress.step < total:
                    progress.reason = "finished"
                elif over and not diverged:
                    state.end_stage()
                told.append(done)  # last: whoever captures the state now has told all of it
            if diverged:
                told.append(Notice(fall_back(state, safe, recipe)))
                over = True
            elif done is not None:
                safe = state.capture(instead_of=safe)
            yield from told
            if done is not None:
                if watch is not None and not diverged:
                    yield from watch(done.epoch)
                pace.begin_epoch()
            if over:
                break
            pace.begin_step()

        stream.close()

    if state.best.state:
        state.network.load_state_dict(state.best.state)
    state.network.eval()
    yield RunFinished(state.progress.reason, state.best.epoch, state.best.loss, pace.seconds)


def end_epoch(
    state: RunState,
    data: TrainingSet,
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    device: torch.device,
    pace: Pace,
    ranks: Ranks,
) -> EpochDone:
    """Validate, and keep the weights if they are the best so far."""
    progress = state.progress
    progress.epoch += 1
    val_loss, val_dice = validate(state.shown, data.validation, recipe, loss_of, device, ranks)
    improved = state.best.update(val_loss, progress.epoch, val_dice, state.shown)
    progress.stale = 0 if improved else progress.stale + 1
    mean, progress.losses = float(np.mean(progress.losses or [math.nan])), []
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


def _early_stop(stage: Stage, recipe: FineTuneRecipe, best: Best) -> str:
    return (
        f"Stage '{stage.name}' ended early: {recipe.patience} epochs without a lower validation loss "
        f"(best so far: epoch {best.epoch})."
    )
