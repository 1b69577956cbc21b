"""Exponential moving average of a network's weights: what is validated and kept where a recipe asks for it.

The average over the last 1 / (1 - decay) steps scatters less than the weights of any one of them (Polyak and Juditsky
1992); at a rate that does not fall to zero it generalises better, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["AveragedWeights", "decay_after"]


def decay_after(updates: int, decay: float) -> float:
    """Decay of one update: small at first, so that the weights a run began with are soon forgotten.

    ``min(decay, (1 + n) / (10 + n))`` after ``n`` updates, as in TensorFlow's ``ExponentialMovingAverage``.
    """
    return min(decay, (1 + updates) / (10 + updates))


class AveragedWeights(AveragedModel):
    """A copy of a network that holds the average of its parameters and of its normalisation statistics.

    What does not move (frozen parameters and statistics) stays equal to the last bit; counters are copied.

    Parameters
    ----------
    network
        Its weights as they are now are the first average.
    decay
        Weight of the average against the newest weights, in (0, 1).
    """

    module: nn.Module

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=self._average, use_buffers=True)
        self.decay = decay
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def _average(self, kept: Sequence[Tensor], new: Sequence[Tensor], updates: Tensor | int) -> None:
        if not kept[0].is_floating_point():
            for old, current in zip(kept, new, strict=True):
                old.copy_(current)
            return
        torch._foreach_lerp_(list(kept), list(new), 1.0 - decay_after(int(updates), self.decay))
