"""Labels as OME-Zarr 0.5: a pyramid, written plane by plane, with class names, colours and pixel size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_anneal.inference.blocks import Block
from napari_anneal.inference.output import LabelVolume
from napari_anneal.inference.units import LONG_NAMES
from napari_anneal.samples.ome_zarr import OmeZarrPyramid

__all__ = ["OmeZarrWriter"]

# A chunk is a tile of one plane: a finished plane is on disk, and a viewer reads no more than it shows.
CHUNK_SIDE = 1024


class OmeZarrWriter:
    """Writes one label volume; metadata comes first, so that a partial result opens in any viewer.

    ``fresh=False``: goes on with one that is there.
    """

    def __init__(self, path: Path, volume: LabelVolume, fresh: bool = True) -> None:
        colours = zip(range(1, len(volume.classes) + 1), volume.colours, strict=False)
        about = {
            "image-label": {
                "version": "0.5",
                "colors": [{"label-value": k, "rgba": _rgba(colour)} for k, colour in colours],
                "properties": [{"label-value": k, "class": name} for k, name in enumerate(volume.classes, start=1)],
            }
        }
        flat = len(volume.shape) == 2
        self._is_flat = flat
        self._pyramid = OmeZarrPyramid(
            path,
            volume.shape,
            volume.dtype,
            (CHUNK_SIDE, CHUNK_SIDE) if flat else (1, CHUNK_SIDE, CHUNK_SIDE),
            volume.spacing,
            LONG_NAMES[volume.unit] if volume.unit else None,
            about,
            volume.block,
            fresh,
            translation=volume.translation,
        )

    def write(self, z: int, labels: npt.NDArray[Any], corner: tuple[int, int] = (0, 0)) -> None:
        """Write plane ``z``, or the piece of it that begins at ``corner``, into every level that has it."""
        if self._is_flat:
            self._pyramid.write(corner[0], labels, corner[1:])
        else:
            self._pyramid.write(z, labels[None], corner)

    def read_back(self, block: Block) -> npt.NDArray[Any]:
        """Labels ``(z, y, x)`` of a block as they are on the disk; coarser levels are put right where they differ."""
        where = block.where[1:] if self._is_flat else block.where
        found = self._pyramid.read(where)
        self._pyramid.repair(tuple(part.start for part in where), found)
        return found.reshape(block.shape)

    def close(self) -> None:
        """Nothing is left to write: every plane is on disk when ``write`` returns."""


def _rgba(colour: str) -> list[int]:
    return [*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), 255]
