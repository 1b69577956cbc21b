"""Samples → the planes among which copies are looked for: every 2D image, and the slices of stacks that matter."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.samples.sample import Sample

__all__ = ["Plane", "content", "fingerprint", "grey", "planes_of"]

# Painted slices are the ones that train; the others are there so that a slice saved as an image is found.
PAINTED_SLICES, OTHER_SLICES = 64, 16


@dataclass(frozen=True)
class Plane:
    """A 2D image: the number of its sample, and the slice of a stack (``None`` for a 2D image)."""

    sample: int
    z: int | None


def planes_of(samples: Sequence[Sample]) -> list[Plane]:
    """List the planes of all samples; of a stack at most 64 painted slices and 16 others, evenly spread."""
    planes = []
    for number, sample in enumerate(samples):
        if not sample.is_stack:
            planes.append(Plane(number, None))
            continue
        painted = [part.z for part in sample.painted_slices() if part.z is not None]
        picks = {*_spread(painted, PAINTED_SLICES), *_spread(range(sample.spatial_shape[0]), OTHER_SLICES)}
        planes += [Plane(number, z) for z in sorted(picks)]
    return planes


def grey(sample: Sample, plane: Plane) -> npt.NDArray[np.float32]:
    """Read a plane as grey float32 ``(Y, X)``: the mean over colours; what is not finite becomes the median."""
    image = sample.channels_first(slice(None) if plane.z is None else plane.z)
    values = np.asarray(image[0] if len(image) == 1 else image.mean(axis=0, dtype=np.float64), dtype=np.float32)
    fine = np.isfinite(values)
    if not fine.all():
        values = np.where(fine, values, np.median(values[fine]) if fine.any() else 0).astype(np.float32)
    return values


def content(image: npt.NDArray[np.float32]) -> bytes:
    """Hash of shape and pixels."""
    shape = np.array(image.shape, np.int64).tobytes()
    return hashlib.blake2b(shape + np.ascontiguousarray(image).tobytes(), digest_size=16).digest()


def fingerprint(image: npt.NDArray[np.float32]) -> tuple[int, ...]:
    """Numbers that an image has in common with its eight symmetric versions, and hardly with any other image.

    Sums of powers of the bit patterns modulo 2⁶⁴: exact, whatever the order. Empty for a constant image, which shows
    nothing.
    """
    if (image == image.flat[0]).all():
        return ()
    bits = image.view(np.uint32).astype(np.uint64)
    powers = (bits, bits * bits, bits * bits * bits)
    return (*sorted(image.shape), *(int(power.sum(dtype=np.uint64)) for power in powers))


def _spread(choices: Sequence[int], most: int) -> list[int]:
    picks = np.unique(np.linspace(0, len(choices) - 1, min(len(choices), most)).round().astype(int))
    return [int(choices[i]) for i in picks] if len(choices) else []
