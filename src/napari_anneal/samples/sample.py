"""A *sample*: one image with the labels painted on it, the group (specimen) it came from, and its pixel spacing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["PaintedSlice", "Sample", "refuse_copy"]

# Label 0 means "not painted": no loss, no metric and no class ever sees such a pixel.
UNPAINTED = 0


@dataclass(frozen=True)
class PaintedSlice:
    """One 2D slice that carries paint, as plain NumPy arrays.

    ``image`` is ``(C, Y, X)`` in the image's own dtype, ``labels`` ``(Y, X)`` int64 with 0 = not painted,
    ``z`` the slice's index in a stack (``None`` for a 2D image).
    """

    image: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    z: int | None


@dataclass(frozen=True, eq=False)
class Sample:
    """One image, what was painted on it, and where it came from.

    Parameters
    ----------
    image
        ``(Y, X)``, ``(Y, X, C)``, ``(Z, Y, X)`` or ``(Z, Y, X, C)``; bool, unsigned integer or float; NumPy or
        anything that slices like it (dask, zarr). C is 3 or 4 (RGB or RGBA; alpha is dropped).
    labels
        ``(Y, X)`` or ``(Z, Y, X)`` whole numbers: 0 = not painted (ignored), 1…K = classes. ``None``: nothing
        painted yet (an image to rank or to segment).
    group
        The specimen (microscope, day, batch …) the image belongs to; images of one group never end up on both
        sides of a split. Empty: the image is a group of its own.
    spacing
        Pixel size along each of the axes of ``labels``, in any one unit; ``None``: unknown, taken as 1.
    name
        How messages and tables call this sample.
    axes
        One letter an axis of the image, such as ``"ZYX"`` or ``"YXC"``; empty: guessed.
    mark
        What every report on this sample must say, such as that it was opened as gold before.
    copy_of
        Name of the image that this one is an augmented copy of. A copy is of its original's group whatever its own,
        and trains, but never judges.

    Raises
    ------
    InputError
        Shapes differ, labels are negative or not whole numbers, or the image has an axis count, a dtype or a
        size that cannot be an image.
    """

    image: Any
    labels: Any = None
    group: str = ""
    spacing: tuple[float, ...] | None = None
    name: str = ""
    axes: str = field(default="", repr=False)
    mark: str = field(default="", repr=False)
    copy_of: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Check everything that can be checked without reading the pixels of a large image."""
        where = f"sample {self.name!r}" if self.name else "this sample"
        for role in ("image", "labels"):
            array = getattr(self, role)
            if array is not None and not hasattr(array, "shape"):
                object.__setattr__(self, role, np.asarray(array))
        axes = self.axes or _guess_axes(self.image, self.labels, where)
        object.__setattr__(self, "axes", axes)
        if len(axes) != len(self.image.shape):
            raise InputError(
                f"{where}: the image has {len(self.image.shape)} axes but axes={axes!r} names {len(axes)}; "
                "pass the axes that the image really has."
            )
        kind = np.dtype(self.image.dtype).kind
        if kind not in "buif":
            raise InputError(
                f"{where}: pixels of type {self.image.dtype} cannot be used; convert to uint8, uint16 or float32."
            )
        if 0 in self.image.shape:
            raise InputError(f"{where}: the image is empty (shape {tuple(self.image.shape)}); load it again.")
        if self.labels is not None:
            _check_labels(self.labels, self.spatial_shape, where)
        if self.spacing is not None:
            spacing = tuple(float(s) for s in self.spacing)
            if len(spacing) != len(self.spatial_shape) or not all(np.isfinite(s) and s > 0 for s in spacing):
                raise InputError(
                    f"{where}: spacing {self.spacing} must be {len(self.spatial_shape)} positive numbers, "
                    "one for each axis of the labels."
                )
            object.__setattr__(self, "spacing", spacing)

    def changed(self, **told: str) -> Sample:
        """The same sample with another ``group``, ``name`` or ``mark``; its arrays are not checked, nor read, again."""
        other = copy.copy(self)
        for field_name, text in told.items():
            object.__setattr__(other, field_name, text)
        return other

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape without the channel axis: ``(Y, X)`` or ``(Z, Y, X)``."""
        return tuple(int(n) for n, a in zip(self.image.shape, self.axes, strict=True) if a != "C")

    @property
    def is_stack(self) -> bool:
        """Whether the sample is a volume, segmented slice by slice."""
        return "Z" in self.axes

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour (an alpha channel is dropped on reading)."""
        return 3 if "C" in self.axes else 1

    def painted_slices(self) -> Iterator[PaintedSlice]:
        """Yield every 2D slice that carries paint; unpainted slices of a stack are never read."""
        if self.labels is None:
            return
        if not self.is_stack:
            labels = np.asarray(self.labels).astype(np.int64)
            if labels.any():
                yield PaintedSlice(self.channels_first(slice(None)), labels, None)
            return
        for z in range(self.spatial_shape[0]):
            labels = np.asarray(self.labels[z]).astype(np.int64)
            if labels.any():
                yield PaintedSlice(self.channels_first(z), labels, z)

    def channels_first(self, z: int | slice) -> npt.NDArray[Any]:
        """One slice as ``(C, Y, X)`` in the image's dtype; pass ``slice(None)`` for a 2D image."""
        plane = np.asarray(self.image[z])
        return np.moveaxis(plane[..., :3], -1, 0) if "C" in self.axes else plane[np.newaxis]


def refuse_copy(sample: Sample, where: str) -> None:
    """Refuse an augmented copy where something is judged.

    Raises
    ------
    InputError
        The sample is one.
    """
    if sample.copy_of:
        raise InputError(
            f"{where} is an augmented copy of {sample.copy_of!r}, and copies only train and never judge; leave it out."
        )


def _guess_axes(image: Any, labels: Any, where: str) -> str:
    """Name the axes of an image from its shape and, where there are labels, from theirs."""
    shape = tuple(image.shape)
    ndim = len(shape) if labels is None else len(labels.shape)
    colour = len(shape) >= 3 and shape[-1] in (3, 4)
    if labels is None:
        ndim -= int(colour)
    if ndim not in (2, 3) or len(shape) not in (ndim, ndim + 1) or (len(shape) == ndim + 1 and not colour):
        given = f"shape {shape}" + ("" if labels is None else f" with labels of shape {tuple(labels.shape)}")
        raise InputError(
            f"{where}: {given} is not an image this package knows; use (Y, X), (Y, X, 3), (Z, Y, X) or (Z, Y, X, 3) "
            "and labels of the same shape without the colour axis."
        )
    return {2: "YX", 3: "ZYX"}[ndim] + ("C" if len(shape) == ndim + 1 else "")


def _check_labels(labels: Any, spatial_shape: Sequence[int], where: str) -> None:
    """Refuse labels of another shape, negative, or not whole numbers."""
    if tuple(labels.shape) != tuple(spatial_shape):
        raise InputError(
            f"{where}: image {tuple(spatial_shape)} and labels {tuple(labels.shape)} differ in shape; "
            "paint on a Labels layer made from this very image."
        )
    kind = np.dtype(labels.dtype).kind
    if kind not in "bui":
        raise InputError(
            f"{where}: labels are {labels.dtype}, but painted classes are whole numbers; "
            "convert them to an integer Labels layer."
        )
    planes = (labels[z] for z in range(labels.shape[0])) if len(labels.shape) == 3 else (labels,)
    if kind == "i" and any(int(np.asarray(plane).min()) < 0 for plane in planes):
        raise InputError(f"{where}: labels hold negative numbers; use 0 for not painted and 1, 2, … for classes.")
