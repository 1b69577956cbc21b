"""Which normalisation layers see the statistics of the batch, and which keep their own: decided before every step.

A layer whose weights are frozen keeps its statistics always. Of the others the recipe's policy decides; and a layer
that would see a single value of each channel (one patch, shrunk to 1 × 1) keeps them too: one value has no variance.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_anneal.models.layer_groups import keep_frozen_statistics

__all__ = ["FEW_PATCHES", "BatchNormPolicy", "BatchStatistics"]

BatchNormPolicy = Literal["auto", "train", "frozen"]
# Statistics of fewer patches than this scatter, and those of pretrained weights are better kept (Wu and He 2018, figure
# 1: the error of batch normalisation grows below 8 images at a time).
FEW_PATCHES = 8
# Where the layers lie that came with statistics worth keeping, by the kind of start.
_PRETRAINED = {"imagenet": "encoder.", "weights file": "encoder.", "model": ""}


class BatchStatistics:
    """The normalisation layers of a network in training.

    Parameters
    ----------
    network
        Whose layers are put into train or eval mode.
    policy
        ``"train"``: statistics of what passes at once. ``"frozen"``: every layer keeps its own. ``"auto"``: layers that
        came pretrained keep theirs where fewer than 8 patches pass at once.
    start
        Kind of the start, as its origin tells: ``"scratch"``, ``"imagenet"``, ``"weights file"`` or ``"model"``.
    """

    def __init__(self, network: nn.Module, policy: BatchNormPolicy = "train", start: str = "scratch") -> None:
        self.network, self.policy = network, policy
        layers = {
            name: module
            for name, module in network.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
        }
        prefix = _PRETRAINED.get(start)
        self._layers = list(layers.values())
        self._pretrained = [m for name, m in layers.items() if prefix is not None and name.startswith(prefix)]
        self._areas: dict[nn.Module, int] = {}

    def wake(self, images: Tensor, at_once: int) -> None:
        """Put the network into train mode, and into eval mode what keeps its statistics.

        Parameters
        ----------
        images
            A batch ``(N, C, Y, X)``.
        at_once
            How many of them pass through the network at once; the last piece may hold fewer.
        """
        self.network.train()
        keep_frozen_statistics(self.network)  # train() has just woken them
        for layer in self._kept(at_once):
            layer.eval()
        if at_once == 1 or len(images) % at_once == 1:
            self._spare_single_values(images)

    def sentence(self, at_once: int) -> str:
        """What the policy does with so many patches at once, where that is not what it does with a large batch."""
        kept = self._kept(at_once)
        if not kept or self.policy == "frozen":
            return ""
        return (
            f"Only {at_once} patch{'es pass' if at_once > 1 else ' passes'} through the network at once, too few for "
            f"statistics, so the {len(kept)} normalisation layers that came pretrained keep their own."
        )

    def _kept(self, at_once: int) -> list[nn.Module]:
        if self.policy == "frozen":
            return list(self._layers)
        return list(self._pretrained) if self.policy == "auto" and at_once < FEW_PATCHES else []

    def _spare_single_values(self, images: Tensor) -> None:
        if not self._areas:
            self._measure(images[:1])
        for layer, area in self._areas.items():
            if area == 1:
                layer.eval()

    def _measure(self, image: Tensor) -> None:
        """Number of pixels that every layer sees of one image."""

        def note(layer: nn.Module, given: tuple[Any, ...]) -> None:
            self._areas[layer] = given[0].shape[2:].numel()

        modes = [(module, module.training) for module in self.network.modules()]
        hooks = [layer.register_forward_pre_hook(note) for layer in self._layers]
        try:
            self.network.eval()
            with torch.inference_mode():
                self.network(image)
        finally:
            for hook in hooks:
                hook.remove()
            for module, mode in modes:
                module.training = mode
