"""Labels as OME-Zarr 0.5 (Zarr v3): a pyramid, written plane by plane, with class names, colours and pixel size.

Each level takes every second voxel of the one before, so labels stay labels and a level's voxels sit where
their originals do: no translation is needed. Specification: https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
import zarr

from napari_anneal.inference.output import LabelVolume
from napari_anneal.inference.units import LONG_NAMES

__all__ = ["OmeZarrWriter"]

# A chunk is a tile of one plane: a finished plane is on disk, and a viewer reads no more than it shows.
CHUNK_SIDE = 1024
# An axis is halved as long as it is longer than this; below, another level would save nothing.
SMALL = 256


class OmeZarrWriter:
    """Writes one label volume; metadata comes first, so that a partial result opens in any viewer."""

    def __init__(self, path: Path, volume: LabelVolume) -> None:
        self._volume = volume
        self._factors = _factors(volume.shape)
        group = zarr.open_group(path, mode="w-", zarr_format=3)
        self._levels = [
            group.create_array(
                str(level),
                shape=tuple(-(-n // f) for n, f in zip(volume.shape, factors, strict=True)),
                chunks=_chunks(volume.shape, factors),
                dtype=volume.dtype,
                fill_value=0,
                dimension_names=_axes(volume),
            )
            for level, factors in enumerate(self._factors)
        ]
        group.attrs["ome"] = self._metadata(path)

    def write(self, z: int, labels: npt.NDArray[Any]) -> None:
        """Write plane ``z`` into every level that has it."""
        for array, factors in zip(self._levels, self._factors, strict=True):
            thinned = labels[:: factors[-2], :: factors[-1]]
            if len(factors) == 2:
                array[...] = thinned
            elif z % factors[0] == 0:
                array[z // factors[0]] = thinned

    def close(self) -> None:
        """Nothing is left to write: every plane is on disk when ``write`` returns."""

    def _metadata(self, path: Path) -> dict[str, Any]:
        volume = self._volume
        spacing = volume.spacing or (1.0,) * len(volume.shape)
        unit = {"unit": LONG_NAMES[volume.unit]} if volume.unit else {}
        colours = zip(range(1, len(volume.classes) + 1), volume.colours, strict=False)
        return {
            "version": "0.5",
            "multiscales": [
                {
                    "name": path.name.split(".")[0],
                    "axes": [{"name": axis, "type": "space", **unit} for axis in _axes(volume)],
                    "datasets": [
                        {
                            "path": str(level),
                            "coordinateTransformations": [
                                {
                                    "type": "scale",
                                    "scale": [s * f for s, f in zip(spacing, factors, strict=True)],
                                }
                            ],
                        }
                        for level, factors in enumerate(self._factors)
                    ],
                    "type": "striding",
                }
            ],
            "image-label": {
                "version": "0.5",
                "colors": [{"label-value": k, "rgba": _rgba(colour)} for k, colour in colours],
                "properties": [{"label-value": k, "class": name} for k, name in enumerate(volume.classes, start=1)],
            },
        }


def _axes(volume: LabelVolume) -> list[str]:
    return ["z", "y", "x"][-len(volume.shape) :]


def _factors(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Factor of every axis at every level; a flat stack keeps its slices while its planes are halved."""
    factors = [(1,) * len(shape)]
    while any(n > SMALL * f for n, f in zip(shape, factors[-1], strict=True)):
        factors.append(tuple(2 * f if n > SMALL * f else f for n, f in zip(shape, factors[-1], strict=True)))
    return factors


def _chunks(shape: tuple[int, ...], factors: tuple[int, ...]) -> tuple[int, ...]:
    sides = tuple(min(CHUNK_SIDE, -(-n // f)) for n, f in zip(shape[-2:], factors[-2:], strict=True))
    return sides if len(shape) == 2 else (1, *sides)


def _rgba(colour: str) -> list[int]:
    return [*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), 255]
