"""A small image that a net learns in seconds, sparse paint on it, and the smallest run that is a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.widgets._session_models import session_models


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


def add_pair(viewer: Any, shape: tuple[int, ...] = (96, 96), name: str = "fibres", seed: int = 0, **at: Any) -> Any:
    """Add an image and its labels, ``at`` a scale and a place."""
    image = viewer.add_image(stripes(shape, seed), name=name, **at)
    labels = viewer.add_labels(strokes(shape), name=f"{name} labels", **at)
    return image, labels


def quick(form: Any, folder: Path, start: Any, epochs: int = 3) -> Any:
    """Set *Fine-tune* to the smallest run: a tiny start, small patches, few steps."""
    session_models().add("tiny", start)
    form.folder.setText(str(folder / "runs"))
    form.start.combo.setCurrentIndex(form.start.index_of(("session", "tiny")))
    form.preset.setCurrentText("full")
    form.epochs.setValue(epochs)
    form.recipe.set_values(
        {"patch": 64, "batch_size": 2, "steps_per_epoch": 4, "device": "cpu", "precision": "float32"}
    )
    return form
