"""Labels as a TIFF that ImageJ opens with its pixel size; larger than 4 GB, as an OME BigTIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_anneal.inference.output import LabelVolume

__all__ = ["TiffWriter"]

# Classic TIFF counts bytes in 32 bits; some are needed for the tags.
CLASSIC_LIMIT = 2**32 - 2**25


class TiffWriter:
    """Writes planes one after the other, uncompressed, so that the result can be mapped into memory."""

    def __init__(self, path: Path, volume: LabelVolume) -> None:
        self._volume = volume
        big = int(np.prod(volume.shape, dtype=np.int64)) * volume.dtype.itemsize > CLASSIC_LIMIT
        ome = big or path.name.lower().endswith((".ome.tif", ".ome.tiff"))
        self._file = tifffile.TiffWriter(path, bigtiff=big, ome=ome, imagej=not ome)
        self._options = _options(volume, ome)
        self._next = 0

    def write(self, z: int, labels: npt.NDArray[Any]) -> None:
        """Append plane ``z``; planes come in order."""
        assert z == self._next, "planes of a TIFF are written in order"
        self._file.write(np.ascontiguousarray(labels), contiguous=True, **self._options)
        self._next += 1

    def close(self) -> None:
        """Write the index of the planes."""
        self._file.close()


def _options(volume: LabelVolume, ome: bool) -> dict[str, Any]:
    """Pixel size in the way each dialect keeps it; the unit is the user's own and stays unnamed."""
    axes = "ZYX"[-len(volume.shape) :]
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": {"axes": axes}}
    if ome and volume.dtype.itemsize == 1:
        options["metadata"]["SignificantBits"] = 8
    if volume.spacing is None:
        return options
    *depth, height, width = volume.spacing
    options["resolution"] = (1 / width, 1 / height)
    options["resolutionunit"] = "NONE"
    if ome:
        options["metadata"] |= {"PhysicalSizeX": width, "PhysicalSizeY": height}
        options["metadata"] |= {"PhysicalSizeZ": depth[0]} if depth else {}
    else:
        options["metadata"] |= {"spacing": depth[0]} if depth else {}
    return options
