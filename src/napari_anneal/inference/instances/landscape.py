"""The landscape that is flooded: low in the middle of grains or objects, high on boundaries; whole numbers throughout.

A pixel's height depends on the pixels within the reach only, and on whole-number arithmetic and single floating-point
operations, so a block with a frame of that width gives bit for bit what the whole volume gives.

Distances are Euclidean, exact up to the reach, between pixel centres. The squared distance is a sum over axes, each the
lower envelope of parabolas (Felzenszwalb & Huttenlocher 2012); within a short reach trying all of them is fastest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.instances.recipe import InstanceRecipe
from napari_anneal.synthesis.compiled import compiled

__all__ = ["Landscape", "squared_distance"]

Mask = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[np.float32]
Heights = npt.NDArray[np.uint16]
Squares = npt.NDArray[np.int32]
# Squared lengths in units of this part of the finest squared pixel size: anisotropy to half a percent of a pixel.
FINENESS = 64
TOP = 65535


@dataclass(frozen=True)
class Landscape:
    """Heights of a volume (2D: one plane) under a recipe.

    Attributes
    ----------
    recipe
        Kind, threshold, landscape, reach and depth are used.
    weights
        Squared pixel size along Z, Y, X over that of the finest axis, times `FINENESS`; 0 along axes that do not
        count.
    """

    recipe: InstanceRecipe
    weights: tuple[int, int, int]

    @classmethod
    def of(cls, recipe: InstanceRecipe, shape: tuple[int, int, int], steps: tuple[float, float, float]) -> Landscape:
        """For a volume of this shape and pixel size along Z, Y, X."""
        # There is nothing to go to along an axis of one pixel.
        told = [n > 1 and not (recipe.slices and axis == 0) for axis, n in enumerate(shape)]
        finest = min((s for s, counts in zip(steps, told, strict=True) if counts), default=1.0)
        z, y, x = (round(FINENESS * (s / finest) ** 2) if counts else 0 for s, counts in zip(steps, told, strict=True))
        return cls(recipe, (z, y, x))

    @property
    def halo(self) -> tuple[int, int, int]:
        """Pixels around a block that its heights depend on, along Z, Y, X."""
        if not self.needs_distance:
            return (0, 0, 0)
        z, y, x = (int(np.sqrt(self._cap / w)) if w else 0 for w in self.weights)
        return z, y, x

    @property
    def needs_distance(self) -> bool:
        """Whether heights depend on distances."""
        return self.recipe.split and self.recipe.flooded != "probability"

    @property
    def units(self) -> float:
        """Height of one pixel of depth."""
        # From −top in the middle to twice the top on a crest.
        return (TOP - 1) / (3 * self.top)

    @property
    def top(self) -> float:
        """Depth of a pixel as far away as the reach, px."""
        return float(self._depth_of(np.float64(self.recipe.reach)))

    @property
    def depth(self) -> int:
        """Seed depth as a height, 1 or more: flats are never cut."""
        return max(1, round(self.recipe.seed_depth * self.units))

    def mask(self, given: npt.NDArray[Any], value: int | None) -> Mask:
        """Pixels that are boundary (objects: object); ``value`` is the label that is, for label maps."""
        if given.dtype.kind == "f":
            return np.asarray(given >= np.float32(self.recipe.threshold))
        if given.dtype.kind == "b":
            return given
        return np.asarray(given != 0 if value is None else given == value)

    def heights(self, given: npt.NDArray[Any], value: int | None) -> tuple[Heights, Mask]:
        """Heights, and the pixels that are flooded; those outside have no meaning.

        Parameters
        ----------
        given
            Probabilities (float), labels or a mask, ``(Z, Y, X)``, with a frame of `halo`.
        value
            The label that is boundary or object; ``None``: all but 0.
        """
        marked = self.mask(given, value)
        grains = self.recipe.kind == "boundaries"
        if not self.recipe.split:
            return np.zeros(given.shape, np.uint16), marked
        soft: npt.NDArray[Any] = given if given.dtype.kind == "f" else marked
        probability = np.ascontiguousarray(soft, dtype=np.float32)
        out = np.empty(given.shape, np.uint16)
        table = self._depth_of(np.sqrt(np.arange(self._cap + 1) / FINENESS))
        flat = np.zeros((1, 1, 1), np.int32)
        # Distance to the boundary in grains and to the edge of the boundary in boundaries; to the ground in objects.
        outside = squared_distance(marked, self.weights, self._cap) if grains and self.needs_distance else flat
        inside = squared_distance(~marked, self.weights, self._cap) if self.needs_distance else flat
        style = {"distance": 0, "probability": 1, "both": 2}[self.recipe.flooded]
        _heights(
            grains, probability, marked, outside, inside, table, style,
            float(np.float32(self.recipe.threshold)), self.top, self.units, out,
        )  # fmt: skip
        return out, np.ones(given.shape, bool) if grains else marked

    def _depth_of(self, distance: Any) -> Any:
        """Depth of pixels at these distances: necks are judged by the ratio to the grain where grains are large."""
        scale = self.recipe.scale
        return scale * np.log1p(distance / scale)

    @property
    def _cap(self) -> int:
        return round(self.recipe.reach**2 * FINENESS)


def squared_distance(target: Mask, weights: tuple[int, int, int], cap: int) -> Squares:
    """Squared distance to the nearest pixel of the target, ``cap`` where it is more; int32 ``(Z, Y, X)``.

    Parameters
    ----------
    target
        bool ``(Z, Y, X)``.
    weights
        Squared length of a step along each axis; 0: along this axis there is none.
    cap
        Squared length from which all distances are alike.
    """
    out = np.empty(target.shape, np.int32)
    _along_rows(np.ascontiguousarray(target), weights[2], cap, out)
    for axis in (1, 0):
        if weights[axis]:
            # (outer, along, rest): whole rows are compared at a time.
            rows = out.reshape(1, len(out), -1) if axis == 0 else out
            out = _across_rows(rows, weights[axis]).reshape(target.shape)
    return out


@compiled
def _along_rows(target: Mask, weight: int, cap: int, out: Squares) -> None:
    """Squared distance within every row, by a scan each way."""
    depth, height, width = target.shape
    # More steps than any reach has.
    far = 4096
    for z in range(depth):
        for y in range(height):
            steps = far
            for x in range(width):
                steps = 0 if target[z, y, x] else min(steps + 1, far)
                # Along an axis of one pixel there is nothing to go to.
                out[z, y, x] = min(steps * steps * weight if weight else steps * cap, cap)
            steps = far
            for x in range(width - 1, -1, -1):
                steps = 0 if target[z, y, x] else min(steps + 1, far)
                if weight:
                    out[z, y, x] = min(out[z, y, x], steps * steps * weight)


@compiled
def _across_rows(square: Squares, weight: int) -> Squares:
    """Least of ``square[:, j ± k] + weight · k²`` for every j."""
    outer, length, rest = square.shape
    out = square.copy()
    for i in range(outer):
        for j in range(length):
            row = out[i, j]
            # A parabola that begins higher than all of the row lowers nothing.
            highest = np.int32(0)
            for m in range(rest):
                highest = max(highest, row[m])
            k = 1
            while weight * k * k < highest:
                add = np.int32(weight * k * k)
                if j >= k:
                    before = square[i, j - k]
                    for m in range(rest):
                        row[m] = min(row[m], before[m] + add)
                if j + k < length:
                    after = square[i, j + k]
                    for m in range(rest):
                        row[m] = min(row[m], after[m] + add)
                k += 1
    return out


@compiled
def _heights(
    grains: bool,
    probability: FloatImage,
    marked: Mask,
    outside: Squares,
    inside: Squares,
    table: npt.NDArray[np.float64],
    style: int,
    threshold: float,
    top: float,
    units: float,
    out: Heights,
) -> None:
    """−top in the middle of grains or objects, rising to 0 at their edge, by distance, probability or both.

    Boundaries between grains go on rising, up to twice the top on their crest. The ground around objects is 0.
    """
    layers, height, width = marked.shape
    for z in range(layers):
        for y in range(height):
            for x in range(width):
                p = np.float64(probability[z, y, x])
                within = (p - threshold) / (1.0 - threshold)
                h = 0.0
                if grains and marked[z, y, x]:
                    if style != 0:
                        h += top * within
                    if style != 1:
                        h += table[inside[z, y, x]]
                elif grains or marked[z, y, x]:
                    h = -top
                    if style != 1:
                        h = -table[outside[z, y, x]] if grains else -table[inside[z, y, x]]
                    if style != 0:
                        h *= 1.0 - p / threshold if grains else within
                out[z, y, x] = np.uint16((h + top) * units + 0.5)
