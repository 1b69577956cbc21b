"""How good a network is on the validation tiles: the loss over painted pixels and the Dice of every class."""

from __future__ import annotations

import math

import torch
from torch import nn

from napari_anneal.devices import autocast
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.training.batches import validation_batches
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.validation.metrics import confusion_matrix, scores_from_confusion

__all__ = ["validate"]


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
