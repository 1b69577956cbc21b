"""Where the pixels of one image lie in its copy: a symmetry, then a shift; how two such steps make one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_anneal.validation.leakage.symmetry import compose, inverse, transform_points

__all__ = ["Motion", "Shape", "windows"]

Shape = tuple[int, int]


@dataclass(frozen=True)
class Motion:
    """Pixel p of ``transform(a, symmetry)`` is pixel p + shift of b; shift (y, x) in pixels."""

    symmetry: int
    shift: tuple[int, int]

    def then(self, following: Motion, first: Shape, second: Shape) -> Motion:
        """From a over b to c, where ``first`` and ``second`` are the shapes of a and b."""
        k = compose(following.symmetry, self.symmetry)
        end = following.at(self.at((0, 0), first), second)
        return Motion(k, _minus(end, Motion(k, (0, 0)).at((0, 0), first)))

    def back(self, first: Shape, second: Shape) -> Motion:
        """From b to a, where ``first`` and ``second`` are the shapes of a and b."""
        k = inverse(self.symmetry)
        return Motion(k, _minus((0, 0), Motion(k, (0, 0)).at(self.at((0, 0), first), second)))

    def at(self, point: tuple[int, int], shape: Shape) -> tuple[int, int]:
        """Where a point of a, an image of this shape, lies in b."""
        y, x = transform_points(np.array([point], dtype=np.float64), shape, self.symmetry)[0]
        return round(y) + self.shift[0], round(x) + self.shift[1]


def windows(a: Shape, b: Shape, shift: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Windows of two images that lie on one another when pixel p of the first is pixel p + shift of the second."""
    spans = [(max(0, -move), min(n, m - move), move) for n, m, move in zip(a, b, shift, strict=True)]
    (top, bottom, dy), (left, right, dx) = ((begin, max(begin, end), move) for begin, end, move in spans)
    return (slice(top, bottom), slice(left, right)), (slice(top + dy, bottom + dy), slice(left + dx, right + dx))


def _minus(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
    return p[0] - q[0], p[1] - q[1]
