"""A small image that a net learns in seconds, and sparse paint on it."""

from __future__ import annotations

import numpy as np


def stripes(shape: tuple[int, ...] = (96, 96), seed: int = 0) -> np.ndarray:
    """Bright and dark stripes with noise: what a net can learn in seconds, uint8."""
    x = np.arange(shape[-1])
    clean = np.where((x // 12) % 2 == 0, 180, 70)
    noise = np.random.default_rng(seed).normal(0, 10, shape)
    return np.clip(np.broadcast_to(clean, shape) + noise, 0, 255).astype(np.uint8)


def strokes(shape: tuple[int, ...] = (96, 96)) -> np.ndarray:
    """Two horizontal strokes (on two slices of a stack): 1 where bright, 2 where dark."""
    labels = np.zeros(shape, np.uint8)
    x = np.arange(shape[-1])
    row = np.where((x // 12) % 2 == 0, 1, 2)
    rows = (20, 70) if len(shape) == 2 else ((1, 20), (3, 70))
    for at in rows:
        labels[at] = row
    return labels
