"""Pictures of results: a grey image with its classes tinted, several of them side by side, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.samples.normalisation import intensity_range

__all__ = ["overlay", "side_by_side"]

GAP_PX = 6


def overlay(
    image: npt.NDArray[Any], labels: npt.NDArray[Any] | None, colours: Sequence[str], opacity: float = 0.45
) -> npt.NDArray[np.uint8]:
    """Tint a grey image ``(Y, X)`` by its labels (0 stays grey); returns RGB uint8 ``(Y, X, 3)``."""
    grey = intensity_range(image).apply(image).clip(0, 1)
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=2)
    if labels is not None:
        table = np.array([(0.0, 0.0, 0.0), *(_rgb(colour) for colour in colours)], dtype=np.float32)
        tinted = rgb * (1 - opacity) + table[labels] * opacity
        rgb = np.where((labels > 0)[..., np.newaxis], tinted, rgb)
    return np.asarray(np.round(rgb * 255), dtype=np.uint8)


def side_by_side(pictures: Sequence[npt.NDArray[np.uint8]], path: Path) -> Path:
    """Write pictures of one height in a row, with white gaps."""
    import imageio.v3 as iio

    gap = np.full((pictures[0].shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    row = [part for picture in pictures for part in (picture, gap)][:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, np.concatenate(row, axis=1))
    return path


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
