"""How good a network is on the validation tiles: the loss over painted pixels and the Dice of every class."""

from __future__ import annotations

import math

import torch
from torch import nn

from napari_anneal.devices import autocast
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.training.batches import validation_batches
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.ranks import ALONE, Ranks
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.validation.metrics import confusion_matrix, scores_from_confusion

__all__ = ["validate"]


def validate(
    network: nn.Module,
    tiles: list[PreparedSlice],
    recipe: FineTuneRecipe,
    loss_of: PaintedLoss,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> tuple[float, tuple[float, ...]]:
    """Mean loss over painted validation pixels and Dice of each class (NaN where nothing is painted).

    Several processes take turns at the batches, and all know the figures of all batches in the end.
    """
    network.eval()
    size = recipe.batch_size
    own = range(ranks.rank, math.ceil(len(tiles) / size), ranks.world)
    found = {}
    with torch.inference_mode():
        for number in own:
            ((images, labels),) = validation_batches(tiles[number * size : (number + 1) * size], size, device)
            with autocast(device, recipe.precision):
                logits = network(images)
            count = int((labels > 0).sum())
            part = confusion_matrix(labels.cpu().numpy(), logits.argmax(dim=1).cpu().numpy() + 1, logits.shape[1])
            found[number] = float(loss_of(logits, labels)) * count, count, part
    total, painted, table = 0.0, 0, None
    everything = {number: figures for each in ranks.everyone(found) for number, figures in each.items()}
    for number in sorted(everything):  # the order of a single process, which gives its sums to the last bit
        loss, count, part = everything[number]
        total, painted, table = total + loss, painted + count, part if table is None else table + part
    if table is None or not painted:
        return math.nan, ()
    return total / painted, tuple(float(d) for d in scores_from_confusion(table).dice)
