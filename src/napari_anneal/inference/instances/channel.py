"""One class of probabilities ``(K, …)``, which may lie on the disk: read as it is indexed."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Channel"]


class Channel:
    """Class ``k`` of an array-like of probabilities whose first axis is the class."""

    def __init__(self, probabilities: Any, k: int) -> None:
        self._probabilities, self._k = probabilities, k
        self.shape = tuple(int(n) for n in probabilities.shape[1:])
        self.dtype = np.dtype(probabilities.dtype)
        chunks = getattr(probabilities, "chunks", None)
        self.chunks = None if chunks is None else tuple(chunks[1:])

    def __getitem__(self, place: tuple[slice, ...]) -> Any:
        """A part of the class."""
        return self._probabilities[(self._k, *place)]
