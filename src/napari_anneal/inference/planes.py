"""The image to segment as a sequence of planes, whatever it is: NumPy, dask, Zarr, a pyramid, or a file on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.normalisation import IntensityRange, intensity_range
from napari_anneal.samples.sample import Sample

__all__ = ["Planes", "open_planes"]

_ALLOWED_AXES = "YX, ZYX, or either with a colour axis C (YXC, CYX, ZYXC, …)"


class Planes:
    """Planes of one image or volume, read one at a time and checked on the way.

    Attributes
    ----------
    axes
        ``"YX"`` or ``"ZYX"``: the axes of the result.
    shape
        Sizes along these axes.
    channels
        1 or 3: what each plane is brought to.
    spacing, unit
        Pixel size along ``axes`` and the symbol of its unit, each ``None`` where unknown.
    """

    def __init__(self, sample: Sample, channels: int, where: str, unit: str | None = None) -> None:
        self._sample, self.channels, self._where = sample, channels, where
        self.axes = sample.axes.replace("C", "")
        self.shape = sample.spatial_shape
        self.spacing, self.unit = sample.spacing, unit
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

    def intensity_limits(self) -> IntensityRange:
        """Grey values that map to 0 and 1: one pair for the image or the whole volume."""
        axes = self.axes + ("C" if self.channels > 1 else "")
        return intensity_range(self if "Z" in axes else self[0], axes, self._where)

    def __getitem__(self, z: int) -> npt.NDArray[Any]:
        """Plane ``z`` as ``(Y, X)``, or ``(Y, X, C)`` for a colour model: what ``intensity_range`` reads."""
        plane = self.plane(z)
        return plane[0] if self.channels == 1 else np.moveaxis(plane, 0, -1)

    def plane(self, z: int) -> npt.NDArray[Any]:
        """Plane ``z`` as ``(C, Y, X)`` in the image's own dtype.

        Raises
        ------
        InputError
            NaN or infinite pixels, colours where the model takes grey, or a slice that cannot be read: the
            sentence names the slice.
        """
        axes = self._sample.axes
        where = f"slice {z} of {self._where}" if "Z" in axes else self._where
        index = tuple(z if axis == "Z" else slice(None) for axis in axes)
        try:
            plane = np.asarray(self._sample.image[index])
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise InputError(f"{where} cannot be read ({error}); check the file or the array.") from error
        rest = axes.replace("Z", "")
        plane = np.moveaxis(plane, rest.index("C"), 0) if "C" in rest else plane[np.newaxis]
        if plane.shape[1:] != self.plane_shape:
            raise InputError(
                f"{where} has shape {plane.shape[1:]} instead of {self.plane_shape}; load the image again."
            )
        if plane.dtype.kind == "f" and not _finite(plane):
            raise InputError(
                f"{where} holds NaN or infinite pixels; replace them first (for example with numpy.nan_to_num)."
            )
        return self._fit_channels(plane, where)

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
    image: Any, axes: str | None, spacing: Sequence[float] | None, channels: int, unit: str | None = None
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
    if isinstance(image, str | os.PathLike):
        from napari_anneal.samples.reading import read_image

        path = Path(image)
        where = path.name
        image, file_axes, file_spacing = read_image(path)
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
    return Planes(sample, channels, where, unit), path


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
