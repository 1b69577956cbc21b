"""Learning-rate schedules: pure functions of the step, so they are tested without training anything."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["rate_factor", "warmup_steps"]


def warmup_steps(total: int) -> int:
    """Length of the linear warm-up: 5 % of the steps or 500 steps, whichever is less; 1 at least."""
    return max(1, min(math.ceil(0.05 * total), 500))


def rate_factor(schedule: Literal["constant", "warmup_cosine"], step: int, total: int) -> float:
    """Factor on the peak learning rate at one step of a stage.

    Parameters
    ----------
    schedule
        ``constant``: 1 throughout. ``warmup_cosine``: rises linearly over the W warm-up steps, reaching 1 at step
        W - 1, then follows ``½ (1 + cos(π t / T))`` with t counted from the end of the warm-up and T the rest
        (Loshchilov and Hutter 2017, without restarts).
    step
        0 … total - 1.
    total
        Optimizer steps of the stage.
    """
    if schedule == "constant":
        return 1.0
    warm = warmup_steps(total)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1.0 + math.cos(math.pi * (step - warm + 1) / (total - warm + 1)))
