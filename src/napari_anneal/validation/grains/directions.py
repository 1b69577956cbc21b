"""Directions of test lines on a lattice of pixels, weighted so that no boundary counts too much whichever way it runs.

Lines of direction u cross a flat boundary of normal n in proportion to |u · n|. Averaged over all directions that is
the same for every n (2 / π in the plane, ½ in space); averaged over a few of weight w it is Σ w |u · n|, which differs
from n to n. Weights by the nearest direction leave cubes whose faces lie along the axes 8 % too large. Here the weights
are those that keep the error of the *worst* normal below a bound with steps as short as they can be (a linear
programme), so the bound holds for every structure, also one whose boundaries all run the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

__all__ = ["Directions", "even_directions"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# The error aimed at: 0.011 of N_L is 0.03 of G, 0.0135 is 0.04. Less takes longer steps, which miss more short chords.
AIM = {2: 0.011, 3: 0.0135}
# Steps reach this many times the longest side of a pixel, and two of them are at least so far apart.
REACH, APART_DEG = 3.2, {2: 4.0, 3: 11.0}
# Voxels flatter than this allows are measured with what there is.
FARTHEST = 24
# Normals tried: few at first, and where the worst of many is worse than it should be, that one too.
FIRST, MANY, ROUNDS, SLACK, ADDED = {2: 360, 3: 400}, {2: 3600, 3: 3000}, 12, 3e-4, 150
# A step's length beside the error of the worst normal, in the balance of both.
SHORTNESS = 1e-3


@dataclass(frozen=True, eq=False)
class Directions:
    """Steps on the lattice and what each stands for.

    Attributes
    ----------
    steps
        int64 ``(D, ndim)``, in pixels along (Z,) Y, X.
    weight
        float64 ``(D,)``, sum 1.
    error
        Largest relative error of the mean number of crossings over all normals a boundary can have.
    """

    steps: IntArray
    weight: FloatArray
    error: float


@lru_cache(maxsize=32)
def even_directions(size: tuple[float, ...]) -> Directions:
    """Directions for pixels of this size along each axis (2 or 3 of them)."""
    from scipy.optimize import linprog

    ndim = len(size)
    steps, length = _candidates(size)
    unit = steps * np.array(size) / length[:, None]
    isotropic = 2 / math.pi if ndim == 2 else 0.5
    many = np.abs(np.concatenate([_normals(ndim, MANY[ndim]), _least(unit)]) @ unit.T) / isotropic
    tried = np.abs(_normals(ndim, FIRST[ndim]) @ unit.T) / isotropic
    cost = np.append(SHORTNESS * length / max(size), 1.0)
    for _ in range(ROUNDS):
        ones = np.ones((len(tried), 1))
        found = linprog(
            cost,
            A_ub=np.block([[tried, -ones], [-tried, -ones]]),
            b_ub=np.concatenate([ones[:, 0], -ones[:, 0]]),
            A_eq=np.append(np.ones(len(steps)), 0.0)[None],
            b_eq=[1.0],
            bounds=[(0, None)] * len(steps) + [(AIM[ndim], None)],
        )
        weight, bound = found.x[:-1], float(found.x[-1])
        error = np.abs(many @ weight - 1)
        if error.max() <= bound + SLACK:
            break
        # The worst lie close together, so some of all that are too bad.
        worst = np.argsort(-error)[: int((error > bound + SLACK).sum())]
        tried = np.concatenate([tried, many[worst[:: 1 + len(worst) // ADDED]]])
    used = weight > 1e-9
    return Directions(steps[used], weight[used] / weight[used].sum(), float(error.max()))


def _candidates(size: tuple[float, ...]) -> tuple[IntArray, FloatArray]:
    """Steps without a shorter one along them, up to sign, the shortest first, and their lengths."""
    reach = REACH * max(size)
    most = [min(int(reach / s), FARTHEST) for s in size]
    found = np.array(list(product(*[range(-n, n + 1) for n in most])), dtype=np.int64)
    length: FloatArray = np.linalg.norm(found * np.array(size), axis=1).astype(np.float64)
    first = np.array([tuple(step) > (0,) * len(size) and math.gcd(*step) == 1 for step in found.tolist()])
    kept = np.flatnonzero(first & (length <= reach))
    kept = kept[np.argsort(length[kept], kind="stable")]
    unit: FloatArray = (found * np.array(size) / np.maximum(length, 1e-12)[:, None]).astype(np.float64)
    chosen: list[int] = []
    for number in kept:
        nearest = np.abs(unit[chosen] @ unit[number]).max(initial=0.0)
        if nearest < math.cos(math.radians(APART_DEG[len(size)])):
            chosen.append(int(number))
    return found[chosen], length[chosen]


def _normals(ndim: int, count: int) -> FloatArray:
    """Evenly spread normals of half a circle or half a sphere, and the axes."""
    turn = np.arange(count) + 0.5
    if ndim == 2:
        angle = np.pi * turn / count
        return np.concatenate([np.column_stack([np.sin(angle), np.cos(angle)]), np.eye(2)])
    height, azimuth = turn / count, np.pi * (1 + math.sqrt(5)) * turn
    flat: FloatArray = np.sqrt(1 - height**2)
    return np.concatenate([np.column_stack([height, flat * np.sin(azimuth), flat * np.cos(azimuth)]), np.eye(3)])


def _least(unit: FloatArray) -> FloatArray:
    """Normals where the mean can be least: square to one of the directions in the plane, to two of them in space."""
    if unit.shape[1] == 2:
        return np.asarray(unit[:, ::-1] * np.array([1.0, -1.0]), dtype=np.float64)
    first, second = np.triu_indices(len(unit), 1)
    found = np.cross(unit[first], unit[second])
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float64)
