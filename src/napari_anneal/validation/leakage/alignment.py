"""Is it really a copy: the detail of two images laid on one another and compared square by square.

One figure for the whole overlap would be led by whatever is most alike: the data bar of a microscope, the same on
every micrograph, would make all of them copies. So each square of the overlap has a correlation of its own, and their
mean is held against their scatter (Student's t): unrelated images scatter about zero, however structured they are,
and what that scatter is need not be known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.validation.leakage.detail import STEPS
from napari_anneal.validation.leakage.motion import Motion, windows
from napari_anneal.validation.leakage.symmetry import transform

__all__ = ["Alignment", "align"]

Steps = npt.NDArray[np.int8]

SQUARE_PX, SEARCH_PX = 16, 3
# A square with less than this share of the usual variance is blank.
BLANK = 0.05
LEAST_CORRELATION, LEAST_MEDIAN = 0.2, 0.15
# Chance of one comparison of unrelated images to pass; tens of thousands are made among a thousand images.
CHANCE = 1e-10


@dataclass(frozen=True)
class Alignment:
    """How one image lies on another, and how alike they are there.

    ``motion`` in reduced pixels; ``correlation`` the mean over squares, negative for an inverted copy; ``median``
    theirs; ``t`` the mean over its standard error; ``squares`` how many were compared.
    """

    motion: Motion
    correlation: float
    median: float
    t: float
    squares: int

    @property
    def is_copy(self) -> bool:
        """Whether chance is ruled out, and it is most of the overlap that agrees."""
        from scipy import stats

        sign = np.sign(self.correlation)
        return bool(
            sign * self.correlation >= LEAST_CORRELATION
            and sign * self.median >= LEAST_MEDIAN
            and abs(self.t) > stats.t.isf(CHANCE, self.squares - 1)
        )


def align(a: Steps, b: Steps, motion: Motion) -> Alignment | None:
    """Refine the shift by up to 3 px and compare; ``None`` where too little overlaps."""
    import cv2

    turned = transform(a, motion.symmetry)
    here, there = windows(_shape(turned), _shape(b), motion.shift)
    inner = tuple(slice(span.start + SEARCH_PX, span.stop - SEARCH_PX) for span in here)
    if any(span.stop - span.start < SQUARE_PX for span in inner):
        return None
    template = np.ascontiguousarray(turned[inner], dtype=np.float32)
    scores = cv2.matchTemplate(b[there].astype(np.float32), template, cv2.TM_CCORR_NORMED)
    dy, dx = divmod(int(np.abs(scores).argmax()), scores.shape[1])
    shift = (motion.shift[0] + dy - SEARCH_PX, motion.shift[1] + dx - SEARCH_PX)
    here, there = windows(_shape(turned), _shape(b), shift)
    squares = _correlations(*(np.float32(1 / STEPS) * part.astype(np.float32) for part in (turned[here], b[there])))
    if len(squares) < 4:
        return None
    mean, spread = float(squares.mean()), float(squares.std(ddof=1))
    t = mean / (spread / np.sqrt(len(squares)) + 1e-9)
    return Alignment(Motion(motion.symmetry, shift), mean, float(np.median(squares)), float(t), len(squares))


def _correlations(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Correlation of every whole square; squares that are blank in both images are left out."""
    rows, columns = (n // SQUARE_PX for n in a.shape)

    def sums(product: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        whole = product[: rows * SQUARE_PX, : columns * SQUARE_PX].reshape(rows, SQUARE_PX, columns, SQUARE_PX)
        return np.asarray(whole.sum(axis=(1, 3), dtype=np.float64).ravel())

    both, power_a, power_b = sums(a * b), sums(a * a), sums(b * b)
    blank = BLANK * SQUARE_PX**2
    seen = (power_a > blank) | (power_b > blank)
    power = np.maximum(power_a[seen], blank) * np.maximum(power_b[seen], blank)
    return np.asarray(both[seen] / np.sqrt(power), dtype=np.float64)


def _shape(image: npt.NDArray[np.int8]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
