"""One optimizer step, read from top to bottom: forward and backward, unscale, measure, clip, move the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from napari_anneal.errors import AnnealError
from napari_anneal.training.events import Event, NoiseScaleRead, Notice
from napari_anneal.training.gradients import backward, forward_pass, is_out_of_memory, random_state, set_random_state
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.noise_scale import NoiseScale, squared_norm, squared_norm_of_half
from napari_anneal.training.ranks import ALONE, Ranks
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.shared_statistics import SharedStatistics
from napari_anneal.training.state import RunState

__all__ = ["Stepped", "Stepper"]


@dataclass(frozen=True)
class Stepped:
    """What came of a step: its loss, what is to be told, and whether the run cannot go on from here."""

    loss: float
    told: list[Event]
    diverged: bool


class Stepper:
    """Takes the steps of a run.

    Parameters
    ----------
    state
        Network, scaler and average, all changed in place.
    recipe, loss_of
        How, and the loss of logits and labels.
    ranks
        The processes that share every batch.
    """

    def __init__(self, state: RunState, recipe: FineTuneRecipe, loss_of: PaintedLoss, ranks: Ranks = ALONE) -> None:
        self.state, self.recipe, self.loss_of, self.ranks = state, recipe, loss_of, ranks
        self.noise = NoiseScale()
        self._plain = forward_pass(state.network, recipe.precision)
        compiles = recipe.compile and ranks.world == 1
        self._compiled = forward_pass(torch.compile(state.network), recipe.precision) if compiles else None
        self._proven: set[tuple[int, int]] = set()  # stages and numbers of patches at once that have gone through

    def __call__(self, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Stepped:
        """Take one step, at the rates that the optimizer has, with the gradients of one batch."""
        state, scaler = self.state, self.state.scaler
        optimizer.zero_grad(set_to_none=True)
        loss, told = self._accumulate(images, labels)
        scaler.unscale_(optimizer)
        every = self.recipe.noise_scale_every
        if every and (state.progress.step + 1) % every == 0:
            told.extend(self._measure_noise(images, labels))
        nn.utils.clip_grad_norm_(state.network.parameters(), self.recipe.max_gradient)
        scale = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        # Gradients beyond the range of float16: the scaler has left the step out and halves its scale. That is its way
        # of finding the scale, not a divergence, unless they overflow even unscaled.
        skipped = scaler.is_enabled() and scaler.get_scale() < scale
        if state.averaged is not None and not skipped:
            state.averaged.update_parameters(state.network)
        return Stepped(loss, told, scale <= 1.0 if skipped else not math.isfinite(loss))

    def _accumulate(self, images: Tensor, labels: Tensor) -> tuple[float, list[Event]]:
        """Gradients of one batch; where memory does not suffice, of half as many images at a time, and say so."""
        progress, told, smaller = self.state.progress, list[Event](), list[Event]()
        random = random_state(images.device)
        while True:
            at_once = min(progress.micro_batch or self.recipe.micro_batch or len(images), len(images))
            key = (progress.stage, at_once)
            new = key not in self._proven
            # Half a forward pass may move some of the running statistics before it fails.
            before = [buffer.clone() for buffer in self.state.network.buffers()] if new else []
            try:
                if new and self.ranks.world > 1:
                    self._rehearse(images, labels, at_once)
                resting = self.state.statistics.wake(images, at_once)
                if new and resting:
                    told.append(Notice(resting))
                loss = self._backward(self._compiled or self._plain, images, labels, at_once)
                self._proven.add(key)
                return loss, told + smaller
            except Exception as error:
                compiling = new and self._compiled is not None and not is_out_of_memory(error)
                if not compiling and (not is_out_of_memory(error) or at_once == 1):
                    raise
                why = str(error).strip().splitlines()
            # Outside the except clause: the error's frames hold the very tensors that must go.
            self._begin_again(before, images.device, random)
            if compiling:
                self._compiled = None
                told.append(Notice(_not_compiled(why[0] if why else "no further message")))
                continue
            progress.micro_batch = math.ceil(at_once / 2)
            smaller = [
                Notice(
                    f"Memory did not suffice for {at_once} patches at once, so {progress.micro_batch} are computed at "
                    "a time; the batch and the result stay as they were."
                )
            ]

    def _backward(
        self, forward: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, at_once: int | None = None
    ) -> float:
        network, scaled = self.state.network, self.state.scaler.scale
        with SharedStatistics(self.ranks) if self.ranks.world > 1 else nullcontext():
            return backward(forward, network, self.loss_of, images, labels, at_once, scaled, self.ranks)

    def _rehearse(self, images: Tensor, labels: Tensor, at_once: int) -> None:
        """Let every process find out by itself whether its memory suffices, and all of them fail if one does.

        In the middle of a step a process that fails would leave the others waiting.
        """
        fault: Exception | None = None
        self.state.network.eval()
        try:
            backward(self._plain, self.state.network, self.loss_of, images, labels, at_once)
        except Exception as error:
            fault = error.with_traceback(None)
        self.state.network.zero_grad(set_to_none=True)
        short = None if fault is None else is_out_of_memory(fault)
        told = self.ranks.everyone(short)
        if fault is not None:
            raise fault
        if False in told:
            raise AnnealError(f"process {told.index(False)} of this run failed in its first step; see what it said.")
        if True in told:
            raise torch.OutOfMemoryError(f"process {told.index(True)} of this run ran out of memory")

    def _begin_again(self, statistics: list[Tensor], device: torch.device, random: Tensor) -> None:
        """Undo what a failed attempt has left behind."""
        self.state.network.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        set_random_state(device, random)
        with torch.no_grad():
            for buffer, before in zip(self.state.network.buffers(), statistics, strict=False):
                buffer.copy_(before)

    def _measure_noise(self, images: Tensor, labels: Tensor) -> list[Event]:
        """Read off the gradient noise scale, at the cost of half a step; not where memory is short or a batch is one.

        Gradients have been unscaled by now; where they overflowed there is nothing to read off.
        """
        state, count = self.state, len(images)
        if count < 2 or state.progress.micro_batch or self.recipe.micro_batch:
            return []
        whole = squared_norm(p.grad for p in state.network.parameters() if p.requires_grad)
        state.statistics.wake(images, count // 2)
        scale = state.scaler.get_scale() if state.scaler.is_enabled() else 1.0
        add_gradients = partial(self._backward, self._plain)
        part = squared_norm_of_half(add_gradients, state.network, images, labels) / scale**2
        if not math.isfinite(whole) or not math.isfinite(part):
            return []
        world = self.ranks.world
        self.noise.update(part, whole, count // 2 * world, count * world)
        return [NoiseScaleRead(state.progress.step + 1, self.noise.value, self.noise.sentence(count * world))]


def _not_compiled(why: str) -> str:
    return f"The network could not be compiled ({why}), so the run goes on without, only slower."
