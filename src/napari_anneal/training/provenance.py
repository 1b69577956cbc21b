"""What a run learned from, as its card tells it: fingerprints of the data, and the run's link in the lineage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from napari_anneal.models.lineage import Link
from napari_anneal.samples.fingerprints import image_fingerprint, painted_fingerprint
from napari_anneal.samples.gold import Seal, seal_of
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import MicrostructureRecipe, RecipeRanges, SyntheticStream
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.setup import Prepared

__all__ = [
    "STREAM",
    "fingerprints",
    "gold_before",
    "link_of_run",
    "marks_of",
    "seen_before",
    "stream_as_data",
    "stream_from_data",
]

# Under this name the card keeps the fingerprint of a synthetic stream.
STREAM = "synthetic stream"


def fingerprints(samples: Sequence[Sample] | SyntheticStream, prepared: Prepared) -> dict[str, str]:
    """SHA-256 over shape, type and painted pixels of every training and validation sample, or over the stream."""
    if isinstance(samples, SyntheticStream):
        text = json.dumps(stream_as_data(samples), sort_keys=True)
        return {STREAM: hashlib.sha256(text.encode()).hexdigest()}
    return _of_samples(samples, (*prepared.train, *prepared.validation))


def link_of_run(
    samples: Sequence[Sample] | SyntheticStream,
    prepared: Prepared,
    recipe: FineTuneRecipe,
    prints: dict[str, str],
    name: str,
    created: str,
) -> Link:
    """The link of a run that is about to begin; what it scores is added when it is known.

    Parameters
    ----------
    samples, prepared, recipe
        What the run learns from, and how.
    prints
        From `fingerprints`.
    name, created
        As in the run's card.
    """
    about: dict[str, Any] = {
        "name": name,
        "seed": recipe.seed,
        "preset": recipe.preset,
        "classes": prepared.classes,
        "created": created,
    }
    if isinstance(samples, SyntheticStream):
        return Link(kind="synthetic", stream=stream_as_data(samples), **about)
    for role, indices in (("train", prepared.train), ("validation", prepared.validation)):
        names = [_name(samples, i) for i in indices]
        about[role] = {name: prints[name] for name in names}
        about[f"{role}_groups"] = tuple(sorted({samples[i].group or _name(samples, i) for i in indices}))
    seals = {_name(samples, i): seal_of(samples[i]) or Seal() for i in prepared.gold}
    about["gold"] = {name: seal.fingerprint for name, seal in seals.items()}
    about["gold_ledgers"] = tuple(dict.fromkeys(seal.ledger for seal in seals.values() if seal.ledger is not None))
    return Link(kind="real", **about)


def seen_before(lineage: Sequence[Link], link: Link) -> list[str]:
    """A sentence if images that judge a run are among those that its start was trained on (with the same labels)."""
    trained = {digest for earlier in lineage for digest in earlier.train.values()}
    seen = [name for name, digest in link.validation.items() if digest in trained]
    if not seen:
        return []
    return [
        f"The start was trained on {_shown(seen)}, which now {'judges' if len(seen) == 1 else 'judge'} this run, so "
        "its score flatters; split as the start was split, or start from another model."
    ]


def gold_before(lineage: Sequence[Link], samples: Sequence[Sample] | SyntheticStream, prepared: Prepared) -> list[str]:
    """A sentence if images of a run were gold when its start was trained: their lock may have been lost."""
    gold = {digest for link in lineage for digest in link.gold.values() if digest}
    if not gold or isinstance(samples, SyntheticStream):
        return []
    used = (*prepared.train, *prepared.validation)
    names = [_name(samples, i) for i in used if image_fingerprint(samples[i]) in gold]
    if not names:
        return []
    return [
        f"{_shown(names)} {'was' if len(names) == 1 else 'were'} set aside as gold when the start was trained, and now "
        "train or judge: on them no model of this line can be tested any more; if that is not meant, restore gold.json."
    ]


def marks_of(samples: Sequence[Sample] | SyntheticStream, prepared: Prepared) -> list[str]:
    """A sentence for what reports on some of the images must say, such as that gold was opened before."""
    if isinstance(samples, SyntheticStream):
        return []
    by_mark: dict[str, list[str]] = {}
    for i in (*prepared.train, *prepared.validation, *prepared.gold):
        if samples[i].mark:
            by_mark.setdefault(samples[i].mark, []).append(_name(samples, i))
    return [f"About {_shown(names)}: {mark}" for mark, names in by_mark.items()]


def stream_as_data(stream: SyntheticStream) -> dict[str, Any]:
    """A stream as plain data: its recipe or ranges, under that name, and its seed."""
    kind = "ranges" if isinstance(stream.ranges, RecipeRanges) else "recipe"
    return {kind: stream.ranges.model_dump(mode="json"), "seed": stream.seed}


def stream_from_data(told: dict[str, Any]) -> SyntheticStream:
    """The stream that `stream_as_data` was made of.

    Raises
    ------
    InputError
        It is of a version whose settings this one does not know.
    """
    if "ranges" in told:
        return SyntheticStream(RecipeRanges.model_validate(told["ranges"]), told["seed"])
    return SyntheticStream(MicrostructureRecipe.model_validate(told.get("recipe")), told.get("seed", 0))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _of_samples(samples: Sequence[Sample], indices: Sequence[int]) -> dict[str, str]:
    return {_name(samples, index): painted_fingerprint(samples[index]) for index in indices}


def _name(samples: Sequence[Sample], index: int) -> str:
    return samples[index].name or f"sample {index}"
