"""How a run is paused, sent on and brought to its end while it goes, from any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["RunControl"]

# A cancel signal is any object with ``is_set``, so a pause has to look at it; this often nobody waits for it.
LOOK_EVERY_S = 0.05


class RunControl:
    """Handed to `fine_tune`, it steers that run; every method may be called from any thread, at any time.

    ``pause`` takes effect before the next step and lasts until ``go_on``, ``finish`` or a cancel. ``finish`` ends the
    run after the current step, with a validation, and cannot be taken back: use a new control for the next run.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paused = False
        self._finishing = False

    def pause(self) -> None:
        """Stop before the next step."""
        self._set(paused=True)

    def go_on(self) -> None:
        """End the pause."""
        self._set(paused=False)

    def finish(self) -> None:
        """Validate after the current step, keep the best, and end; a paused run ends too."""
        self._set(paused=False, finishing=True)

    @property
    def paused(self) -> bool:
        """Whether the run is to stand still."""
        return self._paused

    @property
    def finishing(self) -> bool:
        """Whether the run is to end after the current step."""
        return self._finishing

    def wait(self, cancelled: Callable[[], bool], agree: Callable[[bool], bool] = bool) -> float:
        """Wait until the run may go on or is cancelled; return the seconds that took (0 where it was not paused).

        ``agree`` turns what this process would do into what all processes of the run do; it is asked again and again,
        so that none of them is taken for lost.
        """
        began: float | None = None
        while agree(self._paused and not cancelled()):
            began = time.monotonic() if began is None else began
            with self._changed:
                self._changed.wait_for(lambda: not self._paused, LOOK_EVERY_S)
        return 0.0 if began is None else time.monotonic() - began

    def _set(self, *, paused: bool, finishing: bool = False) -> None:
        with self._changed:
            self._finishing = self._finishing or finishing
            self._paused = paused and not self._finishing
            self._changed.notify_all()
