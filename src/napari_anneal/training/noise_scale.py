"""Gradient noise scale: how large a batch is worth its while, read off while a run goes.

The gradient of a batch of B patches is the true gradient G and noise of variance tr Σ / B. Up to about
``B = tr Σ / |G|²``, the noise scale, twice the batch saves nearly half the steps; far beyond it, hardly any
(McCandlish et al. 2018, "An empirical model of large-batch training", appendix A.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_anneal.training.gradients import random_state, set_random_state, statistics_at_rest

__all__ = ["NoiseScale", "squared_norm", "squared_norm_of_half"]

# Single estimates scatter widely, so their two parts are averaged; the ratio of averages is what counts.
MEMORY = 0.9
# As long as the batch is within this factor of the noise scale it is sensible.
SENSIBLE = 4.0


@dataclass
class NoiseScale:
    """Running estimate from squared gradient norms of a whole batch and of half of it."""

    noise: float = 0.0
    signal: float = 0.0
    weight: float = 0.0

    def update(self, part: float, whole: float, small: int, batch: int) -> None:
        """Take in |g|² of the first ``small`` patches and of all ``batch`` of a batch (unbiased for tr Σ and |G|²)."""
        signal = (batch * whole - small * part) / (batch - small)
        noise = (part - whole) / (1 / small - 1 / batch)
        self.noise = MEMORY * self.noise + (1 - MEMORY) * noise
        self.signal = MEMORY * self.signal + (1 - MEMORY) * signal
        self.weight = MEMORY * self.weight + (1 - MEMORY)

    @property
    def value(self) -> float | None:
        """Noise scale in patches; ``None`` while noise hides the signal altogether."""
        if self.weight == 0 or self.signal <= 0 or self.noise <= 0:
            return None
        return self.noise / self.signal

    def sentence(self, batch: int) -> str:
        """What it means for a batch of so many patches."""
        scale = self.value
        if scale is None:
            return f"The gradient noise of batches of {batch} cannot be told from the gradient yet."
        patches = max(round(scale), 1)
        about = f"The gradient noise scale is about {patches} patch{'es' if patches > 1 else ''}"
        if scale > SENSIBLE * batch:
            return f"{about}, much more than the batch of {batch}: a larger batch would need about as much fewer steps."
        if scale * SENSIBLE < batch:
            return f"{about}, much less than the batch of {batch}: a smaller batch would learn as much in each step."
        return f"{about}, so a batch of {batch} is sensible."


def squared_norm_of_half(
    add_gradients: Callable[[Tensor, Tensor], object], network: nn.Module, images: Tensor, labels: Tensor
) -> float:
    """|g|² of the first half of a batch; gradients, statistics and random numbers of the run stay untouched.

    ``add_gradients`` adds those of images and labels to the network's parameters.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    half = len(images) // 2
    state = random_state(images.device)
    kept = [p.grad for p in learning]
    network.zero_grad(set_to_none=True)
    with statistics_at_rest(network):
        add_gradients(images[:half], labels[:half])
    part = squared_norm(p.grad for p in learning)
    for parameter, slope in zip(learning, kept, strict=True):
        parameter.grad = slope
    set_random_state(images.device, state)
    return part


def squared_norm(tensors: Iterable[Tensor | None]) -> float:
    """Sum of the squares of all entries."""
    # Summed in float64, without a copy of the tensor in it.
    norms = [torch.linalg.vector_norm(tensor.detach(), dtype=torch.float64) for tensor in tensors if tensor is not None]
    return float(torch.stack(norms).square().sum()) if norms else 0.0
