"""Gold specimens are locked: their pixels and labels cannot be read by anything that learns, tunes or ranks.

A locked sample has a name, a group and a shape, but its arrays raise `GoldError` as soon as one pixel is asked for, so
that leaving gold alone is not left to every loader's good will. `unlocked` gives the arrays back; only the search for
copies, which must compare gold with training, the locking itself and the deliberate opening call it.

Which groups of a folder are gold is kept in its ``gold.json``; ``read_samples`` returns these samples locked. Deleting
that file unlocks them: the lock keeps gold out of reach of programs and of haste, not of a person who means it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from napari_anneal.errors import GoldError, InputError, OutputError
from napari_anneal.samples.fingerprints import image_fingerprint
from napari_anneal.samples.placing import why_not_written
from napari_anneal.samples.sample import Sample

__all__ = ["GOLD_FILE", "GoldFile", "is_locked", "lock", "lock_folder", "read_gold_file", "refuse_changed", "unlocked"]

GOLD_FILE = "gold.json"
FORMAT = "napari-anneal gold 1"


class LockedArray:
    """Stands for an array that must not be read: tells its shape and type, and raises `GoldError` for anything else."""

    __slots__ = ("_array", "_where")

    def __init__(self, array: Any, where: str) -> None:
        self._array, self._where = array, where

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(int(n) for n in self._array.shape)

    @property
    def ndim(self) -> int:
        """Number of its axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        found: np.dtype[Any] = np.dtype(self._array.dtype)
        return found

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to be read."""
        self._refuse()

    def __getitem__(self, index: Any) -> NoReturn:
        """Refuse to be read."""
        self._refuse()

    def __iter__(self) -> NoReturn:
        """Refuse to be read."""
        self._refuse()

    def __len__(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<locked gold array {self.shape} {self.dtype}>"

    def __getattr__(self, name: str) -> Any:
        # Protocols that NumPy, copy and others probe for are simply not there; methods that would read are refused.
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise GoldError(
            f"{self._where} is gold: it is set aside for one look at the end, so nothing may learn from it, tune on it "
            "or score it; leave it out here, and open it with 'napari-anneal evaluate --gold' once the model is final."
        )


@dataclass(frozen=True)
class GoldFile:
    """What a folder's ``gold.json`` says: names of the gold groups, and the fingerprint of each gold image by name."""

    groups: tuple[str, ...]
    samples: dict[str, str]

    def covers(self, sample: Sample) -> bool:
        """Whether a sample is gold, by its name or its group."""
        return sample.name in self.samples or bool(sample.group.strip() and sample.group.strip() in self.groups)


def lock(sample: Sample) -> Sample:
    """The same sample with arrays that cannot be read."""
    if is_locked(sample):
        return sample
    closed = copy.copy(sample)
    where = repr(sample.name) if sample.name else "this image"
    # Set past the checks of a new sample, which would read the labels.
    object.__setattr__(closed, "image", LockedArray(sample.image, where))
    if sample.labels is not None:
        object.__setattr__(closed, "labels", LockedArray(sample.labels, where))
    return closed


def unlocked(sample: Sample) -> Sample:
    """The sample with its arrays again; only for the search for copies and for the deliberate opening of gold."""
    if not is_locked(sample):
        return sample
    opened = copy.copy(sample)
    for role in ("image", "labels"):
        array = getattr(sample, role)
        if isinstance(array, LockedArray):
            object.__setattr__(opened, role, object.__getattribute__(array, "_array"))
    return opened


def is_locked(sample: Sample) -> bool:
    """Whether the arrays of a sample cannot be read."""
    return isinstance(sample.image, LockedArray)


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
        return GoldFile(tuple(map(str, raw["groups"])), {str(k): str(v) for k, v in raw["samples"].items()})
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


def lock_folder(folder: str | Path, samples: Sequence[Sample], indices: Iterable[int]) -> GoldFile:
    """Write ``gold.json``: from now on ``read_samples`` returns these samples of the folder locked.

    Earlier gold stays gold.

    Parameters
    ----------
    folder
        Where the samples came from.
    samples, indices
        The samples, and which of them are gold, such as a plan's ``gold``.

    Raises
    ------
    InputError
        None is named, or a gold image has no name or group.
    OutputError
        The file cannot be written.
    """
    before = read_gold_file(folder) or GoldFile((), {})
    chosen = [unlocked(samples[i]) for i in indices]
    if not chosen:
        raise InputError("no image is named as gold, so there is nothing to lock; name a group.")
    groups = tuple(dict.fromkeys([*before.groups, *(s.group.strip() for s in chosen if s.group.strip())]))
    gold = GoldFile(groups, before.samples | {s.name: image_fingerprint(s) for s in chosen})
    path = Path(folder) / GOLD_FILE
    try:
        text = json.dumps({"format": FORMAT, "groups": list(gold.groups), "samples": gold.samples}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({why_not_written(error)}); check the folder.") from error
    return gold
