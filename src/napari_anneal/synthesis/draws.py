"""A random generator for every step of a synthesis: changing one step leaves the draws of all others alone."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["Step", "generator"]


class Step(IntEnum):
    """The steps that draw random numbers. The numbers are part of what a seed means: add, never renumber."""

    SEEDS = 1
    WEIGHTS = 2
    BENDING = 3
    PHASE = 4
    OBJECTS = 5
    FINE_OBJECTS = 6
    SPECIMEN = 10
    DAMAGE = 11
    OPTICS = 12
    SCAN = 13
    DETECTOR = 14
    TOMOGRAPHY = 15
    STAINS = 16
    RINGS = 17
    STREAKS = 18
    GAIN = 19
    GROWTH = 20
    DECOMPOSITION = 21
    NUDGES = 40
    MATCH = 50
    METRICS = 30


def generator(seed: int, step: Step, *part: int) -> np.random.Generator:
    """Return the generator of one step of the synthesis of ``seed``, or of a part of that step (a plane, say)."""
    return np.random.default_rng([seed, int(step), *part])
