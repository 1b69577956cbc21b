"""What the lines of a gold ledger say: which images were locked, opened, scored and given up, and when.

A line's ``event`` is one of ``locked``, ``opened``, ``scored``, ``not scored`` (an opening that showed nothing) and
``released`` (the images are no gold any more). ``images`` of a line are fingerprints by name; ``turned`` are those that
an image has in common with its mirrored and turned versions.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence

from napari_anneal.samples.ledger import Entry

__all__ = ["gold_mark", "now", "openings", "still_locked"]


def openings(entries: Sequence[Entry], images: Collection[str]) -> list[Entry]:
    """Lines that tell of an opening of at least one of these images that was not given up without a score."""
    void = {e.record.get("opening") for e in entries if e.record.get("event") == "not scored"}
    return [
        e
        for e in entries
        if e.record.get("event") == "opened" and e.hash not in void and set(images) & _images(e, ("images", "turned"))
    ]


def still_locked(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Fingerprint of every image that a line locked and none released since, with the line that locked it."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.record.get("event") == "locked":
            found |= dict.fromkeys(_images(entry), entry)
        elif entry.record.get("event") == "released":
            found = {image: line for image, line in found.items() if image not in _images(entry)}
    return found


def gold_mark(entries: Sequence[Entry], images: Collection[str]) -> str:
    """What a report on these images must say first: that they were opened or released before; empty if neither."""
    opened = openings(entries, images)
    if opened:
        first = opened[0].record
        times = "once" if len(opened) == 1 else f"{len(opened)} times"
        return f"Not gold any more: opened {times} before, first on {first['when'][:10]} by {first['who']}."
    released = [e for e in entries if e.record.get("event") == "released" and set(images) & _images(e)]
    if released:
        last = released[-1].record
        return f"Not gold any more: released on {last['when'][:10]} by {last['who']}."
    return ""


def now() -> str:
    """The time, UTC, to the second, as lines tell it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _images(entry: Entry, keys: Sequence[str] = ("images",)) -> set[str]:
    return {digest for key in keys for digest in dict(entry.record.get(key, {})).values() if digest}
