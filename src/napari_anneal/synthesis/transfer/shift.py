"""How far boundaries moved between two images: mean profiles across every boundary, laid over one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BoundaryShift", "boundary_shift"]

FloatArray = npt.NDArray[np.float64]
# Profiles reach this far to either side of a boundary, in steps of half a pixel; shifts are sought up to FARTHEST, px.
REACH, STEP, FARTHEST = 5.0, 0.5, 3.0
# A boundary shorter than this many pixels of its surroundings has no profile worth the name.
FEWEST = 60
# A profile is visible where it changes by this many standard errors of its points.
VISIBLE = 8.0


@dataclass(frozen=True, eq=False)
class BoundaryShift:
    """What `boundary_shift` measures.

    Attributes
    ----------
    shift
        px that 95 % of the visible boundaries stay within; ``nan`` where none is visible in both images.
    each
        float64 ``(B,)`` px by which each visible boundary moved, towards the grain of the higher label.
    lost
        Share of the boundaries visible before that are not visible after.
    """

    shift: float
    each: FloatArray
    lost: float


def boundary_shift(
    before: npt.NDArray[np.floating],
    after: npt.NDArray[np.floating],
    grains: npt.NDArray[np.integer],
    distance: npt.NDArray[np.floating],
) -> BoundaryShift:
    """Shift of every boundary between two grains that brings its mean profile in both images together best.

    Parameters
    ----------
    before, after
        Images ``(Y, X)`` or ``(Z, Y, X)``.
    grains
        Labels, same shape.
    distance
        Distance to the nearest boundary, px, same shape: profiles are taken along it, so they are as sharp as it is.

    Returns
    -------
    BoundaryShift
        Sub-pixel: blind to what changes a profile evenly on both sides (blur, contrast, noise).
    """
    facet, place = _signed_places(grains, distance)
    inside = facet >= 0
    facet, place = facet[inside], place[inside]
    points = round(2 * REACH / STEP) + 1
    old, new = (_profiles(np.asarray(image, np.float64)[inside], facet, place, points) for image in (before, after))
    enough = old.pixels >= FEWEST
    seen_before = enough & (old.contrast > VISIBLE)
    seen = seen_before & (new.contrast > VISIBLE)
    each = _best_shifts(old.mean[seen], new.mean[seen])
    lost = 1 - seen.sum() / seen_before.sum() if seen_before.any() else 0.0
    return BoundaryShift(float(np.quantile(np.abs(each), 0.95)) if len(each) else np.nan, each, float(lost))


def _signed_places(
    grains: npt.NDArray[np.integer], distance: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Number of the boundary that a pixel is near (−1: none), and its distance, negative in the lower label."""
    from scipy import ndimage

    labels = grains.astype(np.int64)
    count = int(labels.max()) + 1
    # A pixel at a face between two grains stands for the boundary of these two.
    pair = np.full(labels.shape, -1, dtype=np.int64)
    for axis in range(labels.ndim):
        a = labels.take(range(labels.shape[axis] - 1), axis)
        b = labels.take(range(1, labels.shape[axis]), axis)
        code = np.where(a != b, np.minimum(a, b) * count + np.maximum(a, b), -1)
        for side in (slice(None, -1), slice(1, None)):
            part = pair[(slice(None),) * axis + (side,)]
            np.maximum(part, code, out=part)
    if not (pair >= 0).any():
        return pair, np.zeros(labels.shape)
    nearest = ndimage.distance_transform_edt(pair < 0, return_distances=False, return_indices=True)
    code = pair[tuple(nearest)]
    low, high = np.divmod(code, count)
    near = (distance <= REACH) & ((labels == low) | (labels == high))
    facet = np.full(labels.shape, -1, dtype=np.int64)
    facet[near] = np.unique(code[near], return_inverse=True)[1].reshape(-1)
    return facet, np.where(labels == low, -1.0, 1.0) * distance


@dataclass(frozen=True, eq=False)
class _Profiles:
    """Mean grey ``(B, points)`` across each boundary, its pixels, and its change in standard errors of a point."""

    mean: FloatArray
    pixels: npt.NDArray[np.int64]
    contrast: FloatArray


def _profiles(values: FloatArray, facet: npt.NDArray[np.int64], place: FloatArray, points: int) -> _Profiles:
    """Average pixels by their distance, each shared between the two nearest points of a profile."""
    count = int(facet.max()) + 1 if len(facet) else 0
    at = (place + REACH) / STEP
    lower = np.clip(np.floor(at).astype(np.int64), 0, points - 2)
    upper = at - lower
    total, weight, square = (np.zeros(count * points) for _ in range(3))
    for index, share in ((lower, 1 - upper), (lower + 1, upper)):
        flat = facet * points + index
        total += np.bincount(flat, share * values, count * points)
        square += np.bincount(flat, share * values**2, count * points)
        weight += np.bincount(flat, share, count * points)
    # Along an axis the distances of pixels are all whole or all half numbers: points share with their neighbours.
    total, weight, square = (_share(sums.reshape(count, points)) for sums in (total, weight, square))
    known = weight > 0.5
    mean = total / np.maximum(weight, 1e-9)
    # Points without pixels (short boundaries) take the mean of the others, which no shift prefers.
    middle = np.sum(mean * known, axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, mean, middle)
    variance = np.maximum(square / np.maximum(weight, 1e-9) - mean**2, 0) * known
    error = np.sqrt(variance.sum(axis=1) / np.maximum(weight.sum(axis=1), 1)) + 1e-6
    inner = mean[:, 2:-2]
    return _Profiles(mean, np.bincount(facet, minlength=count), (inner.max(axis=1) - inner.min(axis=1)) / error)


def _share(sums: FloatArray) -> FloatArray:
    """Half of every point for each of its two neighbours, for means over one pixel instead of half of one."""
    shared = sums.copy()
    shared[:, 1:] += 0.5 * sums[:, :-1]
    shared[:, :-1] += 0.5 * sums[:, 1:]
    return shared


def _best_shifts(old: FloatArray, new: FloatArray) -> FloatArray:
    """Shift (px) of each profile of ``new`` against ``old`` at which they are most alike (correlation)."""
    points = old.shape[1]
    reach = round(FARTHEST / STEP)
    shifts = np.arange(-reach, reach + 1)
    alike = np.empty((len(old), len(shifts)))
    for k, s in enumerate(shifts):
        a = old[:, max(0, -s) : points - max(0, s)]
        b = new[:, max(0, s) : points - max(0, -s)]
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
        alike[:, k] = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1) + 1e-20)
    best = alike.argmax(axis=1)
    # A parabola through the best and its neighbours gives what lies between the steps.
    inner = np.clip(best, 1, len(shifts) - 2)
    row = np.arange(len(old))
    left, middle, right = alike[row, inner - 1], alike[row, inner], alike[row, inner + 1]
    bend = left - 2 * middle + right
    part = np.where(np.abs(bend) > 1e-12, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0.0)
    return np.asarray((shifts[best] + np.where(best == inner, np.clip(part, -0.5, 0.5), 0.0)) * STEP, dtype=np.float64)
