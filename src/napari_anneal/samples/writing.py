"""Writing image and label pairs in the layout that ``read_samples`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import OutputError
from napari_anneal.samples.placing import remove, why_not_written

__all__ = ["write_pair", "write_plane"]


def write_pair(
    folder: Path,
    name: str,
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    grains: npt.NDArray[Any] | None = None,
) -> None:
    """Write one pair as TIFF: ``images/<name>.tif`` (16 bits), ``labels/<name>.tif`` and, if given, ``grains/``.

    Parameters
    ----------
    folder, name
        Where, and the stem of the file names.
    image
        Unit range; stored as uint16, finer than any noise in it.
    labels, grains
        Whole numbers, shaped as the image; ``grains`` may be left out.

    Raises
    ------
    OutputError
        The folder cannot be written or the disk is full; nothing of this pair is left.
    """
    unit = np.round(np.clip(image, 0, 1) * 65535).astype(np.uint16)
    _write(folder, name, {"images": unit, "labels": labels, "grains": grains})


def write_plane(
    folder: Path,
    name: str,
    image: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    spacing_um: tuple[float, float] | None = None,
) -> None:
    """Write an image as it is, and its labels, as TIFF: ``images/<name>.tif`` and ``labels/<name>.tif``.

    Parameters
    ----------
    folder, name
        Where, and the stem of the file names.
    image
        ``(Y, X)`` or ``(Y, X, 3)`` uint8, uint16 or float32; every pixel comes back the same.
    labels
        ``(Y, X)`` whole numbers from 0.
    spacing_um
        Pixel size along Y and X, µm.

    Raises
    ------
    OutputError
        The folder cannot be written or the disk is full; nothing of this pair is left.
    """
    highest = int(labels.max())
    smallest = next(kind for kind in (np.uint8, np.uint16, np.uint32) if highest <= np.iinfo(kind).max)
    _write(folder, name, {"images": image, "labels": labels.astype(smallest)}, spacing_um)


def _write(
    folder: Path,
    name: str,
    parts: dict[str, npt.NDArray[Any] | None],
    spacing_um: tuple[float, float] | None = None,
) -> None:
    """Write the parts that there are, each to its folder, or nothing."""
    import tifffile

    size: dict[str, Any] = {}
    if spacing_um is not None:
        size = {"resolution": (1e4 / spacing_um[1], 1e4 / spacing_um[0]), "resolutionunit": "CENTIMETER"}
    try:
        for kind, array in parts.items():
            if array is not None:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                colour = {"photometric": "rgb"} if array.ndim == 3 and kind == "images" and array.shape[-1] == 3 else {}
                tifffile.imwrite(folder / kind / f"{name}.tif", array, compression="zlib", **colour, **size)
    except OSError as error:
        for kind in parts:
            remove(folder / kind / f"{name}.tif")
        raise OutputError(f"{name} could not be written to {folder}: {why_not_written(error)}.") from error
