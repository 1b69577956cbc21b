"""What every format needs to know of a model: its card, its digests, and an image to try it on."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.errors import InputError
from napari_anneal.models import BundleCard
from napari_anneal.models.architecture import empty_network
from napari_anneal.models.bundle import bundle_hash, example_input, read_example
from napari_anneal.models.lineage import weights_digest
from napari_anneal.samples.normalisation import (
    CLIP,
    HIGH_PERCENTILE,
    IMAGENET_GREY_MEAN,
    IMAGENET_GREY_STD,
    LOW_PERCENTILE,
)

__all__ = ["NORMALISATION_IN_WORDS", "Exportable"]

NORMALISATION_IN_WORDS = (
    f"unit = clip((grey - p{LOW_PERCENTILE:g}) / (p{HIGH_PERCENTILE:g} - p{LOW_PERCENTILE:g}), {CLIP[0]:g}, "
    f"{CLIP[1]:g}) with the percentiles p of the whole image or volume over all channels (never of a tile); "
    f"input = (unit - {IMAGENET_GREY_MEAN}) / {IMAGENET_GREY_STD}"
)


@dataclass(frozen=True)
class Exportable:
    """A model on its way out; ``bundle`` is where it was loaded from, if it was."""

    network: nn.Module
    card: BundleCard
    bundle: Path | None = None

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights in full precision as safetensors."""
        return weights_digest(self.network)

    @cached_property
    def bundle_sha256(self) -> str | None:
        """SHA-256 that identifies the bundle, as *open gold* writes it in its ledger; ``None`` without a bundle."""
        return None if self.bundle is None else bundle_hash(self.bundle)

    @property
    def channels(self) -> list[str]:
        """What the input channels hold, in order."""
        context = self.card.context
        count = self.card.architecture.in_channels // context
        colours = {1: ["grey"], 3: ["red", "green", "blue"]}.get(count, [f"channel {k}" for k in range(count)])
        if context == 1:
            return colours
        return [f"slice {z:+d} {colour}" for z in range(-(context // 2), context // 2 + 1) for colour in colours]

    def check(self) -> None:
        """Refuse what is not one network.

        Raises
        ------
        InputError
            A mean over several networks, or over flips and turns.
        """
        expected = empty_network(self.card.architecture).state_dict()
        if set(self.network.state_dict()) != set(expected):
            raise InputError(
                "a mean of several models, or over flips and turns, is not one network; export its members one by one."
            )

    @cached_property
    def smallest(self) -> int:
        """Smallest side (px), a power of two times the stride, of a square image that the network can compute.

        Some pool until nothing is left of smaller ones, which no runtime says as plainly.
        """
        spec, network = self.card.architecture, self.copy()
        side = spec.stride
        while True:
            try:
                with torch.inference_mode():
                    network(torch.zeros(1, spec.in_channels, side, side))
            except RuntimeError:
                if side > 32 * spec.stride:
                    raise
                side *= 2
            else:
                return side

    def copy(self) -> nn.Module:
        """The network again, in eval mode, float32, on the CPU; the model's own stays as it is."""
        return copy.deepcopy(self.network).float().cpu().eval().requires_grad_(False)

    @cached_property
    def _example(self) -> npt.NDArray[np.float32]:
        if self.bundle is None:
            return example_input(self.card.architecture.in_channels)
        return read_example(self.bundle)

    def probabilities(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities float32 ``(K, Y, X)`` of grey values ``(C, Y, X)``, by the code that segments here."""
        from napari_anneal.inference.model import Model

        model, context = Model(self.copy(), self.card, device="cpu"), self.card.context
        slices = image.reshape(context, -1, *image.shape[1:])
        volume = slices[:, 0] if slices.shape[1] == 1 else np.moveaxis(slices, 1, -1)
        axes = "ZYXC"[: volume.ndim]
        if context == 1:
            found = model.segment(volume[0], axes=axes[1:], tile=None, probabilities=True)
            return np.asarray(found.probabilities)
        found = model.segment(volume, axes=axes, tile=None, mode="context", probabilities=True)
        return np.asarray(found.probabilities[:, context // 2])

    def sample(self, smallest: int) -> npt.NDArray[np.float32]:
        """Standardised float32 ``(1, C, Y, X)``: the sample of the bundle, reflected up to ``smallest`` px a side.

        Without a bundle: reproducible noise.
        """
        more = [(0, 0), (0, 0), *((0, -n % smallest) for n in self._example.shape[2:])]
        return np.pad(self._example, more, mode="symmetric")

    def raw_sample(self, smallest: int) -> npt.NDArray[np.uint8]:
        """The same as grey values, uint8 ``(C, Y, X)``: what a microscope could have given."""
        unit = self.sample(smallest)[0] * IMAGENET_GREY_STD + IMAGENET_GREY_MEAN
        low, high = CLIP
        grey = np.round((np.clip(unit, low, high) - low) / (high - low) * 255)
        return np.asarray(grey, dtype=np.uint8)
