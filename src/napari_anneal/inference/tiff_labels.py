"""Labels as a TIFF that ImageJ opens with its pixel size; larger than 4 GB, as an OME BigTIFF."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_anneal.inference.output import LabelVolume

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

    def __init__(self, path: Path, volume: LabelVolume) -> None:
        size = int(np.prod(volume.shape, dtype=np.int64)) * volume.dtype.itemsize
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        big = size > CLASSIC_LIMIT
        ome = big or path.name.lower().endswith((".ome.tif", ".ome.tiff"))
        with tifffile.TiffWriter(path, bigtiff=big, ome=ome, imagej=not ome) as file:
            written = file.write(shape=volume.shape, dtype=volume.dtype, returnoffset=True, **_options(volume, ome))
        assert written is not None
        self._start = int(written[0])
        self._volume = volume
        self._file = path.open("r+b")

    def write(self, z: int, labels: npt.NDArray[Any]) -> None:
        """Write plane ``z``."""
        plane = np.ascontiguousarray(labels, dtype=self._volume.dtype)
        self._file.seek(self._start + z * plane.nbytes)
        self._file.write(plane.data)
        self._file.flush()

    def close(self) -> None:
        """Close the file; its index was written at the start."""
        self._file.close()


def _options(volume: LabelVolume, ome: bool) -> dict[str, Any]:
    """Pixel size in the way each dialect keeps it."""
    axes = "ZYX"[-len(volume.shape) :]
    metadata: dict[str, Any] = {"axes": axes}
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
