"""Putting a finished result in its place: complete or not at all, and what stood there goes only after that."""

from __future__ import annotations

import contextlib
import errno
import shutil
import uuid
from pathlib import Path

from napari_anneal.errors import OutputError

__all__ = [
    "disk_is_full",
    "free_bytes",
    "put_in_place",
    "readable_bytes",
    "refuse_full_disk",
    "remove",
    "unused",
    "why_not_written",
    "write_whole",
]

# Out of space, or out of the user's share of it (the latter unknown to Windows).
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def put_in_place(partial: Path, path: Path) -> None:
    """Move a finished file or folder to ``path``; an older one is deleted after that has worked, or put back.

    Raises
    ------
    OSError
        It could not be moved; ``path`` is as it was.
    """
    if not path.exists():
        partial.replace(path)
        return
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    path.replace(aside)
    try:
        partial.replace(path)
    except OSError:
        aside.replace(path)
        raise
    remove(aside)


def unused(path: Path) -> Path:
    """The path, or the first of ``…-2``, ``…-3`` that does not exist yet (as written: ``~`` stays)."""
    free, number = path, 2
    while free.expanduser().exists():
        free, number = path.with_name(f"{path.name}-{number}"), number + 1
    return free


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a small file such that ``path`` is at any moment the old one or the new one.

    Raises
    ------
    OSError
        It could not be written; ``path`` is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError:
        remove(partial)
        raise


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there and can be deleted: rubbish left over is better than a second error."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def disk_is_full(error: OSError) -> bool:
    """Whether writing failed for want of space."""
    return error.errno in _FULL


def why_not_written(error: OSError) -> str:
    """Say why writing failed, as the end of a sentence."""
    return "the disk is full" if disk_is_full(error) else (error.strerror or str(error))


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that ``path`` is or will be on."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def refuse_full_disk(path: Path, needed: int, what: str) -> None:
    """Raise `OutputError`, saying how much ``what`` needs, when the disk that ``path`` will be on has less free."""
    free = free_bytes(path)
    if needed > free:
        raise OutputError(
            f"{what} would need about {readable_bytes(needed)} on the disk of {path}, where {readable_bytes(free)} are "
            "free; free some space, ask for less or write somewhere else."
        )


def readable_bytes(count: int) -> str:
    """Bytes as MiB or GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, count >> 20)} MiB"
