"""The models of this session: what *Fine-tune* made and what was dropped on the viewer, offered by *Segment*."""

from __future__ import annotations

from functools import cache
from typing import Any

from qtpy.QtCore import QObject, Signal

__all__ = ["SessionModels", "session_models"]


class SessionModels(QObject):
    """Models by name, in the order they came; ``changed`` carries the name that came last."""

    changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._models: dict[str, Any] = {}

    def add(self, name: str, model: Any) -> str:
        """Keep a model; a name that is taken gets a number. Returns the name it is kept under."""
        free, count = name, 2
        while free in self._models:
            free, count = f"{name} ({count})", count + 1
        self._models[free] = model
        self.changed.emit(free)
        return free

    def replace(self, name: str, model: Any) -> None:
        """Keep another model under a name that is known."""
        self._models[name] = model
        self.changed.emit(name)

    def names(self) -> tuple[str, ...]:
        """Names, newest first."""
        return tuple(reversed(self._models))

    def get(self, name: str) -> Any:
        """The model of that name, or ``None``."""
        return self._models.get(name)

    def clear(self) -> None:
        """Forget all of them (files on disk stay)."""
        self._models.clear()
        self.changed.emit("")


@cache
def session_models() -> SessionModels:
    """The one registry that all forms of a session share."""
    return SessionModels()
