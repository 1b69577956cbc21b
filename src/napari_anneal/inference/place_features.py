"""What a place looks like to the network: mean features of its encoder, to tell the new from the known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.devices import computing
from napari_anneal.inference.members import MeanOfLooks
from napari_anneal.inference.model import Model
from napari_anneal.inference.receptive_field import evaluating
from napari_anneal.inference.tiles import pad_to_stride

__all__ = ["PlaceFeatures", "even_scale"]

# Large places are encoded in pieces, so that memory stays that of one piece.
PIECE = 512
# Grey levels at these percentiles describe a place where a network has no encoder of its own.
PERCENTILES = (5, 25, 50, 75, 95)


class PlaceFeatures:
    """Describes pieces of planes by numbers."""

    def __init__(self, model: Model) -> None:
        network: nn.Module = model.network
        while isinstance(network, MeanOfLooks):
            inner: Any = network.networks[0]
            network = inner
        encoder = getattr(network, "encoder", None)
        self._encoder: nn.Module | None = encoder if isinstance(encoder, nn.Module) else None
        self._stride, self._device = model.card.architecture.stride, model.predictor.device
        self._dtype = model.predictor.dtype

    def __call__(self, plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Features ``(F,)`` of a standardised plane ``(C, Y, X)``: means over it of the encoder's last maps.

        Of a network without an encoder: percentiles of grey and of its gradient.
        """
        if self._encoder is None:
            return _statistics(plane)
        total, area = 0.0, 0
        height, width = plane.shape[1:]
        with evaluating(self._encoder.to(self._device)), computing(self._device, self._dtype):
            for y in range(0, height, PIECE):
                for x in range(0, width, PIECE):
                    piece = plane[:, y : y + PIECE, x : x + PIECE]
                    size = piece.shape[1] * piece.shape[2]
                    given = torch.from_numpy(np.ascontiguousarray(pad_to_stride(piece, self._stride))[np.newaxis])
                    maps = self._encoder(given.to(self._device))
                    deepest = maps[-1] if isinstance(maps, list | tuple) else maps
                    mean = deepest[0].float().flatten(1).mean(dim=1).cpu().numpy().astype(np.float64)
                    total, area = total + size * mean, area + size
        return np.asarray(total / area, dtype=np.float64)


def even_scale(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Features ``(N, F)`` scaled so that two places taken at random lie 1 apart (root of the mean square).

    Every feature counts by how it varies over the places; one that is the same everywhere does not count.
    """
    spread = features.std(axis=0)
    varying = spread > 1e-9 * np.maximum(1, np.abs(features).max(axis=0, initial=0))
    scaled = (features[:, varying] - features[:, varying].mean(axis=0)) / spread[varying]
    # The mean of a squared difference is twice the variance.
    return np.asarray(scaled / np.sqrt(2 * max(1, int(varying.sum()))), dtype=np.float64)


def _statistics(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    grey = plane.mean(axis=0, dtype=np.float64)
    steepness = np.hypot(*(np.gradient(grey, axis=a) if grey.shape[a] > 1 else np.zeros_like(grey) for a in (0, 1)))
    return np.concatenate([np.percentile(grey, PERCENTILES), np.percentile(steepness, PERCENTILES)])
