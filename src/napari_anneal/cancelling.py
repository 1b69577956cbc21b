"""How a long job is asked to stop: any object with ``is_set``, such as a ``threading.Event``."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CancelSignal"]


class CancelSignal(Protocol):
    """What a run asks whether it should stop; a ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...
