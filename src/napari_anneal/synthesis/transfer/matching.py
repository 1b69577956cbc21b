"""Give a synthetic image the grey levels, the power by frequency and the noise of a real one; boundaries stay in place.

Three means, none of which can carry a boundary along: a rising map of grey levels (each pixel by itself), a filter of
zero phase alike in all directions, and noise. Matching the amplitude while keeping the phase is the idea of Fourier
domain adaptation (Yang & Soatto, CVPR 2020); here it is matched as far as a difference in sharpness goes, since its
detail holds the objects of the real image, which have no place in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.transfer.look import SHARES, RealLook
from napari_anneal.synthesis.transfer.noise import Noise, estimate_noise
from napari_anneal.synthesis.transfer.shift import boundary_shift
from napari_anneal.synthesis.transfer.spectrum import BINS, radial_filter, radial_power

__all__ = ["Matched", "look_distance", "match_image"]

FloatArray = npt.NDArray[np.float64]
# More than this would raise what is nothing but noise, and less is nothing.
LEAST_GAIN, MOST_GAIN = 0.05, 2.0
# Pull of the Gaussian towards none, in units of one bin that is free of noise.
PULL = 0.004
# Steepest a map of grey levels may be, against the ratio of the contrasts, and flattest, as one over it: a steeper one
# would cut texture into black and white where the real image has two phases and this one has not.
STEEPEST = 1.5
# Likewise for the last map, which only settles what the noise has changed.
STEEPEST_LAST = 1.15
# Noise adds its own uncertainty to where a boundary is found; with it, boundaries stay within 1 px.
MOST_SHIFT = 0.8
# Shares of the amplitude and of the grey levels that are matched, tried in this order until boundaries stay.
WEAKER = ((1.0, 1.0), (0.5, 1.0), (0.25, 1.0), (0.0, 1.0), (0.0, 0.5), (0.0, 0.0))


@dataclass(frozen=True, eq=False)
class Matched:
    """What `match_image` returns.

    Attributes
    ----------
    image
        float32 in [0, 1], in the shape of the input.
    filter_share, level_share
        Shares of the matching of the amplitude and of the grey levels that were carried out: less than 1 where more
        would have moved a boundary.
    shift
        How far boundaries moved, px (see `boundary_shift`); ``nan`` where no labels were given or none is visible.
    """

    image: npt.NDArray[np.float32]
    filter_share: float
    level_share: float
    shift: float


def match_image(
    image: npt.NDArray[np.floating],
    look: RealLook,
    seed: int = 0,
    *,
    which: int | None = None,
    noise: Noise | None = None,
    grains: npt.NDArray[np.integer] | None = None,
    distance: npt.NDArray[np.floating] | None = None,
) -> Matched:
    """Match an image to one of the real images of a look; the same image, look and seed give the same bytes.

    Sharpness is matched first, then the grey levels; the noise that the real image has beyond that of this one is
    added, and last the grey levels are matched again, now noise and all. Nothing takes
    noise away but the filter, where the real image is less sharp. No map of grey levels is steeper than 1.5 times
    the ratio of the contrasts, so where the real image has another share of a phase the levels agree less.

    Parameters
    ----------
    image
        ``(Y, X)`` or ``(Z, Y, X)``, grey levels in [0, 1].
    look
        What to match, and how far (`RealLook.strength`).
    seed
        Draws the real image, and the noise.
    which
        Which of the real images, from 0; ``None``: drawn.
    noise
        The noise that the image has; ``None``: estimated.
    grains, distance
        Labels, and distance (px) to their boundaries: with both, the match is weakened where it would move boundaries
        by more than 1 px.

    Raises
    ------
    InputError
        The image is not 2D or 3D or is tiny, or the look has no image of that number.
    """
    if image.ndim not in (2, 3) or min(image.shape[-2:]) < 8:
        raise InputError(
            f"an image of shape {image.shape} cannot be matched; give (Y, X) or (Z, Y, X) with 8 pixels along Y and X."
        )
    rng = generator(seed, Step.MATCH)
    chosen = int(rng.integers(look.count))
    if which is not None:
        if not 0 <= which < look.count:
            raise InputError(f"the look holds {look.count} images, so there is no number {which}; count from 0.")
        chosen = which
    start = np.asarray(image, dtype=np.float64)
    for filter_share, level_share in WEAKER:
        signal = _match_signal(start, look, chosen, filter_share, level_share, noise)
        shift = np.nan
        if grains is not None and distance is not None:
            shift = boundary_shift(*map(_middle, (start, signal, grains, distance))).shift
        if not shift > MOST_SHIFT:
            break
    missing = _missing_noise(signal, look, chosen, noise)
    noisy = signal + look.strength * np.sqrt(missing) * rng.standard_normal(signal.shape, dtype=np.float32)
    final = match_levels(noisy, np.array(look.levels[chosen]), look.strength * level_share, STEEPEST_LAST)
    return Matched(np.clip(final, 0, 1).astype(np.float32), filter_share, level_share, float(shift))


def _match_signal(
    start: FloatArray, look: RealLook, which: int, filter_share: float, level_share: float, noise: Noise | None
) -> FloatArray:
    """Amplitude and grey levels of the real image, less what its noise will bring."""
    signal = start
    if filter_share > 0:
        own = float((noise or _estimated(start)).variance(start).mean())
        power = np.mean([radial_power(plane) for plane in _planes(start)], axis=0)
        gain = gaussian_gain((power, np.full(BINS, own)), _real_power(look, which))
        signal = radial_filter(start, gain ** (filter_share * look.strength))
    strength = level_share * look.strength
    levels = np.array(look.levels[which])
    # How much noise is missing hangs on the grey levels, so these are matched before it is known, and then again.
    missing = float(_missing_noise(match_levels(signal, levels, strength), look, which, noise).mean())
    return match_levels(signal, _without_noise(levels, missing), strength)


def _real_power(look: RealLook, which: int) -> tuple[FloatArray, FloatArray]:
    """Power of a real image, and of the noise in it."""
    noise = Noise(look.read_noise[which], look.gain[which]).variance(np.array(look.levels[which])).mean()
    return np.array(look.power[which]), np.full(BINS, float(noise))


def _middle(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Middle of a large array, enough to see whether boundaries move."""
    most = 1024 if array.ndim == 2 else 128
    start = [max(0, (n - most) // 2) for n in array.shape]
    return np.asarray(array[tuple(slice(s, s + most) for s in start)])


def gaussian_gain(now: tuple[FloatArray, FloatArray], wanted: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Gain (at most a Gaussian of the frequency) that makes an image as sharp as another.

    Both are told by their power and that of the noise in it. A Gaussian is the difference between two point spreads.
    What else tells spectra apart (the spacing of fibres, the size of grains) is geometry, and a filter made of that
    would ring and turn texture into ghosts of objects.
    """
    frequency = (np.arange(BINS) + 0.5) / (2 * BINS)
    change, trust = np.zeros(BINS), np.ones(BINS)
    for (power, noise), sign in ((now, -0.5), (wanted, 0.5)):
        clear = np.maximum(power - noise, 0.02 * power) + 1e-15
        change += sign * np.log(clear)
        # Where noise is most of the power, what is left of it is a guess.
        trust = np.minimum(trust, np.clip(1.25 * clear / (power + 1e-15) - 0.25, 1e-3, 1))
    # Contrast and a power law are fitted beside it and left alone: those are the other grey levels and the geometry.
    # A little pull towards no change, for where all but the coarsest frequencies are noise.
    terms = np.column_stack([np.ones(BINS), np.log(frequency), frequency**2]) * trust[:, None]
    pulled = np.vstack([terms, [0.0, 0.0, PULL]])
    slope = np.linalg.lstsq(pulled, np.append(change * trust, 0.0), rcond=None)[0][2]
    return np.asarray(np.clip(np.exp(slope * frequency**2), LEAST_GAIN, MOST_GAIN), dtype=np.float64)


def match_levels(
    image: FloatArray, levels: FloatArray, strength: float = 1.0, steepest: float = STEEPEST
) -> FloatArray:
    """Map grey levels so that these shares of the pixels lie below these levels: rising, so no boundary moves."""
    own, group = np.unique(np.quantile(image, SHARES), return_inverse=True)
    # Where many pixels are alike, they all take the middle of the levels they stand for.
    count = np.bincount(group)
    wanted = np.bincount(group, levels) / count
    if len(own) < 2:
        return np.asarray((1 - strength) * image + strength * wanted[0], dtype=np.float64)
    ratio = max(float(np.sqrt(np.cov(wanted, fweights=count) / np.cov(own, fweights=count))), 1e-6)
    slope = np.clip(np.diff(wanted) / np.diff(own), ratio / steepest, ratio * steepest)
    limited = np.concatenate([[0.0], np.cumsum(slope * np.diff(own))])
    limited += np.average(wanted - limited, weights=count)
    return np.asarray((1 - strength) * image + strength * np.interp(image, own, limited), dtype=np.float64)


def _without_noise(levels: FloatArray, variance: float) -> FloatArray:
    """Levels drawn together about their mean, to the deviation that noise of this variance will widen again."""
    mean, total = float(levels.mean()), float(levels.var())
    return np.asarray(mean + (levels - mean) * np.sqrt(max(1 - variance / max(total, 1e-12), 0.05)), dtype=np.float64)


def _missing_noise(signal: FloatArray, look: RealLook, which: int, noise: Noise | None) -> FloatArray:
    """Variance that the noise of the real image has beyond that of this one, at every pixel."""
    real = Noise(look.read_noise[which], look.gain[which])
    own = noise or _estimated(signal)
    return np.asarray(np.maximum(real.variance(signal) - own.variance(signal), 0.0), dtype=np.float64)


def _estimated(image: FloatArray) -> Noise:
    """Noise of an image or of the planes of a volume."""
    found = [estimate_noise(plane) for plane in _planes(image)]
    return Noise(float(np.median([n.read for n in found])), float(np.median([n.gain for n in found])))


def _planes(image: FloatArray) -> FloatArray:
    """Up to six planes ``(P, Y, X)`` of an image or a volume."""
    stack = image if image.ndim == 3 else image[None]
    return np.asarray(stack[np.linspace(0, len(stack) - 1, min(len(stack), 6)).round().astype(int)], dtype=np.float64)


def look_distance(image: npt.NDArray[np.floating], look: RealLook, which: int = 0) -> tuple[float, float]:
    """How far an image is from a real one: mean difference of sorted grey levels, and RMS difference of ln power.

    The first is the Wasserstein distance but for the darkest and brightest hundredth of the pixels; the second is
    taken over the frequency bins of the look.
    """
    shares = np.linspace(0.01, 0.99, 99)
    grey = np.abs(np.quantile(image, shares) - np.interp(shares, SHARES, look.levels[which])).mean()
    power = np.mean([radial_power(plane) for plane in _planes(np.asarray(image, dtype=np.float64))], axis=0)
    apart = np.log(np.maximum(power, 1e-12)) - np.log(np.maximum(look.power[which], 1e-12))
    return float(grey), float(np.sqrt(np.mean(apart**2)))
