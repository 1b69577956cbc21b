"""One writer at a time: a lock file that names its process, and that a process which is gone holds no longer."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from napari_anneal.errors import OutputError
from napari_anneal.samples.placing import remove

__all__ = ["is_held", "lock_file"]


@contextmanager
def lock_file(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock.

    Parameters
    ----------
    path
        The lock file.
    busy
        The sentence for when another process holds it.

    Raises
    ------
    OutputError
        Another process holds it, or the file cannot be written.
    """
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            if is_held(path):
                raise OutputError(busy) from None
            remove(path)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be written ({error.strerror}); choose another folder.") from error
    with os.fdopen(handle, "w") as file:
        me = psutil.Process()
        json.dump({"pid": me.pid, "started": me.create_time(), "host": socket.gethostname()}, file)
    try:
        yield
    finally:
        remove(path)


def is_held(path: Path) -> bool:
    """Whether the process that made the lock still runs; on another machine nobody can tell, so it counts as held."""
    try:
        holder = json.loads(path.read_text())
        if holder["host"] != socket.gethostname():
            return True
        return bool(abs(psutil.Process(holder["pid"]).create_time() - holder["started"]) < 1)
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except (ValueError, KeyError, OSError):
        # Being written this moment, or cut off by a power failure: who is alive finishes it within a second.
        return time.time() - path.stat().st_mtime < 5 if path.exists() else False
