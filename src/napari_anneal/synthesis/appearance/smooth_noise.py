"""Smooth random fields of unit deviation: cubic B-splines through random numbers on a coarse grid."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["POWER_PER_AXIS", "NoiseField", "noise_field", "share_of", "smooth_noise"]

FloatImage = npt.NDArray[np.float32]
# Mean square of a cubic B-spline of unit white noise, per axis: ∫ of the summed squared weights over one knot interval.
POWER_PER_AXIS = 151 / 315


@dataclass(frozen=True, eq=False)
class NoiseField:
    """A smooth random field that is known by its knots alone, so that any plane of it can be had."""

    shape: tuple[int, ...]
    coarse: FloatImage
    step: npt.NDArray[np.float64]
    phase: npt.NDArray[np.float64]

    def whole(self) -> FloatImage:
        """The field, float32 ``(Z, Y, X)``."""
        out = np.empty(self.shape, dtype=np.float32)
        spline_rows(self.coarse, self.step, self.phase, out)
        return out

    def plane(self, z: int) -> FloatImage:
        """Plane ``z`` of the field, float32 ``(1, Y, X)``: the same bits as in the whole."""
        out = np.empty((1, *self.shape[1:]), dtype=np.float32)
        phase = self.phase.copy()
        phase[0] += z / self.step[0]
        spline_rows(self.coarse, self.step, phase, out)
        return out


def noise_field(
    shape: tuple[int, ...],
    length: float | tuple[float, float, float],
    rng: np.random.Generator,
    periodic: bool = False,
) -> NoiseField:
    """Draw the knots of a Gaussian random field of mean 0 and deviation 1 that varies over ``length`` px."""
    varying = [n > 1 for n in shape]
    step = np.maximum(np.broadcast_to(np.asarray(length, dtype=np.float64), 3), 1.0)
    if periodic:
        knots = [max(1, int(n / s)) if v else 1 for n, s, v in zip(shape, step, varying, strict=True)]
        step = np.array(shape) / knots
        coarse = rng.standard_normal(knots, dtype=np.float32)
        # Four more than there are, for the four that every pixel is between.
        again = [np.arange(k + 4) % k if v else np.zeros(1, int) for k, v in zip(knots, varying, strict=True)]
        coarse = np.ascontiguousarray(coarse[np.ix_(*again)])
    else:
        knots = [int(np.ceil(n / s)) + 4 if v else 1 for n, s, v in zip(shape, step, varying, strict=True)]
        coarse = rng.standard_normal(knots, dtype=np.float32)
    coarse *= np.float32(POWER_PER_AXIS ** (-sum(varying) / 2))
    # A random phase, so that no image has its knots on the same pixels as another.
    return NoiseField(tuple(shape), coarse, step.copy(), rng.random(3))


def smooth_noise(
    shape: tuple[int, ...],
    length: float | tuple[float, float, float],
    rng: np.random.Generator,
    periodic: bool = False,
) -> FloatImage:
    """Gaussian random field of mean 0 and deviation 1 that varies over ``length`` px; float32 ``(Z, Y, X)``.

    A 2D field is asked for with Z = 1; three lengths (Z, Y, X) make streaks. Twice continuously differentiable, so a
    shift by it bends without kinks. A periodic one continues itself across the sides; its length is then the next
    greater one that fits into the shape a whole number of times.
    """
    return noise_field(shape, length, rng, periodic).whole()


def share_of(noise: FloatImage, share: float, soft: float) -> FloatImage:
    """1 where a field of `smooth_noise` is highest and 0 elsewhere, with ramps so many deviations wide; float32.

    The share is that of the 1s on average over many fields; in one that holds few lengths of its variation it scatters.
    """
    if share >= 1:
        return np.ones_like(noise)
    threshold = NormalDist().inv_cdf(1 - share)
    return np.asarray(np.clip((noise - np.float32(threshold)) / np.float32(soft) + np.float32(0.5), 0, 1))


@compiled
def _weights(t: float, w: npt.NDArray[np.float32]) -> None:
    """The four cubic B-spline weights at the fraction t of a knot interval."""
    w[0] = (1.0 - t) ** 3 / 6.0
    w[1] = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
    w[2] = (-3.0 * t * t * t + 3.0 * t * t + 3.0 * t + 1.0) / 6.0
    w[3] = t * t * t / 6.0


@compiled
def spline_rows(
    coarse: FloatImage, step: npt.NDArray[np.float64], phase: npt.NDArray[np.float64], out: FloatImage
) -> None:
    """Evaluate the cubic B-spline of ``coarse`` at every pixel of ``out``; axes of one knot are constant."""
    depth, height, width = out.shape
    knots_z, knots_y, knots_x = coarse.shape
    wz, wy = np.zeros(4, np.float32), np.zeros(4, np.float32)
    line = np.empty(knots_x, np.float32)
    wx = np.zeros((width, 4), np.float32)
    for x in range(width):
        place = x / step[2] + phase[2] if knots_x > 1 else 0.0
        _weights(place - int(place), wx[x])
    for z in range(depth):
        place_z = z / step[0] + phase[0] if knots_z > 1 else 0.0
        base_z = int(place_z)
        _weights(place_z - base_z, wz)
        for y in range(height):
            place_y = y / step[1] + phase[1] if knots_y > 1 else 0.0
            base_y = int(place_y)
            _weights(place_y - base_y, wy)
            line[:] = 0.0
            for a in range(4 if knots_z > 1 else 1):
                for b in range(4 if knots_y > 1 else 1):
                    w = (wz[a] if knots_z > 1 else np.float32(1.0)) * (wy[b] if knots_y > 1 else np.float32(1.0))
                    row = coarse[base_z + a, base_y + b]
                    for k in range(knots_x):
                        line[k] += w * row[k]
            if knots_x == 1:
                out[z, y, :] = line[0]
                continue
            for x in range(width):
                k = int(x / step[2] + phase[2])
                w4 = wx[x]
                out[z, y, x] = w4[0] * line[k] + w4[1] * line[k + 1] + w4[2] * line[k + 2] + w4[3] * line[k + 3]
