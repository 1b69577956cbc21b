"""What kind of copy it is, from the pixels themselves: exact, symmetric, grey levels changed, noisy or overlapping."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_anneal.validation.leakage.motion import Motion, windows
from napari_anneal.validation.leakage.symmetry import transform

__all__ = ["Kind", "kind_of", "refined"]

Kind = Literal["exact", "symmetric", "grey", "noisy", "overlap"]
Grey = npt.NDArray[np.float32]

# Both images must show this share of the other to be the same picture and not two overlapping ones.
WHOLE = 0.97
# One image is a function of the other if that explains this share of its variance; rounding to 8 bits leaves more.
EXPLAINED = 0.99
CENTRE_PX = 384
MOST_PIXELS = 1 << 16


def refined(a: Grey, b: Grey, motion: Motion, reach_px: int) -> Motion:
    """The motion to the pixel, looked for within ``reach_px`` of the one given, on the middle of the overlap."""
    import cv2

    turned = transform(a, motion.symmetry)
    here, there = windows(turned.shape, b.shape, motion.shift)
    size = [min(CENTRE_PX, span.stop - span.start) for span in here]
    skip = [(span.stop - span.start - n) // 2 for span, n in zip(here, size, strict=True)]
    if min(size) <= 2 * reach_px + 8:
        return motion
    inner = tuple(
        slice(span.start + s + reach_px, span.start + s + n - reach_px)
        for span, s, n in zip(here, skip, size, strict=True)
    )
    around = tuple(slice(span.start + s, span.start + s + n) for span, s, n in zip(there, skip, size, strict=True))
    template = np.ascontiguousarray(turned[inner])
    if np.ptp(template) == 0:
        return motion
    scores = np.nan_to_num(cv2.matchTemplate(np.ascontiguousarray(b[around]), template, cv2.TM_CCOEFF_NORMED))
    dy, dx = divmod(int(np.abs(scores).argmax()), scores.shape[1])
    return Motion(motion.symmetry, (motion.shift[0] + dy - reach_px, motion.shift[1] + dx - reach_px))


def kind_of(a: Grey, b: Grey, motion: Motion) -> tuple[Kind, float]:
    """The kind, and the share of the smaller image that the other one shows."""
    turned = transform(a, motion.symmetry)
    here, there = windows(turned.shape, b.shape, motion.shift)
    first, second = turned[here], b[there]
    overlap = first.size / min(a.size, b.size)
    if first.size < WHOLE * max(a.size, b.size):
        return "overlap", overlap
    if np.array_equal(first, second):
        return ("symmetric" if motion.symmetry else "exact"), overlap
    return ("grey" if max(_explained(first, second), _explained(second, first)) >= EXPLAINED else "noisy"), overlap


def _explained(cause: Grey, effect: Grey) -> float:
    """Share of the variance of one image's ranks that any function of the other's grey values explains.

    Ranks (in 256 steps): a few very bright pixels would else be all the variance there is.
    """
    step = cause.size // MOST_PIXELS + 1
    bins, ranks = _ranks(cause.ravel()[::step]), _ranks(effect.ravel()[::step])
    count = np.maximum(np.bincount(bins), 1)
    means = np.bincount(bins, ranks) / count
    total = float(ranks.var())
    return 1 - float(np.mean((ranks - means[bins]) ** 2)) / total if total else 1.0


def _ranks(values: Grey) -> npt.NDArray[np.int64]:
    levels = np.unique(np.quantile(values, np.linspace(0, 1, 257)))
    return np.searchsorted(levels[1:-1], values).astype(np.int64)
