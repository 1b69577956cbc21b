"""What segmenting an image gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Segmentation", "label_dtype", "normalised_entropy"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result of ``Model.segment``.

    Attributes
    ----------
    labels
        uint8 (uint16 for more than 255 classes) ``(Y, X)`` or ``(Z, Y, X)``: label k is ``classes[k - 1]``. 0
        appears only where a cancelled run never got to. A NumPy array; for a run with ``out`` an array that
        reads from disk.
    probabilities
        float32 ``(K, Y, X)`` or ``(K, Z, Y, X)``, or ``None`` where not asked for.
    uncertainty
        float32 0…1, shaped as ``labels``: the entropy of the probabilities over its maximum; ``None`` where
        not asked for.
    classes, colours
        Names and ``#rrggbb`` colours, in order.
    spacing
        Pixel size along the axes of ``labels``; ``None``: unknown.
    path
        File or folder with the labels (``None``: in memory only). After a cancelled run the ``.partial`` one.
    done, total
        Slices finished, and slices in all (1 for a 2D image).
    """

    labels: Any
    probabilities: npt.NDArray[np.float32] | None
    uncertainty: npt.NDArray[np.float32] | None
    classes: tuple[str, ...]
    colours: tuple[str, ...] = ()
    spacing: tuple[float, ...] | None = None
    path: Path | None = None
    done: int = 1
    total: int = 1

    @property
    def complete(self) -> bool:
        """Whether every slice was segmented (``False``: the run was cancelled)."""
        return self.done == self.total


def label_dtype(n_classes: int) -> np.dtype[Any]:
    """Smallest of uint8 and uint16 that holds labels 1…K."""
    return np.dtype(np.uint8 if n_classes <= 255 else np.uint16)


def normalised_entropy(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Entropy over classes divided by ``log K``: 0 where one class is certain, 1 where all are equally likely.

    Parameters
    ----------
    probabilities
        float32 ``(K, …)``, K ≥ 2.
    """
    positive = np.maximum(probabilities, np.finfo(np.float32).tiny)
    entropy = -(probabilities * np.log(positive)).sum(axis=0) / np.float32(np.log(len(probabilities)))
    return np.asarray(np.clip(entropy, 0, 1), dtype=np.float32)
