"""Gold specimens are locked: their pixels and labels cannot be read by anything that learns, tunes or ranks.

A locked sample has a name, a group and a shape, but its arrays raise `GoldError` as soon as one pixel is asked for, so
that leaving gold alone is not left to every loader's good will. `unlocked` gives the arrays back; only the search for
copies, which must compare gold with training, the locking itself and the deliberate opening call it. What a locked
sample may still tell is its *seal*: its fingerprint, and where its ledger stood.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from napari_anneal.errors import GoldError
from napari_anneal.samples.fingerprints import image_fingerprint
from napari_anneal.samples.ledger import LedgerState
from napari_anneal.samples.sample import Sample

__all__ = ["Seal", "gold_fingerprint", "is_locked", "lock", "seal_of", "unlocked"]


@dataclass(frozen=True)
class Seal:
    """What may be told of a locked image.

    Attributes
    ----------
    fingerprint
        SHA-256 of its pixels when it was locked; empty where nobody took it.
    ledger
        Where the folder's ledger stood when the image was read; ``None`` without one.
    """

    fingerprint: str = ""
    ledger: LedgerState | None = None


class LockedArray:
    """Stands for an array that must not be read: tells its shape and type, and raises `GoldError` for anything else."""

    __slots__ = ("_behind_lock", "_where", "seal")

    def __init__(self, array: Any, where: str, seal: Seal) -> None:
        self._behind_lock, self._where, self.seal = array, where, seal

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(int(n) for n in self._behind_lock.shape)

    @property
    def ndim(self) -> int:
        """Number of its axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        found: np.dtype[Any] = np.dtype(self._behind_lock.dtype)
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


def lock(sample: Sample, seal: Seal | None = None) -> Sample:
    """The same sample with arrays that cannot be read; ``seal`` is what it still tells."""
    if is_locked(sample):
        return sample
    closed = copy.copy(sample)
    where = repr(sample.name) if sample.name else "this image"
    # Set past the checks of a new sample, which would read the labels.
    for role in ("image", "labels"):
        if getattr(sample, role) is not None:
            object.__setattr__(closed, role, LockedArray(getattr(sample, role), where, seal or Seal()))
    return closed


def unlocked(sample: Sample) -> Sample:
    """The sample with its arrays again; only for the search for copies and for the deliberate opening of gold."""
    if not is_locked(sample):
        return sample
    opened = copy.copy(sample)
    for role in ("image", "labels"):
        array = getattr(sample, role)
        if isinstance(array, LockedArray):
            object.__setattr__(opened, role, object.__getattribute__(array, "_behind_lock"))
    return opened


def is_locked(sample: Sample) -> bool:
    """Whether the arrays of a sample cannot be read."""
    return isinstance(sample.image, LockedArray)


def seal_of(sample: Sample) -> Seal | None:
    """What a locked sample may tell; ``None`` of a sample that is not locked."""
    return sample.image.seal if isinstance(sample.image, LockedArray) else None


def gold_fingerprint(sample: Sample) -> str:
    """SHA-256 of the pixels of a gold image, locked or not: by it the image is known again, and nothing is learned."""
    seal = seal_of(sample)
    return seal.fingerprint if seal is not None and seal.fingerprint else image_fingerprint(unlocked(sample))
