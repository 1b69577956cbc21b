"""Instances straight to a file: complete under the name asked for, or not under that name at all.

Numbers are known only when the whole image was seen, so blocks go to a scratch file beside the result first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import OutputError
from napari_anneal.inference.instances.finding import find_instances
from napari_anneal.inference.instances.recipe import InstanceRecipe
from napari_anneal.inference.instances.result import Instances
from napari_anneal.inference.instances.table import as_volume
from napari_anneal.inference.output import LabelVolume, check_place, open_sink
from napari_anneal.samples.placing import disk_is_full

__all__ = ["instances_to_file"]


def instances_to_file(
    source: Any,
    path: str | Path,
    recipe: InstanceRecipe | None = None,
    *,
    overwrite: bool = False,
    source_path: Path | None = None,
    unit: str | None = "µm",
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
    **options: Any,
) -> Instances | None:
    """Find instances and write them: uint16 where their numbers fit, else uint32.

    Parameters
    ----------
    source, recipe, progress, cancel, options
        See `find_instances`. The image may be larger than memory.
    path
        ``.ome.zarr``, ``.zarr``, ``.tif`` or ``.tiff``.
    overwrite
        Replace an earlier result when the new one is complete.
    source_path
        The file ``source`` is read from, which must not be written to.
    unit
        Unit of the spacing, for the file.

    Returns
    -------
    Instances or None
        ``labels`` reads from the file; ``None`` after a cancel, when nothing is kept.

    Raises
    ------
    InputError
        See `find_instances`.
    OutputError
        The path is in use, of another type, cannot be written, or the disk is full.
    """
    volume = as_volume(source, "the image to divide")
    shape = volume.shape[3 - volume.ndim :]
    spacing = options.get("spacing")
    about = LabelVolume(
        shape=shape,
        dtype=np.dtype(np.uint32),
        spacing=None if spacing is None else tuple(spacing),
        classes=(),
        colours=(),
        unit=None if spacing is None else unit,
    )
    place = Path(path)
    check_place(place, overwrite, source_path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"{place} cannot be written ({error.strerror or error}); check the folder.") from error
    with folder as scratch:
        held = _scratch(Path(scratch) / "labels", shape, place)
        found = find_instances(source, recipe, out=held, progress=progress, cancel=cancel, **options)
        if found is None:
            return None
        most = int(found.table["label"].max(initial=0))
        dtype = np.dtype(np.uint16 if most <= np.iinfo(np.uint16).max else np.uint32)
        sink = open_sink(place, replace(about, dtype=dtype), overwrite, source_path)
        sink.open()
        for z, plane in enumerate(held if len(shape) == 3 else held[None]):
            sink.write(z, plane.astype(dtype))
        written = sink.finish()
    return replace(found, labels=sink.read(written), path=written)


def _scratch(file: Path, shape: tuple[int, ...], place: Path) -> Any:
    """A file of numbers that reads and writes where it is indexed, with its room on the disk reserved."""
    try:
        # A map of a file with holes kills the process when the disk is full; written in full beforehand it cannot.
        with file.open("wb") as blank:
            left = int(np.prod(shape, dtype=np.int64)) * 4
            zeros = bytes(1 << 20)
            while left > 0:
                left -= blank.write(zeros[: min(left, len(zeros))])
        return np.memmap(file, dtype=np.int32, mode="r+", shape=shape)
    except OSError as error:
        if disk_is_full(error):
            raise OutputError(
                f"the disk has no room for {place} and the scratch data beside it, twice 4 bytes a voxel; free some "
                "space or write somewhere else."
            ) from error
        raise OutputError(f"{place} cannot be written ({error.strerror or error}); check the folder.") from error
