"""What leaves the package: the network with everything around it that a runtime elsewhere would have to know.

From an image, standardised or raw, to class probabilities at the model's temperature (or to logits), as one module
whose operations every ONNX runtime has, for batches and images of any size.
"""

from __future__ import annotations

import torch
from torch import nn

from napari_anneal.models import BundleCard
from napari_anneal.samples.normalisation import (
    CLIP,
    HIGH_PERCENTILE,
    IMAGENET_GREY_MEAN,
    IMAGENET_GREY_STD,
    LOW_PERCENTILE,
    MAX_PIXELS_PER_SLICE,
)

__all__ = ["ExportedNetwork"]


class ExportedNetwork(nn.Module):
    """A network with its input scaled and its output made probabilities.

    Maps float32 ``(N, C, Y, X)`` to float32 ``(N, K, Y, X)``.

    Parameters
    ----------
    network, card
        A copy of the model's network, which is taken over and changed, and its card.
    raw
        Whether the input has grey values as the microscope gave them, which are then scaled by the percentiles of each
        image of the batch; else it is standardised already.
    softmax
        Whether the output is probabilities at the card's temperature; else it is logits, not yet divided by it.
    """

    def __init__(self, network: nn.Module, card: BundleCard, raw: bool = False, softmax: bool = True) -> None:
        super().__init__()
        _replace_adaptive_pools(network)
        self.network = network
        self.scale = PercentileScale() if raw else nn.Identity()
        self.temperature, self.softmax = card.temperature, softmax

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class probabilities, or logits."""
        logits: torch.Tensor = self.network(self.scale(image))
        return torch.softmax(logits / self.temperature, dim=1) if self.softmax else logits


class PercentileScale(nn.Module):
    """`intensity_range` and `standardise` as tensor operations: the same limits from the same pixels of every image.

    A constant image, which segmenting in this package refuses, becomes 0 before it is standardised.
    """

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Standardise ``(N, C, Y, X)``, every image by its own limits."""
        height, width = image.shape[-2:]
        rows, columns = torch.arange(height), torch.arange(width)
        pixels = (rows[-1] + 1) * (columns[-1] + 1)
        # Every k-th pixel of a large plane: those left out are put behind all others, so that no shape depends on them.
        step = torch.clamp(torch.floor(torch.sqrt(pixels.double() / MAX_PIXELS_PER_SLICE)), min=1).long()
        rows_kept, columns_kept = rows % step == 0, columns % step == 0
        kept = rows_kept[:, None] & columns_kept[None, :]
        count = rows_kept.sum() * columns_kept.sum() * image.shape[1]
        ordered = torch.where(kept, image, torch.inf).flatten(1).sort(dim=1).values
        low = _quantile(ordered, count, LOW_PERCENTILE / 100)
        high = _quantile(ordered, count, HIGH_PERCENTILE / 100)
        flat = high <= low
        low = torch.where(flat, _quantile(ordered, count, 0.0), low)
        high = torch.where(flat, _quantile(ordered, count, 1.0), high)
        span = torch.where(high > low, high - low, torch.ones_like(low))
        unit = torch.clamp((image - low[:, :, None, None]) / span[:, :, None, None], *CLIP)
        return (unit - IMAGENET_GREY_MEAN) / IMAGENET_GREY_STD


class AveragePoolTo(nn.Module):
    """`torch.nn.AdaptiveAvgPool2d` as two matrix products, because ONNX pools to a given size for fixed sizes only."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool ``(N, C, Y, X)`` to ``(N, C, rows, columns)``."""
        if self.rows == self.columns == 1:
            return features.mean(dim=(2, 3), keepdim=True)
        height, width = features.shape[-2:]
        return _means(height, self.rows) @ features @ _means(width, self.columns).T


def _quantile(ordered: torch.Tensor, count: torch.Tensor, share: float) -> torch.Tensor:
    """Quantile of the first ``count`` of the sorted values of each row, as NumPy takes it; ``(N, 1)``."""
    # In double: the place of a value among millions has more digits than float32.
    place = (count - 1).double() * share
    below = torch.floor(place)
    part = (place - below).float()
    first = below.long().expand(ordered.shape[0], 1)
    second = torch.ceil(place).long().expand(ordered.shape[0], 1)
    low, high = ordered.gather(1, first), ordered.gather(1, second)
    return low + (high - low) * part


def _means(length: int, parts: int) -> torch.Tensor:
    """Matrix ``(parts, length)`` whose rows average the stretches that adaptive pooling averages."""
    part, place = torch.arange(parts), torch.arange(length)
    begin, end = (part * length) // parts, (part * length + length + parts - 1) // parts
    inside = (place[None, :] >= begin[:, None]) & (place[None, :] < end[:, None])
    return inside.float() / (end - begin)[:, None].float()


def _replace_adaptive_pools(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d):
            size = child.output_size
            rows, columns = size if isinstance(size, tuple) else (size, size)
            if rows is not None and columns is not None:
                setattr(module, name, AveragePoolTo(rows, columns))
        else:
            _replace_adaptive_pools(child)
