"""Batch normalisation over the patches of all processes of a run, on any device, for any layer that computes it.

Layers need no replacing: while the context is open, ``functional.batch_norm`` with the statistics of a batch takes
those of all processes. Two sums a layer travel forwards and two backwards: that of the values first, then that of the
squared deviations from their mean, which is exact where the mean is large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from napari_anneal.training.ranks import Ranks

__all__ = ["SharedStatistics"]


class _Sum(torch.autograd.Function):
    """Sum of a tensor over all processes; the gradient of the sum goes to every one of them."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        total = tensor.clone()
        ranks.add([total])
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        total = slopes[0].clone()
        ctx.ranks.add([total])
        return total, None


class SharedStatistics(TorchFunctionMode):
    """While open, layers in train mode normalise by the statistics of what all processes pass through them.

    Parameters
    ----------
    ranks
        The processes; they must pass equal numbers of patches through the same layers in the same order.
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.ranks = ranks

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute batch normalisation here, and everything else as always."""
        if func is not functional.batch_norm:
            return func(*args, **(kwargs or {}))
        return self._normalised(*args, **(kwargs or {}))

    def _normalised(
        self,
        given: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Batch normalisation (Ioffe and Szegedy 2015) of ``(N, C, …)``; running statistics move as torch's do."""
        if not training:
            return functional.batch_norm(given, running_mean, running_var, weight, bias, False, momentum, eps)
        axes = [0, *range(2, given.ndim)]
        shape = [1, -1, *[1] * (given.ndim - 2)]
        count = given.numel() // given.shape[1] * self.ranks.world
        values = given.float()
        mean = _Sum.apply(values.sum(axes), self.ranks) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes), self.ranks) / count
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
        result = centred * torch.rsqrt(variance + eps).view(shape)
        if weight is not None:
            result = result * weight.view(shape)
        if bias is not None:
            result = result + bias.view(shape)
        normalised: Tensor = result.to(given.dtype)
        return normalised
