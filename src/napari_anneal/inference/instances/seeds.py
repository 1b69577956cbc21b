"""The user's seeds, painted or set as points, read block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.inference.blocks import Block
from napari_anneal.inference.instances.blocks import Volume, named

__all__ = ["Seeds"]


class Seeds:
    """Seeds of a volume; see `find_instances` for what ``given`` may be.

    Raises
    ------
    InputError
        Neither labels of the volume's shape nor points in it.
    """

    def __init__(self, given: Any, volume: Volume) -> None:
        self._labels: Volume | None = None
        ndim = volume.ndim
        if not hasattr(given, "shape") or not hasattr(given, "dtype"):
            given = np.asarray(given)
        shape = tuple(given.shape)
        if shape == volume.shape[3 - ndim :] and np.dtype(given.dtype).kind in "bui":
            self._labels = Volume(given, "the seeds")
            return
        if len(shape) != 2 or shape[1] != ndim or np.dtype(given.dtype).kind not in "uif" or not shape[0]:
            raise InputError(
                f"seeds are labels of shape {volume.shape[3 - ndim :]} or points (N, {ndim}), not an array of {shape}."
            )
        points = np.asarray(given, dtype=np.float64)
        if not np.isfinite(points).all():
            raise InputError("a seed lies at NaN or infinity; take it away.")
        pixels = np.zeros((len(points), 3), np.int64)
        pixels[:, 3 - ndim :] = np.floor(points + 0.5)
        outside = ((pixels < 0) | (pixels >= volume.shape)).any(axis=1)
        if outside.any():
            k = int(np.flatnonzero(outside)[0])
            place = ", ".join(f"{c:g}" for c in points[k])
            raise InputError(f"seed {k + 1} at ({place}) lies outside the image; move it, or take it away.")
        self._pixels = pixels

    def read(self, block: Block) -> npt.NDArray[np.int32]:
        """Seeds of a block, int32 ``(Z, Y, X)``."""
        if self._labels is not None:
            part = self._labels.read(block)
            if part.size and (int(part.max()) > np.iinfo(np.int32).max or (part.dtype.kind == "i" and part.min() < 0)):
                raise InputError(f"seeds must be whole numbers from 0 to 2147483647; some at {named(block)} are not.")
            return np.ascontiguousarray(part, dtype=np.int32)
        out = np.zeros(block.shape, np.int32)
        here = ((self._pixels >= block.start) & (self._pixels < block.stop)).all(axis=1)
        # Of points in one pixel the first counts.
        for k in np.flatnonzero(here)[::-1]:
            out[tuple(self._pixels[k] - block.start)] = k + 1
        return out
