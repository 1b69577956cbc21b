"""Networks: a timm encoder under a segmentation decoder, described by a small spec that a bundle can carry."""

from __future__ import annotations

import re
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import nn

from napari_anneal.errors import InputError

__all__ = ["ArchitectureSpec", "build_network", "encoder_exists"]

Decoder = Literal[
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pan", "pspnet", "deeplabv3", "deeplabv3plus", "upernet",
    "segformer", "dpt",
]  # fmt: skip
# The decoders whose width is a tuple, one entry an upsampling step; the others have a single width of their own.
_STEPWISE = ("unet", "unetplusplus", "manet")
_UNET_CHANNELS = (256, 128, 64, 32, 16)


class ArchitectureSpec(BaseModel):
    """What is needed to build a network again: decoder, encoder, widths, channels in and classes out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decoder: Decoder = Field("unet", description="Decoder of segmentation-models-pytorch.")
    encoder: str = Field("resnet34", description="Encoder (backbone), a timm model name.", max_length=80)
    encoder_depth: int = Field(5, ge=3, le=5, description="Number of encoder stages; each halves the image.")
    decoder_channels: tuple[int, ...] = Field(
        (),
        description="Channels after each upsampling step (U-Net family); empty: 256, 128, … of that depth.",
    )
    in_channels: int = Field(1, ge=1, le=64, description="Image channels: 1 grey, 3 colour.")
    n_classes: int = Field(2, ge=2, le=255, description="Number of classes.")

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, name: str) -> str:
        # A bundle is untrusted: a name such as "hf-hub:somebody/repo" would make timm fetch and build foreign things.
        if not encoder_exists(name):
            raise ValueError(f"encoder {name!r} is not a timm model; try resnet18, resnet34 or convnext_tiny")
        return name

    @model_validator(mode="after")
    def _widths_fit_the_depth(self) -> ArchitectureSpec:
        widths = self.decoder_channels
        if self.decoder in _STEPWISE:
            if not widths:
                object.__setattr__(self, "decoder_channels", _UNET_CHANNELS[-self.encoder_depth :])
            elif len(widths) != self.encoder_depth or not all(0 < w <= 4096 for w in widths):
                raise ValueError(
                    f"decoder_channels {widths} must be {self.encoder_depth} positive widths, one an encoder stage"
                )
        return self

    @model_validator(mode="after")
    def _patches_fit_the_decoder(self) -> ArchitectureSpec:
        side = _patch_side(self.encoder)
        if self.decoder == "dpt" and side != 16:
            raise ValueError(
                f"the dpt decoder joins patches of 16 px and {self.encoder} has {side} px; try vit_base_patch16_224"
            )
        return self

    @property
    def stride(self) -> int:
        """Images must be a multiple of this many pixels along Y and X."""
        # The decoder halves the grid of a transformer's patches once more.
        return 2 * _patch_side(self.encoder) if self.decoder == "dpt" else int(2**self.encoder_depth)


def _patch_side(encoder: str) -> int:
    """Side (px) of the patches that a vision transformer cuts images into, which its name gives."""
    patch = re.search(r"patch(\d+)", encoder)
    return int(patch[1]) if patch else 16


def encoder_exists(name: str) -> bool:
    """Whether timm knows a model of this name (an optional ``.tag`` of pretrained weights is allowed)."""
    import timm

    bare, _, tag = name.partition(".")
    return bare.replace("_", "").isalnum() and tag.replace("_", "").isalnum() | (tag == "") and timm.is_model(bare)


def build_network(spec: ArchitectureSpec) -> nn.Module:
    """Build a network with fresh weights.

    Returns
    -------
    torch.nn.Module
        Maps standardised float32 ``(N, C, Y, X)`` to logits ``(N, K, Y, X)``; Y and X multiples of ``spec.stride``.

    Raises
    ------
    InputError
        This encoder does not fit this decoder or depth.
    """
    import segmentation_models_pytorch as smp

    try:
        network = smp.create_model(**constructor_arguments(spec))
    except Exception as error:  # smp and timm raise anything from KeyError to AssertionError here
        raise InputError(
            f"a {spec.decoder} decoder on encoder {spec.encoder!r} with {spec.encoder_depth} stages cannot be built "
            f"({error}); try decoder 'unet' with resnet34, or 'dpt' with a vision transformer."
        ) from error
    assert isinstance(network, nn.Module)
    return network


def constructor_arguments(spec: ArchitectureSpec) -> dict[str, Any]:
    """Keyword arguments of ``segmentation_models_pytorch.create_model`` that build the network of a spec."""
    options: dict[str, Any] = {"encoder_depth": spec.encoder_depth}
    if spec.decoder in _STEPWISE:
        options["decoder_channels"] = spec.decoder_channels
    if spec.decoder == "pspnet":
        options["upsampling"] = 2**spec.encoder_depth
    if spec.decoder == "dpt":
        # Four feature maps are all this decoder takes, and tiles come in other sizes than the weights were made at.
        options |= {"encoder_depth": 4, "dynamic_img_size": True}
    return {
        "arch": spec.decoder,
        "encoder_name": f"tu-{spec.encoder}",
        "encoder_weights": None,
        "in_channels": spec.in_channels,
        "classes": spec.n_classes,
        **options,
    }


def empty_network(spec: ArchitectureSpec) -> nn.Module:
    """Build the network without memory for its weights: names, shapes and dtypes only (for checking a file)."""
    with torch.device("meta"):
        return build_network(spec)
