"""What of a run is on disk already: one JSON line a finished block, appended after the block is written.

The first line says what the run is: a run may be gone on with only where every entry of it is the same. A line that
was cut short by a kill does not count. Nothing is believed for being in the journal: the digest of a block is compared
with what the disk gives back before the block is skipped.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.samples.placing import remove, write_whole

__all__ = ["Journal", "block_digest"]


class Journal:
    """The journal of one run; ``done`` maps ``(step, index)`` of each finished block to its digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[tuple[int, int], str] = {}

    def begin(self, header: dict[str, Any]) -> None:
        """Start anew."""
        self.done = {}
        write_whole(self.path, json.dumps(header) + "\n")

    def read(self) -> dict[str, Any] | None:
        """Read what an earlier run left, and return its first line; ``None``: nothing that can be gone on with."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            header = json.loads(lines[0])
        except (OSError, ValueError, IndexError):
            return None
        whole = [line for line in lines if line.endswith("\n")]
        self.done = {}
        for line in whole[1:]:
            try:
                step, index, digest = json.loads(line)
                self.done[int(step), int(index)] = str(digest)
            except (ValueError, TypeError):
                continue  # a damaged line is a block that is computed again
        if len(whole) < len(lines):  # the next line must not be glued to half a one
            write_whole(self.path, "".join(whole))
        return header if isinstance(header, dict) else None

    def add(self, step: int, index: int, digest: str) -> None:
        """Note a block that is on disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([step, index, digest]) + "\n")
        self.done[step, index] = digest

    def remove(self) -> None:
        """Delete it: the run is complete, or nothing of it is kept."""
        remove(self.path)


def block_digest(values: npt.NDArray[Any]) -> str:
    """Digest of a block's bytes, shape and dtype."""
    content = np.ascontiguousarray(values)
    digest = hashlib.blake2b(f"{content.dtype.str}{content.shape}".encode(), digest_size=16)
    digest.update(content.data)
    return digest.hexdigest()
