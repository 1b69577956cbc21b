"""Labels as a TIFF that ImageJ opens with its pixel size; larger than 4 GB, as an OME BigTIFF.

Class names and colours are in ImageJ's image information and properties, or in a map annotation of OME.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_anneal.inference.blocks import Block
from napari_anneal.inference.output import LabelVolume
from napari_anneal.samples.stored_results import CLASS, COLOUR

__all__ = ["TiffWriter"]

# Classic TIFF counts bytes in 32 bits; some are needed for the tags.
CLASSIC_LIMIT = 2**32 - 2**25
# ImageJ's description is ASCII.
IMAGEJ_NAMES = {"µm": "micron", "Å": "angstrom"}


class TiffWriter:
    """Writes planes into an uncompressed file laid out in full beforehand: planes not written stay 0.

    Planes go through plain writes and not through a memory map, because a full disk is then an error that can be
    reported; through a map it kills the process.
    """

    def __init__(self, path: Path, volume: LabelVolume, fresh: bool = True) -> None:
        self._volume = volume
        if not fresh:
            with tifffile.TiffFile(path) as file:
                self._start = int(file.series[0].dataoffset or 0)
            self._file = path.open("r+b")
            return
        size = int(np.prod(volume.shape, dtype=np.int64)) * volume.dtype.itemsize
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        big = size > CLASSIC_LIMIT
        # ImageJ knows no whole numbers of four bytes.
        ome = big or volume.dtype.itemsize > 2 or path.name.lower().endswith((".ome.tif", ".ome.tiff"))
        with tifffile.TiffWriter(path, bigtiff=big, ome=ome, imagej=not ome) as file:
            written = file.write(shape=volume.shape, dtype=volume.dtype, returnoffset=True, **_options(volume, ome))
        assert written is not None
        self._start = int(written[0])
        self._file = path.open("r+b")

    def write(self, z: int, labels: npt.NDArray[Any], corner: tuple[int, int] = (0, 0)) -> None:
        """Write plane ``z``, or the piece of it that begins at ``corner``."""
        plane = np.ascontiguousarray(labels, dtype=self._volume.dtype)
        for offset, row in self._rows(z, corner, plane.shape):
            self._file.seek(offset)
            self._file.write(plane[row].data)
        self._file.flush()

    def read_back(self, block: Block) -> npt.NDArray[Any]:
        """Labels ``(z, y, x)`` of a block as they are on the disk."""
        found = np.zeros(block.shape, dtype=self._volume.dtype)
        for plane, z in zip(found, range(block.start[0], block.stop[0]), strict=True):
            for offset, row in self._rows(z, block.start[1:], plane.shape):
                self._file.seek(offset)
                values = np.frombuffer(self._file.read(plane[row].nbytes), dtype=plane.dtype)
                plane[row] = values.reshape(plane[row].shape)
        return found

    def _rows(self, z: int, corner: tuple[int, int], shape: tuple[int, ...]) -> Iterator[tuple[int, slice]]:
        """Pieces of a plane that lie together in the file: where each begins, and which rows it is."""
        height, width = self._volume.shape[-2:]
        item = self._volume.dtype.itemsize
        step = shape[0] if shape[1] == width else 1
        for row in range(0, shape[0], step):
            pixel = (z * height + corner[0] + row) * width + corner[1]
            yield self._start + pixel * item, slice(row, row + step)

    def close(self) -> None:
        """Close the file; its index was written at the start."""
        self._file.close()


def _options(volume: LabelVolume, ome: bool) -> dict[str, Any]:
    """Pixel size and classes in the way each dialect keeps them."""
    axes = "ZYX"[-len(volume.shape) :]
    metadata: dict[str, Any] = {"axes": axes, **_classes(volume, ome)}
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": metadata}
    if volume.spacing is None:
        return options
    sizes = dict(zip(axes, volume.spacing, strict=True))
    options |= {"resolution": (1 / sizes["X"], 1 / sizes["Y"]), "resolutionunit": "NONE"}
    if ome:
        # Without a unit the schema would read micrometres, which nobody said.
        unit = volume.unit or "reference frame"
        for axis, size in sizes.items():
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    else:
        metadata |= {"unit": IMAGEJ_NAMES.get(volume.unit, volume.unit)} if volume.unit else {}
        metadata |= {"spacing": sizes["Z"]} if "Z" in sizes else {}
    return options


def _classes(volume: LabelVolume, ome: bool) -> dict[str, Any]:
    """Names of the labels for a person (ImageJ: Image › Show Info) and, key by key, for programs."""
    if not volume.classes:
        return {}
    told = {f"{CLASS}{k}": name for k, name in enumerate(volume.classes, start=1)}
    told |= {f"{COLOUR}{k}": colour for k, colour in enumerate(volume.colours, start=1)}
    if ome:
        return {"MapAnnotation": {"Namespace": "napari-anneal/classes", "Value": told}}
    lines = "\n".join(f"{k} = {name}" for k, name in enumerate(volume.classes, start=1))
    return {"Info": f"{lines}\n", "Properties": told}
