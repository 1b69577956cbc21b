"""The grid of augmented pairs as two mosaics: the work of *Augmentation preview*, without a widget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["GAP", "Mosaic", "MosaicOrder"]

# Pixels between the cells.
GAP = 6


@dataclass(frozen=True)
class Mosaic:
    """Augmented and original pairs as pictures of the same size; images ``(Y, X)`` or ``(Y, X, 3)`` in [0, 1]."""

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    image_before: npt.NDArray[np.float32]
    labels_before: npt.NDArray[np.int64]


@dataclass(frozen=True)
class MosaicOrder:
    """What to show: ``columns`` × ``columns`` draws of a recipe on one crop, from ``seed`` on.

    ``image`` is the whole image or stack (the grey limits are those of the whole), ``labels`` its paint or ``None``,
    ``z`` the slice to crop from, ``side`` the side of the crop in pixels.
    """

    image: Any
    axes: str
    labels: Any
    z: int | None
    recipe: Any
    side: int
    columns: int
    seed: int

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> Mosaic | None:
        """Draw, on the worker's thread; ``None`` where it was cancelled."""
        from napari_anneal.augmentation import Augmenter
        from napari_anneal.samples.normalisation import intensity_range

        limits = intensity_range(self.image, self.axes)
        at = slice(None) if self.z is None else self.z
        plane = limits.apply(np.asarray(self.image[at]))
        image = np.moveaxis(plane[..., :3], -1, 0) if "C" in self.axes else plane[np.newaxis]
        shape = image.shape[1:]
        labels = np.zeros(shape, np.int64) if self.labels is None else np.asarray(self.labels[at]).astype(np.int64)
        if labels.min() < 0:
            raise InputError("The labels hold negative numbers; use 0 for not painted and 1, 2, … for classes.")
        window = crop_window(labels, min(self.side, *shape))
        image, labels = np.ascontiguousarray(image[:, *window]), np.ascontiguousarray(labels[window])
        augment = Augmenter(self.recipe)
        after: list[tuple[Any, Any]] = []
        total = self.columns**2
        for number in range(total):
            if cancel.is_set():
                return None
            after.append(augment(image, labels, self.seed * total + number))
            report((number + 1, total))
        before = [(image, labels)] * total
        return Mosaic(
            tiled([np.moveaxis(i, 0, -1) for i, _ in after], self.columns),
            tiled([m for _, m in after], self.columns),
            tiled([np.moveaxis(i, 0, -1) for i, _ in before], self.columns),
            tiled([m for _, m in before], self.columns),
        )


def crop_window(labels: npt.NDArray[np.int64], side: int) -> tuple[slice, slice]:
    """The square of ``side`` with the most paint in it (the middle of the image, where nothing is painted)."""
    if labels.any():
        total = np.pad((labels != 0).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        inside = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
        y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    else:
        y, x = ((n - side) // 2 for n in labels.shape)
    return slice(int(y), int(y) + side), slice(int(x), int(x) + side)


def tiled(cells: list[npt.NDArray[Any]], columns: int) -> npt.NDArray[Any]:
    """Cells of one shape side by side, row by row, with a gap of zeros; a single channel loses its axis."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, *cells[0].shape[2:])
    out = np.zeros(shape, cells[0].dtype)
    for number, cell in enumerate(cells):
        y, x = divmod(number, columns)
        out[y * (height + GAP) :, x * (width + GAP) :][:height, :width] = cell
    if out.ndim == 3:
        return out[..., 0] if out.shape[-1] == 1 else np.clip(out, 0, 1)
    return out
