"""Pyramids in OME-Zarr 0.5 (Zarr v3), written plane by plane, slab by slab or block by block.

Each level takes every second voxel of the one before, so labels stay labels and a level's voxels sit where
their originals do: no translation is needed. Specification: https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["OmeZarrPyramid"]

# An axis is halved as long as it is longer than this; below, another level would save nothing.
SMALL = 256
# A plane of more chunks than this is stored as one shard: a stack would else be a hundred thousand files.
MOST_FILES = 4


class OmeZarrPyramid:
    """An image or a label map; metadata comes first, voxels as they are written.

    Parameters
    ----------
    path
        The group to create; it must not exist.
    shape, dtype
        Of the finest level: ``(Y, X)`` or ``(Z, Y, X)``, channels in front of these where ``axes`` says so.
    chunks
        Of the finest level, at most as large as the shape. Along Z a coarser level has chunks as much thinner as the
        level is, so that a slab of whole chunks is one at every level.
    block
        What is written at once along Y and X, where that is not all of them: coarser levels have chunks no larger, so
        that no chunk belongs to two blocks. ``None``: whole planes are written.
    fresh
        ``False``: the group is there, with the levels of this very shape; it is opened and written on.
    spacing, unit
        Voxel size along the axes and the name of its unit as OME has it (``"micrometer"``); ``None``: not known.
    about
        Further OME metadata, beside ``multiscales``.
    axes
        Names of the axes; ``None``: ``"yx"`` or ``"zyx"``. Channels, ``"c"``, are at most 255.
    translation
        Place of the first voxel along the axes, in ``unit``; ``None``: the origin.
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
        block: tuple[int, int] | None = None,
        fresh: bool = True,
        axes: str | None = None,
        translation: tuple[float, ...] | None = None,
    ) -> None:
        import zarr

        names = list(axes or "zyx"[-len(shape) :])
        self._factors = _factors(shape)
        if not fresh:
            self._levels = [zarr.open_array(path / str(level), mode="r+") for level in range(len(self._factors))]
            return
        group = zarr.open_group(path, mode="w-", zarr_format=3)
        self._levels = [
            group.create_array(
                str(level),
                shape=tuple(-(-n // f) for n, f in zip(shape, factors, strict=True)),
                chunks=_chunks(shape, chunks, factors, block),
                shards=_shards(shape, chunks, factors) if block is None else None,
                dtype=np.dtype(dtype),
                fill_value=0,
                dimension_names=names,
            )
            for level, factors in enumerate(self._factors)
        ]
        scales = [
            [s * f for s, f in zip(spacing or (1.0,) * len(shape), factors, strict=True)] for factors in self._factors
        ]
        moved = [{"type": "translation", "translation": list(translation)}] if translation and any(translation) else []
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [
                {
                    "name": path.name.split(".")[0],
                    "axes": [_axis(name, unit) for name in names],
                    "datasets": [
                        {
                            "path": str(level),
                            "coordinateTransformations": [{"type": "scale", "scale": scale}, *moved],
                        }
                        for level, scale in enumerate(scales)
                    ],
                    "type": "striding",
                }
            ],
            **(about or {}),
        }

    def write(self, first: int, part: npt.NDArray[Any], corner: tuple[int, ...] = ()) -> None:
        """Write what begins at index ``first`` of the first axis into every level.

        ``corner`` is where it begins along the other axes; without it the part covers the whole of them.
        """
        for array, where, thinned in self._pieces((first, *(corner or (0,) * (part.ndim - 1))), part):
            array[where] = thinned

    def repair(self, start: tuple[int, ...], part: npt.NDArray[Any]) -> None:
        """Write a part into the coarser levels where they do not hold it."""
        for array, where, thinned in self._pieces(start, part):
            held = None if array is self._levels[0] else _read(array, where)
            if array is not self._levels[0] and (held is None or not np.array_equal(held, thinned)):
                array[where] = thinned

    def read(self, where: tuple[slice, ...]) -> npt.NDArray[Any]:
        """A part of the finest level, as it is in the store."""
        return np.asarray(self._levels[0][where])

    def _pieces(
        self, start: tuple[int, ...], part: npt.NDArray[Any]
    ) -> Iterator[tuple[Any, tuple[slice, ...], npt.NDArray[Any]]]:
        """What of a part goes into each level, and where."""
        for array, factors in zip(self._levels, self._factors, strict=True):
            begin = [-(-a // f) for a, f in zip(start, factors, strict=True)]
            thinned = part[tuple(slice(b * f - a, None, f) for a, b, f in zip(start, begin, factors, strict=True))]
            if thinned.size:
                where = tuple(slice(b, b + n) for b, n in zip(begin, thinned.shape, strict=True))
                yield array, where, thinned


def _axis(name: str, unit: str | None) -> dict[str, str]:
    """What the metadata says of an axis."""
    if name == "c":
        return {"name": name, "type": "channel"}
    return {"name": name, "type": "space", **({"unit": unit} if unit else {})}


def _read(array: Any, where: tuple[slice, ...]) -> npt.NDArray[Any] | None:
    try:
        return np.asarray(array[where])
    except (OSError, ValueError, RuntimeError):  # a chunk that cannot be decoded
        return None


def _factors(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Factor of every axis at every level; a flat stack keeps its slices while its planes are halved."""
    factors = [(1,) * len(shape)]
    while any(n > SMALL * f for n, f in zip(shape, factors[-1], strict=True)):
        factors.append(tuple(2 * f if n > SMALL * f else f for n, f in zip(shape, factors[-1], strict=True)))
    return factors


def _chunks(
    shape: tuple[int, ...], chunks: tuple[int, ...], factors: tuple[int, ...], block: tuple[int, int] | None = None
) -> tuple[int, ...]:
    size = [min(c, -(-n // f)) for n, c, f in zip(shape, chunks, factors, strict=True)]
    if len(shape) == 3:
        size[0] = max(1, min(size[0], chunks[0] // factors[0]))
    if block is not None:
        size[-2:] = [max(1, min(s, b // f)) for s, b, f in zip(size[-2:], block, factors[-2:], strict=True)]
    return tuple(size)


def _shards(shape: tuple[int, ...], chunks: tuple[int, ...], factors: tuple[int, ...]) -> tuple[int, ...] | None:
    """One file for all chunks of a plane (or slab) where these would be many; ``None``: a file a chunk."""
    size = _chunks(shape, chunks, factors)
    counts = [-(-n // (f * c)) for n, f, c in zip(shape, factors, size, strict=True)]
    if math.prod(counts[-2:]) <= MOST_FILES:
        return None
    return (*size[:-2], *(n * c for n, c in zip(counts[-2:], size[-2:], strict=True)))
