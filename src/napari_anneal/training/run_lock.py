"""One run a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_anneal.samples.lock_file import is_held, lock_file

__all__ = ["LOCK", "is_locked", "locked"]

LOCK = ".run.lock"


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Hold the lock of a run's folder (``None``: there is nothing to lock).

    Raises
    ------
    OutputError
        Another run is writing there.
    """
    if folder is None:
        yield
        return
    with lock_file(folder / LOCK, f"another run is writing to {folder}; wait for it or choose another folder."):
        yield


def is_locked(folder: Path) -> bool:
    """Whether a run is writing to this folder now."""
    return (folder / LOCK).exists() and is_held(folder / LOCK)
