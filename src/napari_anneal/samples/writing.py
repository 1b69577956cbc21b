"""Writing image and label pairs in the layout that ``read_samples`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import OutputError
from napari_anneal.samples.placing import remove, why_not_written

__all__ = ["write_pair"]


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
    import tifffile

    parts = {"images": np.round(np.clip(image, 0, 1) * 65535).astype(np.uint16), "labels": labels, "grains": grains}
    try:
        for kind, array in parts.items():
            if array is not None:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(folder / kind / f"{name}.tif", array, compression="zlib")
    except OSError as error:
        for kind in parts:
            remove(folder / kind / f"{name}.tif")
        raise OutputError(f"{name} could not be written to {folder}: {why_not_written(error)}.") from error
