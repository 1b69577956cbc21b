"""The image to segment as a stack of planes, whatever it is: NumPy, dask, Zarr, HDF5, a pyramid, or a file on disk."""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.normalisation import IntensityRange, intensity_range
from napari_anneal.samples.sample import Sample
from napari_anneal.samples.zarr_stores import all_files

__all__ = ["Planes", "open_planes"]

_ALLOWED_AXES = "YX, ZYX, or either with a colour axis C (YXC, CYX, ZYXC, …)"

# Slabs of chunks up to this size are read as a whole; above, a plane or a block at a time.
SLAB_BYTES = 1 << 28
# Slabs kept beside those of one request: a sweep may go up and down from the slice in view.
SLABS_KEPT = 2
# Planes that the grey limits were read from are kept until the run comes by, up to this many bytes.
KEPT_BYTES = 1 << 28


class Planes:
    """Planes of one image or volume, read piece by piece and checked on the way.

    Attributes
    ----------
    axes
        ``"YX"`` or ``"ZYX"``: the axes of the result.
    shape
        Sizes along these axes.
    channels
        1 or 3: what each plane is brought to.
    path
        File or folder that is read, or ``None``.
    spacing, unit
        Pixel size along ``axes`` and the symbol of its unit, each ``None`` where unknown.
    """

    def __init__(
        self, sample: Sample, channels: int, where: str, unit: str | None = None, path: Path | None = None
    ) -> None:
        self._sample, self.channels, self._where, self.path = sample, channels, where, path
        self.axes = sample.axes.replace("C", "")
        self.shape = sample.spatial_shape
        self.spacing, self.unit = sample.spacing, unit
        self._slabs: OrderedDict[tuple[int, ...], npt.NDArray[Any]] = OrderedDict()
        self._kept: dict[int, npt.NDArray[Any]] = {}
        self._digest: Any = None
        self._fingerprint = ""
        if "C" not in sample.axes and channels != 1:
            raise InputError(
                f"{where} is grey but the model was trained on images with {channels} channels; choose a model "
                "for grey images."
            )
        if "C" in sample.axes:
            found = sample.image.shape[sample.axes.index("C")]
            if found not in {1, 3, 4, channels}:
                raise InputError(
                    f"{where} has {found} channels but the model takes {channels}; pass one channel, or axes='ZYX' if "
                    "these are slices of a stack."
                )

    def __len__(self) -> int:
        return self.shape[0] if len(self.shape) == 3 else 1

    @property
    def plane_shape(self) -> tuple[int, int]:
        """``(Y, X)``."""
        return self.shape[-2], self.shape[-1]

    @property
    def stack_shape(self) -> tuple[int, int, int]:
        """``(Z, Y, X)``; a 2D image is a stack of one plane."""
        return (len(self), *self.plane_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, as they are read."""
        dtype: np.dtype[Any] = np.dtype(self._sample.image.dtype)
        return dtype

    @property
    def in_memory(self) -> bool:
        """Whether reading costs nothing: a NumPy array that is not mapped from a file."""
        return type(self._sample.image) is np.ndarray

    @property
    def slab(self) -> int:
        """Planes that are read together, because the source stores them in the same chunks."""
        chunks = getattr(self._sample.image, "chunks", None)
        if "Z" not in self._sample.axes or not chunks:
            return 1
        along = chunks[self._sample.axes.index("Z")]
        return int(along[0] if isinstance(along, tuple) else along)  # dask lists the chunks, Zarr and HDF5 give a side

    @property
    def slab_bytes(self) -> int:
        """Size of a slab of whole planes in memory."""
        return self.slab * math.prod(self.plane_shape) * self.channels * self.dtype.itemsize

    def intensity_limits(self) -> IntensityRange:
        """Grey values that map to 0 and 1: one pair for the image or the whole volume."""
        axes = self.axes + ("C" if self.channels > 1 else "")
        self._digest = hashlib.blake2b(f"{self.dtype.str}{self._sample.image.shape}".encode(), digest_size=16)
        limits = intensity_range(self if "Z" in axes else self[0], axes, self._where)
        self._fingerprint, self._digest = str(self._digest.hexdigest()), None
        return limits

    @property
    def fingerprint(self) -> str:
        """Digest of shape, dtype and the planes that the grey limits are read from: cheap, for going on with a run."""
        if not self._fingerprint:
            self.intensity_limits()
        return self._fingerprint

    def __getitem__(self, z: int) -> npt.NDArray[Any]:
        """Plane ``z`` as ``(Y, X)``, or ``(Y, X, C)`` for a colour model: what ``intensity_range`` reads."""
        plane = self.plane(z)
        if self._digest is not None:
            self._digest.update(np.ascontiguousarray(plane).data)
        if not self.in_memory and self.slab == 1 and plane.nbytes * (len(self._kept) + 1) <= KEPT_BYTES:
            self._kept[z] = plane  # the run comes by again, and is spared the reading
        return plane[0] if self.channels == 1 else np.moveaxis(plane, 0, -1)

    def plane(self, z: int) -> npt.NDArray[Any]:
        """Plane ``z`` as ``(C, Y, X)`` in the image's own dtype; see ``read``."""
        return self.read(slice(z, z + 1), *(slice(0, n) for n in self.plane_shape))[:, 0]

    def read(self, z: slice, y: slice, x: slice) -> npt.NDArray[Any]:
        """A box of the stack as ``(C, z, y, x)`` in the image's own dtype.

        What the source stores in chunks of several planes is read a slab of chunks at a time, and the last slabs are
        kept: a sweep along Z reads every chunk once. To be called from one thread at a time.

        Raises
        ------
        InputError
            NaN or infinite pixels, colours where the model takes grey, or a slice that cannot be read: the
            sentence names the slice.
        """
        thick = self.slab if self.slab_bytes <= SLAB_BYTES or (y, x) != self._whole_plane else 1
        first, last = z.start // thick, (z.stop - 1) // thick
        parts = []
        for slab in range(first, last + 1):
            begin, end = slab * thick, min((slab + 1) * thick, len(self))
            piece = self._piece((begin, end), y, x, keep=last - first + SLABS_KEPT)
            parts.append(piece[:, max(z.start, begin) - begin : min(z.stop, end) - begin])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def state(self) -> list[Any]:
        """Differs once the image has changed: sizes and times of its files, a checksum of an array in memory.

        Empty for lazy arrays, whose pixels are not ours to read a second time.
        """
        if self.path is None:
            return [self.checksum(range(len(self)))] if self.in_memory else []
        if self.path.is_file():
            found = self.path.stat()
            return [found.st_size, found.st_mtime_ns]
        entries = [e.stat() for e in all_files(str(self.path))]
        return [len(entries), sum(e.st_size for e in entries), max((e.st_mtime_ns for e in entries), default=0)]

    def checksum(self, planes: Iterable[int]) -> int:
        """CRC-32 of some planes: a few milliseconds a hundred megabytes."""
        image, crc = self._sample.image, 0
        for z in planes:
            plane = image.take(z, self._sample.axes.index("Z")) if "Z" in self._sample.axes else image
            crc = zlib.crc32(np.ascontiguousarray(plane).data, crc)
        return crc

    @property
    def _whole_plane(self) -> tuple[slice, slice]:
        height, width = self.plane_shape
        return slice(0, height), slice(0, width)

    def _piece(self, planes: tuple[int, int], y: slice, x: slice, keep: int) -> npt.NDArray[Any]:
        """Planes of one slab, ``(C, z, y, x)``, from the cache or from the source."""
        key = (*planes, y.start, y.stop, x.start, x.stop)
        if key in self._slabs:
            self._slabs.move_to_end(key)
            return self._slabs[key]
        if planes[1] - planes[0] == 1 and planes[0] in self._kept:
            piece = self._kept.pop(planes[0])[:, np.newaxis, y, x]
        else:
            piece = self._fetch(planes, y, x)
        if not self.in_memory:
            self._slabs[key] = piece
            while len(self._slabs) > keep:
                self._slabs.popitem(last=False)
        return piece

    def _fetch(self, planes: tuple[int, int], y: slice, x: slice) -> npt.NDArray[Any]:
        """Read and check planes of the source."""
        axes, whole = self._sample.axes, (y, x) == self._whole_plane
        single = planes[1] - planes[0] == 1
        where = self._place(planes[0]) if single else f"slices {planes[0]}–{planes[1] - 1} of {self._where}"
        parts = {"Z": planes[0] if single else slice(*planes), "Y": y, "X": x}
        index = tuple(slice(None) if a not in parts or (whole and a != "Z") else parts[a] for a in axes)
        try:
            found = np.asarray(self._sample.image[index])
        except InputError:
            raise
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise InputError(f"{where} cannot be read ({error}); check the file or the array.") from error
        rest = axes.replace("Z", "") if single else axes
        found = np.moveaxis(found, rest.index("C"), 0) if "C" in rest else found[np.newaxis]
        if single:
            found = found[:, np.newaxis]
        expected = (planes[1] - planes[0], y.stop - y.start, x.stop - x.start)
        if found.shape[1:] != expected:
            shape = found.shape[2:] if single else found.shape[1:]
            raise InputError(f"{where} has shape {shape} instead of {expected[-len(shape) :]}; load the image again.")
        fitted = [
            self._fit_channels(self._finite(found[:, i], planes[0] + i), self._place(planes[0] + i))
            for i in range(found.shape[1])
        ]
        return fitted[0][:, np.newaxis] if single else np.stack(fitted, axis=1)

    def _place(self, z: int) -> str:
        return f"slice {z} of {self._where}" if "Z" in self._sample.axes else self._where

    def _finite(self, plane: npt.NDArray[Any], z: int) -> npt.NDArray[Any]:
        if plane.dtype.kind == "f" and not _finite(plane):
            raise InputError(
                f"{self._place(z)} holds NaN or infinite pixels; replace them first (for example with "
                "numpy.nan_to_num)."
            )
        return plane

    def _fit_channels(self, plane: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
        """Drop alpha; take equal colours as grey."""
        if len(plane) == 4 and self.channels != 4:
            plane = plane[:3]
        if len(plane) == self.channels:
            return plane
        if self.channels != 1:
            raise InputError(
                f"{where} has {len(plane)} channel(s) but the model takes {self.channels}; choose another model."
            )
        if not all(np.array_equal(plane[0], other) for other in plane[1:]):
            raise InputError(
                f"{where} is a colour image but the model takes grey ones; convert it first (for example with "
                "skimage.color.rgb2gray), or pass axes='ZYX' if these are slices of a stack."
            )
        return plane[:1]


def open_planes(
    image: Any,
    axes: str | None,
    spacing: Sequence[float] | None,
    channels: int,
    unit: str | None = None,
    level: int = 0,
    channel: int | None = None,
    dataset: str = "",
) -> tuple[Planes, Path | None]:
    """Open what a caller may pass as an image.

    Parameters
    ----------
    image
        Array-like with a shape (NumPy, dask, Zarr …), a pyramid of such (largest first; level 0 is used), or
        a path.
    axes
        Axis letters; ``None``: from the file, else guessed from the shape.
    spacing
        Pixel size along the axes of the result; ``None``: from the file, if it says.
    channels
        What the model takes.
    unit
        Unit of ``spacing``, a symbol of ``units.LONG_NAMES``.
    level, channel, dataset
        Which image of a file; see ``read_image``.

    Returns
    -------
    planes, path
        The planes, and the file they come from (``None``: not from a file).

    Raises
    ------
    InputError
        Not an image: unreadable, empty, of another number of axes, complex, with axes that this package does
        not know.
    """
    path: Path | None = None
    where = "the image"
    if not isinstance(image, str | os.PathLike) and (level or channel is not None or dataset):
        raise InputError("level, channel and dataset choose within a file; of an array, pass the part that is meant.")
    if isinstance(image, str | os.PathLike):
        from napari_anneal.samples.reading import read_image

        path = Path(image)
        where = path.name
        image, file_axes, file_spacing = read_image(path, lazy=True, level=level, channel=channel, dataset=dataset)
        axes = axes or file_axes
        if spacing is None and file_spacing is not None:
            # Readers of image files convert to µm; a Zarr array may give numbers without any unit.
            spacing, unit = file_spacing, None if path.is_dir() else "µm"
    elif isinstance(image, Sequence):
        image = _level_zero(image)
    if not hasattr(image, "shape") or not hasattr(image, "dtype"):
        image = _as_array(image)
    if axes is not None:
        _check_axes(axes, where)
    sample = Sample(
        image,
        spacing=None if spacing is None else tuple(spacing),
        name=path.name if path else "",
        axes=axes or "",
    )
    return Planes(sample, channels, where, unit, path), path


def _level_zero(levels: Sequence[Any]) -> Any:
    """Full-resolution level of a pyramid; a nested list of numbers is returned as it is."""
    if len(levels) == 0:
        raise InputError("the image is an empty list; pass an array or a path.")
    if not all(hasattr(level, "shape") and len(level.shape) >= 2 for level in levels):
        return levels
    if len(levels) > 1 and not np.prod(levels[0].shape) > np.prod(levels[1].shape):
        raise InputError(
            "a list of arrays is taken as a pyramid, largest first, but these do not shrink; for the slices of a stack "
            "pass numpy.stack(slices)."
        )
    return levels[0]


def _as_array(image: Any) -> npt.NDArray[Any]:
    try:
        array = np.asarray(image)
    except ValueError as error:
        raise InputError(f"the image is not an array ({error}); pass an array or a path.") from error
    if array.dtype == object or array.ndim == 0:
        raise InputError(f"an object of type {type(image).__name__} is not an image; pass an array or a path.")
    return array


def _check_axes(axes: str, where: str) -> None:
    spatial = axes.replace("C", "", 1)
    if spatial not in ("YX", "ZYX"):
        raise InputError(f"{where}: axes={axes!r} cannot be segmented; use {_ALLOWED_AXES}.")


def _finite(plane: npt.NDArray[Any]) -> bool:
    """Whether all pixels are finite, also as float32."""
    # A sum is finite only if every term is (or it overflows, which the exact test then sorts out), without a
    # mask.
    with np.errstate(all="ignore"):
        if np.isfinite(plane.sum(dtype=np.float32)):
            return True
        return bool(np.isfinite(plane.astype(np.float32)).all())
