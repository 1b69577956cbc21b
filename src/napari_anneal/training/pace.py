"""How long a run has taken and how fast it goes; what it stood still does not count."""

from __future__ import annotations

import time

__all__ = ["Pace"]

# Weight of the earlier steps in the throughput: it follows a change within about ten steps.
MEMORY = 0.8


class Pace:
    """The clock of a run.

    Parameters
    ----------
    seconds
        What the run took before it was interrupted.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._step_began = time.monotonic()
        self._began = self._epoch_began = self._step_began - seconds
        self._mean = self._weight = 0.0

    @property
    def seconds(self) -> float:
        """Of the run, pauses left out."""
        return time.monotonic() - self._began

    @property
    def epoch_seconds(self) -> float:
        """Since ``begin_epoch``, pauses left out."""
        return time.monotonic() - self._epoch_began

    def begin_epoch(self) -> None:
        """Count the seconds of an epoch from here."""
        self._epoch_began = time.monotonic()

    def begin_step(self) -> None:
        """The step, its batch included, begins here: what was told and written after the last one is not part of it."""
        self._step_began = time.monotonic()

    def end_step(self, patches: int) -> float:
        """A step over so many patches is done; return patches per second, averaged over the last steps."""
        self._mean = MEMORY * self._mean + (1 - MEMORY) * (time.monotonic() - self._step_began) / patches
        self._weight = MEMORY * self._weight + 1 - MEMORY
        return self._weight / max(self._mean, 1e-9)

    def leave_out(self, seconds: float) -> None:
        """The run has stood still for so long."""
        self._began += seconds
        self._epoch_began += seconds
        self._step_began += seconds
