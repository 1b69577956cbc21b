"""The smallest run there is: images with a dark and a bright half, all painted, and settings to match."""

from __future__ import annotations

import numpy as np

from napari_anneal.samples.sample import Sample

SMALL = {
    "encoder": "resnet10t",
    "encoder_depth": 3,
    "decoder_channels": (8, 8, 8),
    "patch": 32,
    "batch_size": 2,
    "steps_per_epoch": 3,
    "validation_patches": 2,
    "device": "cpu",
}


def specimen(seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 10, (64, 64))
    truth = np.where(np.arange(64)[:, None] + np.zeros(64) > 32, 2, 1)
    image[truth == 2] += 40
    return Sample(image.clip(0, 255).astype(np.uint8), truth.astype(np.uint8), group=f"g{seed}", name=f"s{seed}")
