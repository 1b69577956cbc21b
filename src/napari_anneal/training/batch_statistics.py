"""Which normalisation layers see the statistics of the batch, and which keep their own: decided before every step.

A layer whose weights are frozen keeps its statistics always. Of the others the recipe's policy decides; and a layer
that would see a single value of each channel (one patch, shrunk to 1 × 1) keeps them too: one value has no variance.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_anneal.models.layer_groups import keep_frozen_statistics

__all__ = ["FEW_VALUES", "BatchNormPolicy", "BatchStatistics"]

BatchNormPolicy = Literal["auto", "train", "frozen"]
# A variance over n values is known to a share of √(2 / (n - 1)), a quarter here. Not the patches count but the pixels
# of a layer's map over all of them, and maps are large in segmentation: on the shipped superalloy images (192 px, from
# the shipped model, one seed) keeping all pretrained statistics made the validation loss higher even for single patches
# (0.166 against 0.128) and for batches of four (0.093 against 0.074).
FEW_VALUES = 32
# Where the layers lie that came with statistics worth keeping, by the kind of start.
_PRETRAINED = {"imagenet": "encoder.", "weights file": "encoder.", "model": ""}


class BatchStatistics:
    """The normalisation layers of a network in training.

    Parameters
    ----------
    network
        Whose layers are put into train or eval mode.
    policy
        ``"train"``: statistics of what passes at once. ``"frozen"``: every layer keeps its own. ``"auto"``: a layer
        that came pretrained keeps its own where fewer than 32 values of each channel pass at once.
    start
        Kind of the start, as its origin tells: ``"scratch"``, ``"imagenet"``, ``"weights file"`` or ``"model"``.
    world
        Processes that share their statistics.
    """

    def __init__(
        self, network: nn.Module, policy: BatchNormPolicy = "train", start: str = "scratch", world: int = 1
    ) -> None:
        self.network, self.policy, self.world = network, policy, world
        layers = {
            name: module
            for name, module in network.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
        }
        prefix = _PRETRAINED.get(start)
        self._layers = list(layers.values())
        self._pretrained = {m for name, m in layers.items() if prefix is not None and name.startswith(prefix)}
        self._areas: dict[nn.Module, int] = {}

    def wake(self, images: Tensor, at_once: int) -> str:
        """Put the network into train mode, and into eval mode what keeps its statistics.

        Parameters
        ----------
        images
            A batch ``(N, C, Y, X)``.
        at_once
            How many of them pass through the network at once; the last piece may hold fewer.

        Returns
        -------
        str
            What the user should know: that pretrained layers which learn keep their statistics; else empty.
        """
        self.network.train()
        keep_frozen_statistics(self.network)  # train() has just woken them
        if self.policy == "frozen":
            for layer in self._layers:
                layer.eval()
            return ""
        patches, least = at_once * self.world, (len(images) % at_once or at_once) * self.world
        awake = [layer for layer in self._layers if layer.training]
        if awake and least < FEW_VALUES and not self._areas:
            self._measure(images[:1])
        few = set()
        for layer in awake:
            area = self._areas.get(layer, FEW_VALUES)
            if self.policy == "auto" and layer in self._pretrained and patches * area < FEW_VALUES:
                few.add(layer)
            if layer in few or least * area == 1:
                layer.eval()
        if not few:
            return ""
        return (
            f"With {patches} patch{'es' if patches > 1 else ''} at once, {len(few)} normalisation layers that came "
            f"pretrained would see fewer than {FEW_VALUES} values of each channel, so they keep their own statistics."
        )

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
