"""Which images of a folder are gold: its ``gold.json``, and the lines of its ledger that tell of locking and releasing.

``read_samples`` returns the images that ``gold.json`` names locked. The ledger beside it tells of the locking, too, and
each remembers the other: with one of them gone, shortened or edited the folder is not read any more. Models that are
trained meanwhile keep in their cards what they were told of both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_anneal.errors import GoldError, InputError, OutputError
from napari_anneal.samples.fingerprints import image_fingerprint
from napari_anneal.samples.gold import Seal, is_locked, lock, unlocked
from napari_anneal.samples.gold_events import gold_mark, now, still_locked
from napari_anneal.samples.ledger import Entry, LedgerState, append_entry, read_ledger
from napari_anneal.samples.placing import why_not_written, write_whole
from napari_anneal.samples.sample import Sample

__all__ = [
    "GOLD_FILE",
    "LEDGER_FILE",
    "GoldFile",
    "lock_folder",
    "lock_gold",
    "locked_as",
    "read_gold_file",
    "refuse_changed",
    "release_folder",
    "remember_ledger",
]

GOLD_FILE, LEDGER_FILE = "gold.json", "gold-ledger.jsonl"
FORMAT = "napari-anneal gold 1"


@dataclass(frozen=True)
class GoldFile:
    """What a folder's ``gold.json`` says.

    Attributes
    ----------
    groups
        Names of the gold groups.
    samples
        Fingerprint of each gold image by name.
    ledger
        Where the ledger stood when it was last written to; ``None`` where no ledger tells of this gold.
    """

    groups: tuple[str, ...]
    samples: dict[str, str]
    ledger: LedgerState | None = None

    def covers(self, sample: Sample) -> bool:
        """Whether a sample is gold, by its name or its group."""
        return sample.name in self.samples or bool(sample.group.strip() and sample.group.strip() in self.groups)


def locked_as(sample: Sample, folder: str | Path) -> Sample:
    """The sample locked, with a seal made of its pixels and of the ledger of its folder."""
    if is_locked(sample):
        return sample
    state = LedgerState.of(Path(folder) / LEDGER_FILE, _entries(folder))
    return lock(sample, Seal(image_fingerprint(sample), state))


def lock_gold(folder: str | Path, samples: Iterable[Sample]) -> list[Sample]:
    """The samples of a folder: those locked that its ``gold.json`` names, those marked that were opened as gold before.

    A gold image that was given another name is known by its pixels.

    Raises
    ------
    InputError
        That file is damaged.
    GoldError
        It is gone, or does not name an image any more that the ledger says was locked.
    LedgerError
        The ledger is gone, shortened or edited.
    """
    gold = read_gold_file(folder)
    entries = _entries(folder, gold)
    _refuse_contradiction(Path(folder), gold, entries)
    if gold is None and not entries:
        return list(samples)
    samples = list(samples)
    names = {sample.name for sample in samples}
    by_name = gold.samples if gold is not None else {}
    renamed = {digest for name, digest in by_name.items() if name not in names}
    # Pixels of large volumes are read only where they can tell something.
    look = bool(renamed) or any(e.record.get("event") in ("opened", "released") for e in entries)
    state = LedgerState.of(Path(folder) / LEDGER_FILE, entries)
    found = []
    for sample in samples:
        known = by_name.get(sample.name) or (image_fingerprint(sample) if look else "")
        marked = sample.changed(mark=gold_mark(entries, [known]))
        is_gold = gold is not None and (gold.covers(sample) or known in renamed)
        found.append(lock(marked, Seal(known, state)) if is_gold else marked)
    return found


def read_gold_file(folder: str | Path) -> GoldFile | None:
    """What a folder's ``gold.json`` says; ``None`` if it has none.

    Raises
    ------
    InputError
        The file is damaged: going on without it would let gold into training.
    """
    path = Path(folder) / GOLD_FILE
    if not path.exists():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise ValueError(raw["format"])
        told = raw.get("ledger")
        ledger = None if told is None else LedgerState(told["first"], told["ledger"], int(told["count"]), told["head"])
        return GoldFile(tuple(map(str, raw["groups"])), {str(k): str(v) for k, v in raw["samples"].items()}, ledger)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} does not say any more which images are gold (it is damaged or of a newer version); restore it "
            "from a copy, so that no gold gets into training."
        ) from error


def refuse_changed(folder: str | Path, samples: Sequence[Sample]) -> None:
    """Refuse gold whose pixels are not those that were locked; paint may have been corrected since.

    Raises
    ------
    GoldError
        An image was changed or replaced.
    """
    gold = read_gold_file(folder)
    for sample in samples if gold is not None else ():
        locked = gold.samples.get(sample.name) if gold is not None else None
        if locked is not None and locked != image_fingerprint(unlocked(sample)):
            raise GoldError(
                f"{sample.name!r} is not the image that was locked as gold in {Path(folder) / GOLD_FILE}: its pixels "
                "were changed since; restore the image."
            )


def lock_folder(folder: str | Path, samples: Sequence[Sample], indices: Iterable[int], who: str = "") -> GoldFile:
    """Write ``gold.json``, and a line of the ledger: from now on ``read_samples`` returns these samples locked.

    Earlier gold stays gold.

    Parameters
    ----------
    folder
        Where the samples came from.
    samples, indices
        The samples, and which of them are gold, such as a plan's ``gold``.
    who
        Who locks: a name for the ledger.

    Raises
    ------
    InputError
        None is named, or a gold image has no name or group.
    OutputError
        A file cannot be written.
    """
    before = read_gold_file(folder) or GoldFile((), {})
    chosen = [unlocked(samples[i]) for i in indices]
    if not chosen:
        raise InputError("no image is named as gold, so there is nothing to lock; name a group.")
    groups = tuple(dict.fromkeys([*before.groups, *(s.group.strip() for s in chosen if s.group.strip())]))
    new = {s.name: image_fingerprint(s) for s in chosen}
    gold = GoldFile(groups, before.samples | new, before.ledger)
    # Before the ledger, which is believed: killed in between, there is gold of which no line tells, not the reverse.
    _write_gold_file(folder, gold)
    path = Path(folder) / LEDGER_FILE
    record = {"event": "locked", "when": now(), "who": who, "groups": list(groups), "images": new}
    append_entry(path, record, (), new.values())
    return remember_ledger(folder, path) or gold


def release_folder(folder: str | Path, who: str) -> tuple[str, ...]:
    """Give the gold of a folder up for good: its images are read like any other, and every report says it.

    Parameters
    ----------
    folder
        With a ``gold.json``, or with a ledger that remembers one.
    who
        Who does it: a name for the ledger.

    Returns
    -------
    tuple of str
        Names of the images.

    Raises
    ------
    InputError
        Nothing is locked there, or nobody is named.
    LedgerError
        The ledger is gone, shortened or edited.
    OutputError
        A file cannot be written.
    """
    folder, gold = Path(folder), read_gold_file(folder)
    lines = still_locked(_entries(folder, gold))
    names = {name: digest for e in lines.values() for name, digest in e.record["images"].items() if digest in lines}
    images = {**names, **(gold.samples if gold is not None else {})}
    if not images:
        raise InputError(f"nothing is locked in {folder}, so there is no gold to release.")
    if not who.strip():
        raise InputError("releasing gold needs the name of who does it, for the ledger.")
    record = {"event": "released", "when": now(), "who": who.strip(), "images": images}
    append_entry(folder / LEDGER_FILE, record, (), images.values())
    try:
        (folder / GOLD_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder / GOLD_FILE} cannot be removed ({why_not_written(error)}).") from error
    return tuple(images)


def remember_ledger(folder: str | Path, ledger: str | os.PathLike[str]) -> GoldFile | None:
    """Keep in ``gold.json``, if there is one, where a ledger stands now."""
    gold = read_gold_file(folder)
    if gold is None:
        return None
    gold = GoldFile(gold.groups, gold.samples, LedgerState.of(ledger, read_ledger(ledger)))
    _write_gold_file(folder, gold)
    return gold


def _write_gold_file(folder: str | Path, gold: GoldFile) -> None:
    told: dict[str, Any] = {"format": FORMAT, "groups": list(gold.groups), "samples": gold.samples}
    if gold.ledger is not None:
        told["ledger"] = {name: getattr(gold.ledger, name) for name in ("first", "ledger", "count", "head")}
    path = Path(folder) / GOLD_FILE
    try:
        write_whole(path, json.dumps(told, indent=2) + "\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({why_not_written(error)}); check the folder.") from error


def _entries(folder: str | Path, gold: GoldFile | None = None) -> tuple[Entry, ...]:
    """Lines of the ledger in a folder, held against what ``gold.json`` remembers of it."""
    gold = read_gold_file(folder) if gold is None else gold
    path = Path(folder) / LEDGER_FILE
    images = tuple(gold.samples.values()) if gold is not None else ()
    known = gold.ledger if gold is not None else None
    # A ledger that lies elsewhere is looked at when gold is opened.
    here = known is not None and known.ledger == path.name
    remembered = {str(Path(folder) / GOLD_FILE): [replace(known, images=images)]} if known is not None and here else {}
    return read_ledger(path, (), images, remembered)


def _refuse_contradiction(folder: Path, gold: GoldFile | None, entries: Sequence[Entry]) -> None:
    """Refuse a folder whose ``gold.json`` forgets an image that the ledger says was locked, and not released since."""
    named = set(gold.samples.values()) if gold is not None else set()
    for image, line in still_locked(entries).items():
        if image not in named:
            name = next(name for name, digest in line.record["images"].items() if digest == image)
            gone = "is gone" if gold is None else f"does not name {name!r}"
            raise GoldError(
                f"{folder / GOLD_FILE} {gone}, though line {line.number} of {LEDGER_FILE} says that {name!r} was "
                "locked as gold; restore the file from a copy, or give the gold up with 'napari-anneal split "
                "--release'."
            )
