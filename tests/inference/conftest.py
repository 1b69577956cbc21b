"""A small real model, and the independent answer to what segmenting an image with it should give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_anneal.inference import Model
from napari_anneal.models import ArchitectureSpec, BundleCard, build_network
from napari_anneal.samples.normalisation import intensity_range, standardise

torch.set_num_threads(1)


def build_model(in_channels: int = 1, n_classes: int = 3, **options) -> Model:
    torch.manual_seed(7)
    spec = ArchitectureSpec(
        encoder="resnet18", encoder_depth=3, decoder_channels=(16, 8, 8), in_channels=in_channels, n_classes=n_classes
    )
    network = build_network(spec)
    # Fresh batch statistics leave the classes far apart; spread logits make labels vary from pixel to pixel.
    with torch.no_grad():
        head = network.segmentation_head[0]
        head.bias.zero_()
        head.weight.mul_(5)
    classes = tuple(f"class {k}" for k in range(1, n_classes + 1))
    return Model(network, BundleCard(architecture=spec, classes=classes), device="cpu", **options)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    return build_model


@pytest.fixture(scope="session")
def whole_image() -> Callable[..., np.ndarray]:
    return plain_forward


@pytest.fixture(scope="session")
def model() -> Model:
    return build_model()


@pytest.fixture(scope="session")
def colour_model() -> Model:
    return build_model(in_channels=3)


def plain_forward(model: Model, image: np.ndarray, limits=None) -> np.ndarray:
    """Probabilities (K, Y, X) by one plain forward pass over the reflected image: no code of the engine."""
    grey = image if image.ndim == 2 else np.moveaxis(image, -1, 0)
    limits = limits or intensity_range(image, "YX" if image.ndim == 2 else "YXC")
    unit = standardise(limits.apply(grey))
    unit = unit[np.newaxis] if unit.ndim == 2 else unit
    stride = model.card.architecture.stride
    height, width = unit.shape[1:]
    rows = _reflected(height, stride)
    columns = _reflected(width, stride)
    batch = torch.from_numpy(unit[:, rows][:, :, columns].copy())[None]
    network = model.network.eval()
    with torch.no_grad():
        return torch.softmax(network(batch), dim=1)[0, :, :height, :width].numpy()


def _reflected(length: int, stride: int) -> np.ndarray:
    """Indices 0 … n-1, n-2, …, 0, 1, … up to a multiple of the stride."""
    indices = np.arange(-(-length // stride) * stride)
    if length == 1:
        return np.zeros_like(indices)
    period = 2 * (length - 1)
    folded = indices % period
    return np.where(folded < length, folded, period - folded)
