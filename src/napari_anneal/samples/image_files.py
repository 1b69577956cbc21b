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

__all__ = ["SUFFIXES", "is_readable", "read_image", "stem"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
TIFFS = (".tif", ".tiff")
SUFFIXES = (*PICTURES, *TIFFS, ".npy", ".zarr")

Read = tuple[Any, str, tuple[float, ...] | None]


def read_image(path: str | Path, *, as_labels: bool = False, allow_missing_chunks: bool = False) -> Read:
    """Read a picture, a TIFF, a ``.npy`` file, a zarr or OME-Zarr store, or a folder of equally sized slices.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, TIFF (single or multi-page, ImageJ, OME), ``.npy``, a zarr folder, or a folder of pictures.
    as_labels
        Palette pictures are read as palette indices (class numbers), not as colours.
    allow_missing_chunks
        Accept a zarr store in which chunks do not exist; they read as its fill value.

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

        return read_zarr(path, allow_missing_chunks) if is_store(path) else _read_slices(path, as_labels)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or suffix == ".zarr":
        raise InputError(f"{path.name} is not a type of file this package reads; use {', '.join(SUFFIXES)}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty (0 bytes); copy or export it again.")
    if suffix in TIFFS:
        from napari_anneal.samples.tiff_files import read_tiff

        array, axes, spacing = read_tiff(path)
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


def _read_slices(folder: Path, as_labels: bool) -> Read:
    """A folder of equally sized pictures as one stack, in the order of the numbers in their names."""
    names = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural_order)
    slices = [p for p in names if p.is_file() and p.suffix.lower() in (*PICTURES, *TIFFS)]
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
