"""Zarr and OME-Zarr folders, read lazily, with a check that no chunk is missing.

Zarr reads a chunk that does not exist as its fill value, so a store that was copied in part looks like a volume with
black bricks. Whether the writer left empty chunks out on purpose is recorded nowhere in the format; an image is
therefore refused when chunks are missing, unless the caller says that the empty part is meant.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.samples.tiff_spacing import MICROMETRES

__all__ = ["all_files", "is_store", "missing_chunks", "read_zarr"]

MARKERS = ("zarr.json", ".zarray", ".zgroup")


def is_store(path: Path) -> bool:
    """Whether a folder is (or says it is) a zarr store."""
    return path.suffix.lower() == ".zarr" or any((path / marker).exists() for marker in MARKERS)


def read_zarr(
    path: Path, allow_missing_chunks: bool = False, level: int = 0, channel: int | None = None
) -> tuple[Any, str, tuple[float, ...] | None]:
    """Open the array of a store, of a pyramid that of a level; see ``read_image`` for what comes back.

    Raises
    ------
    InputError
        Not a readable store, several arrays to choose from, axes that are not an image, or missing chunks.
    """
    import zarr

    try:
        node = zarr.open(str(path), mode="r")
    except Exception as error:
        raise InputError(f"{path.name} cannot be opened as a zarr store; copy or export it again.") from error
    try:
        array, axes, spacing = _chosen(node, path.name, level)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name}: its OME metadata cannot be understood; export it again.") from error
    if not allow_missing_chunks:
        lost = missing_chunks(array)
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise InputError(
                f"{path.name}: chunk {lost[0]}{more} of {array.path or 'the array'} is missing and would read as "
                f"{array.fill_value}; copy the store again, or allow missing chunks if that part is meant to be empty."
            )
    return _standard_axes(array, axes, spacing, path.name, channel)


def missing_chunks(array: Any) -> list[str]:
    """Keys of the chunks of a zarr array that have no file (or an empty one), in order.

    Only stores that are local folders can be checked; for any other store the list is empty.
    """
    root = getattr(array.store, "root", None)
    if not isinstance(root, Path):
        return []
    base = root / array.path
    there = {
        os.path.relpath(entry.path, base).replace(os.sep, "/")
        for entry in all_files(str(base))
        if entry.stat().st_size > 0
    }
    stored = array.shards or array.chunks  # with sharding the files are shards
    counts = (range(math.ceil(n / c)) for n, c in zip(array.shape, stored, strict=True))
    keys = (array.metadata.encode_chunk_key(position) for position in itertools.product(*counts))
    return [key for key in keys if key not in there]


def all_files(folder: str) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder, as directory entries."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from all_files(entry.path)
            else:
                yield entry


def _chosen(node: Any, where: str, level: int) -> tuple[Any, list[str] | None, list[float] | None]:
    """Array, axis names and spacing (µm where a unit is named) of a zarr array or an OME-Zarr group."""
    if hasattr(node, "shape"):
        if level:
            raise InputError(f"{where} is a single array and has no level {level}; leave level out.")
        names = getattr(node.metadata, "dimension_names", None)
        return node, [str(n).lower() for n in names] if names and all(names) else None, None
    attributes = dict(node.attrs)
    if "bioformats2raw.layout" in attributes.get("ome", attributes):
        return _chosen(node["0"], where, level)
    multiscales = attributes.get("ome", attributes).get("multiscales")
    if not multiscales:
        arrays = sorted(name for name, _ in node.arrays())
        if len(arrays) == 1:
            return _chosen(node[arrays[0]], where, level)
        listed = f"holds the arrays {', '.join(arrays[:8])}" if arrays else "holds no array"
        raise InputError(
            f"{where} is a zarr group without OME metadata and {listed}; give the path of one array in it."
        )
    image = multiscales[0]
    count = len(image["datasets"])
    if not 0 <= level < count:
        raise InputError(
            f"{where} has {count} level{'s' * (count != 1)} and no level {level}; they are counted from 0."
        )
    dataset = image["datasets"][level]
    try:
        array = node[dataset["path"]]
    except KeyError as error:
        raise InputError(f"{where} names the array {dataset['path']!r}, which is not there; copy it again.") from error
    axes = image.get("axes") or ["t", "c", "z", "y", "x"][-len(array.shape) :]
    names = [(a["name"] if isinstance(a, dict) else a).lower() for a in axes]
    scale = [1.0] * len(names)
    for transform in [*dataset.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]:
        if transform.get("type") == "scale":
            scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
    units = [str(a.get("unit", "")).lower() if isinstance(a, dict) else "" for a in axes]
    told = any(s != 1.0 for s in scale) or any(u in MICROMETRES for u in units)
    return array, names, [s * MICROMETRES.get(u, 1.0) for s, u in zip(scale, units, strict=True)] if told else None


def _standard_axes(
    array: Any, names: list[str] | None, spacing: list[float] | None, where: str, channel: int | None = None
) -> tuple[Any, str, tuple[float, ...] | None]:
    """→ (Z)YX(C); the zarr array itself where it has those axes already, a lazy dask view of it otherwise."""
    if channel is not None:
        if names is None or "c" not in names or not 0 <= channel < array.shape[names.index("c")]:
            raise InputError(f"{where} has no channel {channel}; leave channel out, or give one that it names.")
        import dask.array

        position = names.index("c")
        array = dask.array.take(dask.array.from_array(array), channel, axis=position)
        names = [name for name in names if name != "c"]
        spacing = None if spacing is None else [s for i, s in enumerate(spacing) if i != position]
    if names is None or sorted(names) not in (sorted("yx"), sorted("zyx")):
        from napari_anneal.samples.image_files import axes_of

        if names is None:
            return array, axes_of(array.shape, where), None
    else:
        return array, "".join(names).upper(), None if spacing is None else tuple(spacing)
    import dask.array

    index = tuple(0 if n == 1 and a not in "yx" else slice(None) for n, a in zip(array.shape, names, strict=True))
    kept = [i for i, part in enumerate(index) if isinstance(part, slice)]
    left = "".join("z" if names[i] == "t" else names[i][0] for i in kept)
    if left.replace("c", "") not in ("yx", "zyx") or ("c" in left and array.shape[names.index("c")] not in (3, 4)):
        shape = ", ".join(f"{n} {a}" for a, n in zip(names, array.shape, strict=True))
        raise InputError(f"{where} has the axes {shape}; give one channel of one stack (z, y, x) or one image (y, x).")
    lazy = dask.array.from_array(array)[index]
    if "c" in left:
        lazy = dask.array.moveaxis(lazy, left.index("c"), -1)[..., :3]
    kept_spacing = None if spacing is None else tuple(spacing[i] for i in kept if names[i] != "c")
    return lazy, left.replace("c", "").upper() + ("C" if "c" in left else ""), kept_spacing
