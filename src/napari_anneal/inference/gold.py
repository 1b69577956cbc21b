"""``open_gold``: the one look at the gold set, by a model that can change no more, written down before it is taken."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_anneal.errors import AnnealError, GoldError, InputError
from napari_anneal.inference.model import load_model
from napari_anneal.models.bundle import bundle_hash, is_bundle, read_card
from napari_anneal.models.card import BundleCard
from napari_anneal.samples.fingerprints import image_fingerprint, painted_fingerprint
from napari_anneal.samples.gold import unlocked
from napari_anneal.samples.sample import Sample
from napari_anneal.validation import Report, SplitPlan, evaluate
from napari_anneal.validation.ledger import Entry, append_entry, read_ledger

__all__ = ["ANCHOR", "GoldOpening", "open_gold", "opened_before"]

# Beside the files of a bundle: which ledgers know of openings by this model.
ANCHOR = "gold-openings.json"


@dataclass(frozen=True)
class GoldOpening:
    """What came of opening gold.

    ``report`` has a ``mark`` unless this was the first opening; ``number`` counts the openings of these images, this
    one included; ``sentence`` says what happened.
    """

    report: Report
    number: int
    sentence: str


def open_gold(
    model: str | os.PathLike[str],
    samples: Sequence[Sample],
    plan: SplitPlan,
    *,
    who: str,
    ledger: str | os.PathLike[str],
    metrics: Iterable[str] | None = None,
    tolerance: float = 2.0,
    progress: Callable[[int, int], None] | None = None,
) -> GoldOpening:
    """Score a finished model on the gold samples of a plan, and write down who did it.

    The opening is in the ledger before a pixel is looked at, and the score before it is returned: ending the process
    in between leaves a line that says so. Gold that was opened before, by whatever model, is opened again only as
    "not gold any more": the report carries that mark.

    Parameters
    ----------
    model
        A saved bundle, folder or zip. A folder also remembers the ledger (in ``gold-openings.json`` beside its files);
        a zip cannot.
    samples, plan
        Gold is what the plan says; locked or not.
    who
        Who looks: a name for the ledger.
    ledger
        JSON lines, created if need be; see `validation.ledger` for what it can and cannot show.
    metrics, tolerance, progress
        As for `evaluate`.

    Raises
    ------
    InputError
        The model is not a saved bundle, there is no gold, nobody is named, or the gold cannot be scored (then it does
        not count as opened).
    GoldError
        The model, or one that it comes from, was trained or judged on a gold image; or gold is in a fold.
    LedgerError
        The ledger was edited, shortened, replaced or deleted.
    """
    if not isinstance(model, str | os.PathLike):
        raise InputError("only a saved model can open gold, because one in memory can still change; save it first.")
    place = Path(model)
    if not is_bundle(place):
        raise InputError(f"there is no model bundle at {str(model)!r}; gold is opened by a saved bundle only.")
    if not who.strip():
        raise InputError("opening gold needs the name of who does it, for the ledger.")
    if not plan.gold:
        raise InputError("the plan has no gold samples; name a gold group.")
    trained = {i for fold in plan.folds for i in (*fold.train, *fold.val)} & set(plan.gold)
    if trained:
        raise GoldError(f"{_name(samples, min(trained))} is gold and in a fold at once; make the split anew.")
    gold = {i: unlocked(samples[i]) for i in plan.gold}
    _refuse_known(read_card(place), {_name(samples, i): sample for i, sample in gold.items()})
    images = {_name(samples, i): image_fingerprint(sample) for i, sample in gold.items()}
    painted = {_name(samples, i): painted_fingerprint(sample) for i, sample in gold.items()}
    anchors = [place / ANCHOR] if place.is_dir() else []
    seen = set(images.values())
    before = _openings(read_ledger(ledger, anchors, seen), seen)
    about: dict[str, Any] = {"who": who.strip(), "model": bundle_hash(place), "bundle": place.name}
    opened = append_entry(
        ledger, {"event": "opened", "when": _now(), **about, "images": images, "painted": painted}, anchors, seen
    )
    try:
        report = evaluate(
            load_model(place), list(gold.values()), metrics=metrics, tolerance=tolerance, progress=progress
        )
    except AnnealError as error:
        void = {"event": "not scored", "opening": opened.hash, "when": _now(), "why": str(error)}
        append_entry(ledger, void, anchors, seen)
        raise
    score = {m: report.to_dict()["mean"][m] for m in report.metrics}
    told: dict[str, Any] = {"event": "scored", "opening": opened.hash, "when": _now(), **about, "score": score}
    append_entry(ledger, told, anchors, seen)
    mark = _mark(before)
    says = f"Gold of {len(gold)} image{'s' * (len(gold) != 1)} opened by {who.strip()}; written to {ledger}."
    return GoldOpening(replace(report, mark=mark), len(before) + 1, f"{mark} {says}".strip())


def opened_before(
    samples: Sequence[Sample], ledger: str | os.PathLike[str], anchors: Sequence[str | os.PathLike[str]] = ()
) -> str:
    """The mark of a report on these samples: empty if no ledger line tells that one of them was opened as gold.

    Raises
    ------
    LedgerError
        The ledger was edited, shortened, replaced or deleted.
    """
    entries = read_ledger(ledger, anchors)
    if not entries:
        return ""
    return _mark(_openings(entries, {image_fingerprint(unlocked(sample)) for sample in samples}))


def _openings(entries: Sequence[Entry], images: set[str]) -> list[Entry]:
    """Lines that tell of an opening of at least one of these images that was not given up without a score."""
    void = {e.record.get("opening") for e in entries if e.record.get("event") == "not scored"}
    return [
        e
        for e in entries
        if e.record.get("event") == "opened" and e.hash not in void and images & set(e.record["images"].values())
    ]


def _mark(before: Sequence[Entry]) -> str:
    if not before:
        return ""
    first = before[0].record
    times = "once" if len(before) == 1 else f"{len(before)} times"
    return f"Not gold any more: opened {times} before, first on {first['when'][:10]} by {first['who']}."


def _refuse_known(card: BundleCard, gold: dict[str, Sample]) -> None:
    """Refuse a model that learned from a gold image, or comes from one that did."""
    known = set(card.fingerprints.values())
    for link in card.lineage:
        known |= {*link.train.values(), *link.validation.values()}
    for name, sample in gold.items():
        if painted_fingerprint(sample) in known:
            raise GoldError(
                f"the model was trained or judged on {name}, which is gold: its score there would say nothing; take "
                "another gold group, or train without this one."
            )


def _name(samples: Sequence[Sample], index: int) -> str:
    return samples[index].name or f"image {index + 1}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
