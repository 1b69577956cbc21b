"""Files → arrays with named axes and a pixel size: one function for every kind of file this package reads.

A damaged file is refused, never read in part: half a stack that looks whole would train and score as if it were.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.lazy_stacks import HDF5, LazyStack, open_hdf5

__all__ = ["SUFFIXES", "is_readable", "read_image", "stem"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
TIFFS = (".tif", ".tiff")
SUFFIXES = (*PICTURES, *TIFFS, ".npy", ".zarr", *HDF5)
# A stack above this many bytes stays on the disk where the caller can do with that.
LAZY_BYTES = 1 << 26

Read = tuple[Any, str, tuple[float, ...] | None]


def read_image(
    path: str | Path,
    *,
    as_labels: bool = False,
    allow_missing_chunks: bool = False,
    lazy: bool = False,
    level: int = 0,
    channel: int | None = None,
    dataset: str = "",
) -> Read:
    """Read a picture, a TIFF, ``.npy``, HDF5, a zarr or OME-Zarr store, or a folder of equally sized slices.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, TIFF (single or multi-page, ImageJ, OME), ``.npy``, a zarr folder, or a folder of pictures.
    as_labels
        Palette pictures are read as palette indices (class numbers), not as colours.
    allow_missing_chunks
        Accept a zarr store in which chunks do not exist; they read as its fill value.
    lazy
        Leave large stacks of every kind on disk; what comes back then only slices like an array.
    level
        Of an OME-Zarr pyramid: 0 is the finest.
    channel
        Of several channels of an OME-Zarr or HDF5 image, the one to read, counted from 0.
    dataset
        Path within an HDF5 file; empty: the only image there.

    Returns
    -------
    array
        In the file's own dtype; zarr and large uncompressed TIFF stay on disk and read what is indexed. Grey stored
        as equal red, green and blue is returned as grey; alpha is dropped.
    axes
        ``YX``, ``YXC``, ``ZYX`` or ``ZYXC``.
    spacing
        Pixel size along the axes without C: micrometres where the file names a unit; a stack whose slice distance the
        file does not tell is taken as isotropic. ``None`` if the file does not say.

    Raises
    ------
    InputError
        No such file, unsupported type, empty, damaged, truncated, or with axes that are not an image or a stack.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no file {str(path)!r}; check the name and the folder.")
    if path.is_dir():
        from napari_anneal.samples.zarr_stores import is_store, read_zarr

        if is_store(path):
            return read_zarr(path, allow_missing_chunks, level, channel)
        _only_for_zarr(path, level, channel)
        return _lazy_slices(path, as_labels) if lazy else _read_slices(path, as_labels)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or suffix == ".zarr":
        raise InputError(f"{path.name} is not a type of file this package reads; use {', '.join(SUFFIXES)}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty (0 bytes); copy or export it again.")
    if suffix in HDF5:
        return _read_hdf5(path, dataset, level, channel)
    _only_for_zarr(path, level, channel)
    if dataset:
        raise InputError(f"{path.name} is not an HDF5 file, so it has no dataset {dataset!r}; leave dataset out.")
    if suffix in TIFFS:
        from napari_anneal.samples.tiff_files import read_tiff

        array, axes, spacing = read_tiff(path, LAZY_BYTES if lazy else None)
    elif suffix == ".npy":
        array, axes, spacing = _read_npy(path)
    else:
        array, axes, spacing = _read_picture(path, as_labels)
    if np.dtype(array.dtype).kind not in "buif":
        raise InputError(f"{path.name} holds {array.dtype} values; save it as uint8, uint16 or float32.")
    if 0 in array.shape:
        raise InputError(f"{path.name} holds an empty array of shape {tuple(array.shape)}; export it again.")
    return *_plain_colours(array, axes), spacing


def is_readable(path: Path) -> bool:
    """Whether the name looks like something ``read_image`` reads (folders do: slices or zarr)."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def stem(path: str | Path) -> str:
    """Name without its extension, ``.ome.tif`` and ``.ome.zarr`` counting as one extension."""
    name = Path(path).name
    base = name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name
    return base[:-4] if base.lower().endswith(".ome") else base


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts slice 9 before slice 10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def axes_of(shape: Sequence[int], where: str) -> str:
    """Axes of an array that carries no names: the last axis is colour if it is 3 or 4 long and others remain."""
    colour = len(shape) >= 3 and shape[-1] in (3, 4)
    plain = {2: "YX", 3: "ZYX"}.get(len(shape) - int(colour))
    if plain is None:
        raise InputError(
            f"{where} has shape {tuple(shape)}; an image is (Y, X) or (Y, X, 3), a stack (Z, Y, X) or (Z, Y, X, 3)."
        )
    return plain + "C" * colour


def _read_npy(path: Path) -> Read:
    """A NumPy file, mapped into memory; pickled objects are never loaded."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        raise InputError(f"{path.name} cannot be read as a NumPy array ({_short(error)}); save it again.") from error
    return array, axes_of(array.shape, path.name), None


def _read_picture(path: Path, as_labels: bool) -> Read:
    """A PNG, JPEG or BMP through Pillow; their resolution is meant for print and is not a pixel size."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
            keep = picture.mode in ("1", "L", "RGB", "F") or picture.mode.startswith("I")
            if keep or (as_labels and picture.mode == "P"):
                array = np.asarray(picture)
            else:
                array = np.asarray(picture.convert("L" if picture.mode in ("LA", "La") else "RGB"))
    except Image.DecompressionBombError as error:
        raise InputError(f"{path.name} has too many pixels for its format; save it as TIFF or OME-Zarr.") from error
    except Exception as error:
        raise InputError(f"{path.name} is damaged or not an image ({_short(error)}); export it again.") from error
    return array, "YXC" if array.ndim == 3 else "YX", None


def _slice_files(folder: Path) -> list[Path]:
    names = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural_order)
    return [p for p in names if p.is_file() and p.suffix.lower() in (*PICTURES, *TIFFS)]


def _read_slices(folder: Path, as_labels: bool) -> Read:
    """A folder of equally sized pictures as one stack, in the order of the numbers in their names."""
    slices = _slice_files(folder)
    if not slices:
        raise InputError(f"the folder {folder.name!r} holds neither a zarr store nor slices (PNG, JPEG, BMP, TIFF).")
    planes: list[npt.NDArray[Any]] = []
    spacing: tuple[float, ...] | None = None
    for path in slices:
        plane, axes, spacing = read_image(path, as_labels=as_labels)
        if "Z" in axes:
            raise InputError(f"{folder.name}/{path.name} is a stack itself; a folder of slices holds one slice a file.")
        plane = np.asarray(plane)
        if planes and (plane.shape, plane.dtype) != (planes[0].shape, planes[0].dtype):
            raise InputError(
                f"{folder.name}/{path.name} is {plane.shape} {plane.dtype}, but {slices[0].name} is {planes[0].shape} "
                f"{planes[0].dtype}; the slices of a stack must be alike."
            )
        planes.append(plane)
    return np.stack(planes), "Z" + axes, None if spacing is None else (spacing[0], *spacing)


def _only_for_zarr(path: Path, level: int, channel: int | None) -> None:
    if level or channel is not None:
        raise InputError(f"{path.name} has neither levels nor channels to choose from; leave level and channel out.")


def _read_hdf5(path: Path, dataset: str, level: int, channel: int | None) -> Read:
    """A dataset ``(Y, X)`` or ``(Z, Y, X)``, or with channels first or last one of these."""
    _only_for_zarr(path, level, None)
    array = open_hdf5(path, dataset)
    if array.dtype.kind not in "buif":
        raise InputError(f"{path.name}: {array.name} holds {array.dtype} values; save it as uint8, uint16 or float32.")
    if channel is None:
        return array, axes_of(array.shape, f"{path.name}: {array.name}"), None
    import dask.array

    short = min(range(array.ndim), key=lambda axis: array.shape[axis])
    if array.ndim < 3 or short not in (0, array.ndim - 1) or not 0 <= channel < array.shape[short]:
        raise InputError(
            f"{path.name}: {array.name} of shape {tuple(array.shape)} has no channel {channel}; channels are counted "
            "from 0 along the first or the last axis."
        )
    one = dask.array.take(dask.array.from_array(array), channel, axis=short)
    return one, axes_of(one.shape, path.name), None


def _lazy_slices(folder: Path, as_labels: bool) -> Read:
    """As ``_read_slices``, but only the sizes are read now, and a slice when it is asked for."""
    slices = _slice_files(folder)
    if not slices or sum(p.stat().st_size for p in slices) <= LAZY_BYTES:
        return _read_slices(folder, as_labels)
    first, axes, spacing = read_image(slices[0], as_labels=as_labels)
    if "Z" in axes:
        return _read_slices(folder, as_labels)  # which says what is wrong
    for path in slices:
        if (size := _size_of(path)) != first.shape[:2]:
            raise InputError(
                f"{folder.name}/{path.name} is {size}, but {slices[0].name} is {first.shape[:2]}; the slices of a "
                "stack must be alike."
            )

    def read(z: int) -> npt.NDArray[Any]:
        plane = np.asarray(read_image(slices[z], as_labels=as_labels)[0])
        if plane.ndim == 2 and first.ndim == 3:  # a slice of a colour stack that happens to be grey
            plane = np.repeat(plane[..., np.newaxis], first.shape[2], axis=-1)
        if (plane.shape, plane.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"{folder.name}/{slices[z].name} is {plane.shape} {plane.dtype}, but {slices[0].name} is {first.shape} "
                f"{first.dtype}; the slices of a stack must be alike."
            )
        return plane

    stack = LazyStack((len(slices), *first.shape), first.dtype, read)
    return stack, "Z" + axes, None if spacing is None else (spacing[0], *spacing)


def _size_of(path: Path) -> tuple[int, int]:
    """``(Y, X)`` of a picture or a single-page TIFF, from its header."""
    try:
        if path.suffix.lower() in TIFFS:
            import tifffile

            with tifffile.TiffFile(path) as tif:
                return int(tif.pages[0].shape[0]), int(tif.pages[0].shape[1])
        from PIL import Image

        with Image.open(path) as picture:
            return picture.height, picture.width
    except Exception as error:
        raise InputError(f"{path.name} is damaged or not an image ({_short(error)}); export it again.") from error


def _plain_colours(array: Any, axes: str) -> tuple[Any, str]:
    """Drop alpha, and collapse colour to grey where red, green and blue are equal everywhere."""
    if not axes.endswith("C") or not isinstance(array, np.ndarray):
        return array, axes
    array = array[..., :3]
    planes = array if "Z" in axes else array[np.newaxis]
    if all((plane == plane[..., :1]).all() for plane in planes):
        return array[..., 0], axes[:-1]
    return array, axes


def _short(error: BaseException) -> str:
    """The first line of a library's message, short enough for a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(".")
