"""Several looks at an image as one network: views under legal flips and turns, and models of an ensemble.

The mean of their probabilities is given as its logarithm, so that everything made for a network (tiles, halo, memory,
cancelling, devices) holds for the looks together without knowing of them: the softmax of the logarithm of a
distribution is that distribution. Nothing grows with the number of looks but the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from napari_anneal.inference.views import View

__all__ = ["MeanOfLooks"]


class MeanOfLooks(nn.Module):
    """Maps ``(N, C, Y, X)`` to the logarithm of mean probabilities ``(N, K, Y, X)``, float32.

    Parameters
    ----------
    networks
        Each maps ``(N, C, Y, X)`` to logits ``(N, K, Y, X)``; they stay shared with whoever made them.
    temperatures
        What the logits of each are divided by.
    views
        Of each network; quarter turns need Y and X to be multiples of the stride, as everything here does.
    """

    def __init__(self, networks: Sequence[nn.Module], temperatures: Sequence[float], views: Sequence[View]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.temperatures, self.views = tuple(temperatures), tuple(views)

    def looks(self, image: torch.Tensor) -> Iterator[torch.Tensor]:
        """Probabilities float32 ``(N, K, Y, X)`` of every look, one at a time."""
        for network, temperature in zip(self.networks, self.temperatures, strict=True):
            for view in self.views:
                logits = network(view(image).contiguous(memory_format=torch.channels_last))
                yield torch.softmax(view.undo(logits).float() / temperature, dim=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logarithm of the mean over all looks."""
        looks = self.looks(image)
        total = next(looks)
        for probabilities in looks:
            total = total + probabilities
        mean = total / (len(self.networks) * len(self.views))
        return torch.log(mean.clamp_min(torch.finfo(torch.float32).tiny))
