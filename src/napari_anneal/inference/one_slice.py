"""One slice of a stack, to be seen before the whole: read and scaled as it will be in the finished result."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.inference.planes import Planes
from napari_anneal.samples.normalisation import IntensityRange

__all__ = ["OneSlice"]


class OneSlice(Planes):
    """One slice of a stack as an image, in the grey limits of the whole: it looks as it will in the finished result."""

    def __init__(self, whole: Planes, z: int) -> None:
        if "Z" not in whole.axes or not 0 <= z < len(whole):
            raise InputError(f"there is no slice {z} in an image of {len(whole)}; count from 0.")
        self.__dict__.update(whole.__dict__)
        self._whole, self._z = whole, z
        self.axes, self.shape = "YX", whole.plane_shape
        self.spacing = None if whole.spacing is None else whole.spacing[-2:]

    @property
    def offset(self) -> int:
        """Its place in the stack."""
        return self._z

    @property
    def depth(self) -> int:
        """Slices of the stack."""
        return len(self._whole)

    def intensity_limits(self) -> IntensityRange:
        """Limits of the whole stack."""
        return self._whole.intensity_limits()

    @property
    def fingerprint(self) -> str:
        """Of the stack, and which slice of it this is."""
        return f"{self._whole.fingerprint}/{self._z}"

    def state(self) -> list[Any]:
        """Of this slice."""
        return [self.checksum([self._z])] if self.path is None and self.in_memory else self._whole.state()

    def read(self, z: slice, y: slice, x: slice) -> npt.NDArray[Any]:
        """A box of the stack, slices counted as there."""
        return self._whole.read(z, y, x)
