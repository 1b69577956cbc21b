"""Pyramids in OME-Zarr 0.5 (Zarr v3), written plane by plane or slab by slab.

Each level takes every second voxel of the one before, so labels stay labels and a level's voxels sit where
their originals do: no translation is needed. Specification: https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

__all__ = ["OmeZarrPyramid"]

# An axis is halved as long as it is longer than this; below, another level would save nothing.
SMALL = 256


class OmeZarrPyramid:
    """An image or a label map, ``(Y, X)`` or ``(Z, Y, X)``; metadata comes first, voxels as they are written.

    Parameters
    ----------
    path
        The group to create; it must not exist.
    shape, dtype
        Of the finest level.
    chunks
        Of the finest level, at most as large as the shape. Along Z a coarser level has chunks as much thinner as the
        level is, so that a slab of whole chunks is one at every level.
    spacing, unit
        Voxel size along the axes and the name of its unit as OME has it (``"micrometer"``); ``None``: not known.
    about
        Further OME metadata, beside ``multiscales``.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        chunks: tuple[int, ...],
        spacing: tuple[float, ...] | None = None,
        unit: str | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        axes = ["z", "y", "x"][-len(shape) :]
        self._factors = _factors(shape)
        group = zarr.open_group(path, mode="w-", zarr_format=3)
        self._levels = [
            group.create_array(
                str(level),
                shape=tuple(-(-n // f) for n, f in zip(shape, factors, strict=True)),
                chunks=_chunks(shape, chunks, factors),
                dtype=np.dtype(dtype),
                fill_value=0,
                dimension_names=axes,
            )
            for level, factors in enumerate(self._factors)
        ]
        scales = [
            [s * f for s, f in zip(spacing or (1.0,) * len(shape), factors, strict=True)] for factors in self._factors
        ]
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [
                {
                    "name": path.name.split(".")[0],
                    "axes": [{"name": axis, "type": "space", **({"unit": unit} if unit else {})} for axis in axes],
                    "datasets": [
                        {
                            "path": str(level),
                            "coordinateTransformations": [{"type": "scale", "scale": scale}],
                        }
                        for level, scale in enumerate(scales)
                    ],
                    "type": "striding",
                }
            ],
            **(about or {}),
        }

    def write(self, first: int, part: npt.NDArray[Any]) -> None:
        """Write what begins at index ``first`` of the first axis, over the whole of the others, into every level."""
        for array, factors in zip(self._levels, self._factors, strict=True):
            begin = -(-first // factors[0])
            thinned = part[(begin * factors[0] - first) :: factors[0]]
            if len(thinned):
                rest = (slice(None, None, f) for f in factors[1:])
                array[begin : begin + len(thinned)] = thinned[(slice(None), *rest)]


def _factors(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Factor of every axis at every level; a flat stack keeps its slices while its planes are halved."""
    factors = [(1,) * len(shape)]
    while any(n > SMALL * f for n, f in zip(shape, factors[-1], strict=True)):
        factors.append(tuple(2 * f if n > SMALL * f else f for n, f in zip(shape, factors[-1], strict=True)))
    return factors


def _chunks(shape: tuple[int, ...], chunks: tuple[int, ...], factors: tuple[int, ...]) -> tuple[int, ...]:
    size = tuple(min(c, -(-n // f)) for n, c, f in zip(shape, chunks, factors, strict=True))
    return size if len(shape) == 2 else (max(1, min(size[0], chunks[0] // factors[0])), *size[1:])
