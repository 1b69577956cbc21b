"""Who opened the gold set when: an append-only file in which every line vouches for the one before.

One JSON object a line; each holds the hash of the line before it and a hash of itself, so that a line that was edited,
left out or put in breaks the chain. A chain alone does not show that its end was cut off, or that the file is gone.
So the number of lines and the last hash are also kept elsewhere: in *anchors* (a file beside the ledger, and one in the
folder of every model that has opened gold), in the folder's ``gold.json``, and in the card of every model that was
trained while gold was locked.

What this cannot show: that somebody deleted the ledger and everything that remembers it, or wrote all of it anew. It
guards against mistakes and temptation, not against forgery; for that, publish the last hash, or keep the ledger under
version control.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_anneal.errors import LedgerError, OutputError
from napari_anneal.samples.lock_file import lock_file
from napari_anneal.samples.placing import why_not_written

__all__ = ["Entry", "LedgerState", "append_entry", "read_ledger"]

FIRST = "0" * 64


@dataclass(frozen=True)
class Entry:
    """A line: its number from 1, what it says, the hash of the line before and its own."""

    number: int
    record: dict[str, Any]
    previous: str
    hash: str

    @classmethod
    def after(cls, before: Entry | None, record: dict[str, Any]) -> Entry:
        """The entry that follows another one (or none)."""
        number, previous = (before.number + 1, before.hash) if before else (1, FIRST)
        return cls(number, record, previous, _hash(number, record, previous))

    def line(self) -> str:
        """The entry as it stands in the file."""
        return _text({"number": self.number, "record": self.record, "previous": self.previous, "hash": self.hash})


@dataclass(frozen=True)
class LedgerState:
    """What is remembered of a ledger: its first hash, file name, length, last hash, and gold images it tells of."""

    first: str
    ledger: str
    count: int
    head: str
    images: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str | os.PathLike[str], entries: Sequence[Entry]) -> LedgerState | None:
        """The state of a ledger with these lines; ``None`` without one."""
        if not entries:
            return None
        return cls(entries[0].hash, Path(path).name, entries[-1].number, entries[-1].hash)


def read_ledger(
    path: str | os.PathLike[str],
    anchors: Sequence[str | os.PathLike[str]] = (),
    images: Collection[str] = (),
    remembered: Mapping[str, Sequence[LedgerState]] | None = None,
) -> tuple[Entry, ...]:
    """Read a ledger and check its chain, against its own anchor and all that is remembered elsewhere.

    A last line that a power failure cut off, before any anchor knew of it, is passed over.

    Parameters
    ----------
    path
        The ledger; if neither it nor an anchor exists, there are no entries yet.
    anchors
        Other files that may hold its length and last hash.
    images
        Fingerprints of the gold images in question: an anchor that knows them from another ledger shows that this one
        was put in its place.
    remembered
        By what remembers it (a name for messages): states of ledgers, as anchors hold them.

    Raises
    ------
    LedgerError
        It was edited, shortened, replaced or deleted.
    """
    path = Path(path)
    own = _read_anchor(_beside(path))
    others = [(str(anchor), known) for anchor in map(Path, anchors) for known in _read_anchor(anchor).values()]
    others += [(where, known) for where, states in (remembered or {}).items() for known in states]
    beside = str(_beside(path))
    if not path.exists():
        missed = [(beside, known) for known in own.values()]
        missed += [(where, known) for where, known in others if set(images) & set(known.images)]
        if missed:
            anchor, known = missed[0]
            raise LedgerError(
                f"the ledger {path} is gone, though {anchor} knows of {known.count} lines in {known.ledger}; restore "
                "it from a copy, or name the ledger that was used before."
            )
        return ()
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be read ({error.strerror}); check the path.") from error
    entries: list[Entry] = []
    for number, line in enumerate(lines[:-1], start=1):
        entries.append(_parsed(line, number, entries[-1] if entries else None, path))
    first = entries[0].hash if entries else ""
    for anchor, known in [*((beside, known) for known in own.values()), *others]:
        if known.first == first or anchor == beside:
            _compare(entries, known, anchor, path)
        elif set(images) & set(known.images):
            raise LedgerError(
                f"{anchor} remembers this gold from {known.count} lines in {known.ledger}, of which the ledger {path} "
                "knows nothing; restore it from a copy, or name the ledger that was used before."
            )
    return tuple(entries)


def _compare(entries: Sequence[Entry], known: LedgerState, anchor: str, path: Path) -> None:
    """Hold the entries against what an anchor knows of them."""
    if known.count > len(entries):
        raise LedgerError(
            f"the ledger {path} has {len(entries)} lines, but {anchor} knows of {known.count}: lines were taken off "
            "its end; restore it from a copy."
        )
    if entries[known.count - 1].hash != known.head:
        raise LedgerError(
            f"line {known.count} of the ledger {path} is not the one that {anchor} remembers: the file was replaced or "
            "written anew; restore it from a copy."
        )


def append_entry(
    path: str | os.PathLike[str],
    record: dict[str, Any],
    anchors: Sequence[str | os.PathLike[str]] = (),
    images: Collection[str] = (),
    remembered: Mapping[str, Sequence[LedgerState]] | None = None,
) -> Entry:
    """Check the ledger, add a line, and tell the anchors; the line is on the disk when this returns.

    Parameters
    ----------
    path, anchors, images, remembered
        As for `read_ledger`; ledger and anchors are created where they do not exist.
    record
        What the line says: plain JSON data.

    Raises
    ------
    LedgerError
        As `read_ledger`.
    OutputError
        It cannot be written, or another process is writing to it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be created ({why_not_written(error)}); choose another.") from error
    busy = f"another process is writing to the ledger {path}; try again in a moment."
    with lock_file(path.with_name(f".{path.name}.lock"), busy):
        entries = read_ledger(path, anchors, images, remembered)
        entry = Entry.after(entries[-1] if entries else None, record)
        length = sum(len(e.line().encode()) + 1 for e in entries)
        try:
            with path.open("r+b" if path.exists() else "xb") as file:
                # What a power failure left of a line that nobody knows of yet gives way.
                file.truncate(length)
                file.seek(length)
                file.write(entry.line().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"the ledger {path} cannot be written ({why_not_written(error)}).") from error
        for anchor in (_beside(path), *map(Path, anchors)):
            _write_anchor(anchor, path, entries[0].hash if entries else entry.hash, entry, images)
    return entry


def _parsed(line: bytes, number: int, before: Entry | None, path: Path) -> Entry:
    """One line, checked against itself and the line before."""
    broken = f"line {number} of the ledger {path}"
    try:
        raw = json.loads(line)
        entry = Entry(int(raw["number"]), dict(raw["record"]), str(raw["previous"]), str(raw["hash"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LedgerError(f"{broken} cannot be read: it was edited or damaged; restore it from a copy.") from error
    expected = Entry.after(before, entry.record)
    if entry.previous != expected.previous or entry.number != expected.number:
        raise LedgerError(
            f"{broken} does not follow the line before it: a line was taken out, put in or edited; restore the file "
            "from a copy."
        )
    if entry.hash != expected.hash or entry.line().encode() != line:
        raise LedgerError(f"{broken} does not match its hash: it was edited; restore the file from a copy.")
    return entry


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _read_anchor(anchor: Path) -> dict[str, LedgerState]:
    """What an anchor knows, by the first hash of each ledger; a model may have opened several gold sets."""
    if not anchor.exists():
        return {}
    try:
        raw = json.loads(anchor.read_text(encoding="utf-8"))
        return {
            first: LedgerState(first, str(k["ledger"]), int(k["count"]), str(k["head"]), tuple(map(str, k["images"])))
            for first, k in raw.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerError(f"{anchor} cannot be read: it was edited or damaged; restore it from a copy.") from error


def _write_anchor(anchor: Path, ledger: Path, first: str, entry: Entry, images: Collection[str]) -> None:
    """Replace what an anchor knows of this ledger: the old file or the new one, never half of one."""
    known = _read_anchor(anchor)
    before = known[first].images if first in known else ()
    known[first] = LedgerState(first, ledger.name, entry.number, entry.hash, tuple(sorted({*before, *images})))
    told = {k: {"ledger": a.ledger, "count": a.count, "head": a.head, "images": a.images} for k, a in known.items()}
    partial = anchor.with_name(f".{anchor.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(told, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(anchor)
    except OSError as error:
        raise OutputError(f"{anchor} cannot be written ({why_not_written(error)}); check the folder.") from error


def _hash(number: int, record: dict[str, Any], previous: str) -> str:
    return hashlib.sha256(_text({"number": number, "record": record, "previous": previous}).encode()).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
