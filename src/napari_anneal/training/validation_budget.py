"""How many patches a validation may look at: so many that a run never spends more than a tenth of its time on them.

The number follows from the recipe and the length of an epoch alone, never from a clock: the same seed gives the same
run on every machine, and a resumed run goes on with the same patches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_anneal.models.layer_groups import GROUPS

if TYPE_CHECKING:
    from napari_anneal.training.recipe import FineTuneRecipe
    from napari_anneal.training.stages import Stage

__all__ = ["validation_budget"]

SHARE = 0.1
# What a training patch costs, in forward passes of a validated patch: the backward pass is two (gradients of weights
# and of activations), and ends early where the first layers are frozen; half a pass is then left at the least.
WHOLE_COST, FROZEN_COST = 3.0, 1.5
# Fewer patches make no figure, more hardly a better one.
FEWEST, MOST = 4, 48


def validation_budget(recipe: FineTuneRecipe, steps_per_epoch: int) -> int:
    """Patches a validation may look at.

    The recipe's own number where it has one. Otherwise at most 48, and so few that all validations of the run together
    cost at most a tenth of it; 4 at least, however short the epochs.
    """
    if recipe.validation_patches is not None:
        return recipe.validation_patches
    training = sum(stage.length(steps_per_epoch) * recipe.batch_size * _cost(stage) for stage in recipe.stages)
    affordable = SHARE / (1 - SHARE) * training / recipe.total_epochs(steps_per_epoch)
    return max(FEWEST, min(MOST, math.floor(affordable)))


def _cost(stage: Stage) -> float:
    return WHOLE_COST if GROUPS[0] in stage.rates else FROZEN_COST
