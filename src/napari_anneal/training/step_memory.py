"""How much memory a training step takes, told before it is taken: weights, gradients, optimizer state, activations.

The activations are not guessed from the architecture: two patches pass through the network once, and what autograd
keeps of that pass for the way back is added up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

from napari_anneal.models.layer_groups import keep_frozen_statistics
from napari_anneal.training.gradients import forward_pass
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.optimizers import build_optimizer, state_bytes
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.stages import Stage

__all__ = ["StepMemory", "activation_bytes", "step_memory"]


@dataclass(frozen=True)
class StepMemory:
    """Memory (bytes) of the stage of a run that takes most, on the device it computes on.

    ``copies`` are the best weights so far and the last good state, which lie beside the network where the device is
    the CPU (a GPU leaves them to the machine), and the moving average of the weights. Images, PyTorch itself and the
    workspace of its kernels come on top.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    copies: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(asdict(self).values())


def step_memory(
    network: nn.Module, recipe: FineTuneRecipe, device: torch.device, activations: tuple[int, int]
) -> StepMemory:
    """Memory of the stage that trains most parameters.

    Parameters
    ----------
    network
        On any device; its parameters are frozen and woken as the stage asks.
    recipe, device
        As the run has them.
    activations
        From `activation_bytes`.
    """
    stage = widest_stage(network, recipe)
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    learning = [p for p in network.parameters() if p.requires_grad]
    state = state_bytes(stage.optimizer, sum(p.numel() for p in learning))
    once, each = activations
    # The moving average of the weights lies on the device, and a copy of it with the last good state.
    averaged = 0 if recipe.ema_decay is None else weights * (2 if device.type == "cpu" else 1)
    at_once = min(recipe.micro_batch or recipe.batch_size, recipe.batch_size)
    return StepMemory(
        weights,
        sum(p.numel() * p.element_size() for p in learning),
        state,
        once + at_once * each,
        # The best weights; and network, best weights and optimizer as they were after the last good epoch.
        (3 * weights + state if device.type == "cpu" else 0) + averaged,
    )


def widest_stage(network: nn.Module, recipe: FineTuneRecipe) -> Stage:
    """The stage that trains most parameters; the network is left frozen and woken as it asks."""

    def learning(stage: Stage) -> int:
        build_optimizer(network, stage)
        return sum(p.numel() for p in network.parameters() if p.requires_grad)

    widest = max(recipe.stages, key=learning)
    build_optimizer(network, widest)
    return widest


def activation_bytes(
    network: nn.Module, recipe: FineTuneRecipe, loss_of: PaintedLoss, images: torch.Tensor, labels: torch.Tensor
) -> tuple[int, int]:
    """Memory (bytes) that autograd keeps for the way back: once a step, and for each patch of it.

    Each piece of memory counts once, however many layers keep it; the weights themselves do not count. Weights that
    autocast keeps in another type are what is kept once a step.

    Parameters
    ----------
    network
        In the state of the stage that trains most (`widest_stage`); its running statistics are put back.
    recipe, loss_of
        The precision of the pass, and the loss that it ends in.
    images, labels
        Two patches or more, ``(N, C, Y, X)`` and ``(N, Y, X)``, on the device of the network.
    """
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    shapes = {p.shape for p in network.parameters()}
    once: dict[int, int] = {}
    each: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            (once if tensor.shape in shapes else each)[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the graph would hold itself for ever

    forward = forward_pass(network, recipe.precision)
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    network.train()
    keep_frozen_statistics(network)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = loss_of(forward(images), labels)
    found = sum(once.values()), sum(each.values()) // len(images)
    del loss
    for name, tensor in network.named_buffers():
        tensor.copy_(before[name])
    return found
