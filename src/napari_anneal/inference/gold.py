"""``open_gold``: the one look at the gold set, by a model that can change no more, written down before it is taken."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_anneal.errors import AnnealError, GoldError, InputError, OutputError
from napari_anneal.inference.model import Model, load_model
from napari_anneal.models.bundle import bundle_hash, is_bundle, read_card
from napari_anneal.models.card import BundleCard
from napari_anneal.models.lineage import gold_ledgers
from napari_anneal.samples.fingerprints import image_fingerprint, painted_fingerprint
from napari_anneal.samples.gold import seal_of, unlocked
from napari_anneal.samples.gold_events import gold_mark, now, openings
from napari_anneal.samples.gold_folder import read_gold_file, remember_ledger
from napari_anneal.samples.ledger import LedgerState, append_entry, read_ledger
from napari_anneal.samples.sample import Sample
from napari_anneal.validation import Report, SplitPlan, evaluate, find_copies
from napari_anneal.validation.evaluation_page import PAGE, write_evaluation
from napari_anneal.validation.leakage.merging import sample_name
from napari_anneal.validation.leakage.planes import fingerprint, grey, planes_of
from napari_anneal.validation.report import LedgerNote

__all__ = ["ANCHOR", "GoldOpening", "open_gold", "opened_before"]

# Beside the files of a bundle: which ledgers know of openings by this model.
ANCHOR = "gold-openings.json"


@dataclass(frozen=True)
class GoldOpening:
    """What came of opening gold.

    ``report`` names its line of the ledger, and has a ``mark`` unless this was the first opening; ``number`` counts the
    openings of these images, this one included; ``sentence`` says what happened; ``page`` is the report on disk.
    """

    report: Report
    number: int
    sentence: str
    page: Path | None = None


def open_gold(
    model: str | os.PathLike[str],
    samples: Sequence[Sample],
    plan: SplitPlan,
    *,
    who: str,
    ledger: str | os.PathLike[str],
    metrics: Iterable[str] | None = None,
    tolerance: float = 2.0,
    tolerance_um: float | None = None,
    controls_from: Sequence[Sample] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> GoldOpening:
    """Score a finished model on the gold samples of a plan, and write down who did it.

    The opening is in the ledger before a pixel is looked at, and the score before it is returned: ending the process
    in between leaves a line that says so. Gold that was opened before, by whatever model, is opened again only as
    "not gold any more": the report carries that mark. It is known again under any name, mirrored or turned; with other
    grey levels, noisy or cropped as long as the image that was opened is among the samples.

    Parameters
    ----------
    model
        A saved bundle, folder or zip. A folder also remembers the ledger (in ``gold-openings.json`` beside its files);
        a zip cannot.
    samples, plan
        Gold is what the plan says; locked or not. The other samples are searched for copies of gold.
    who
        Who looks: a name for the ledger.
    ledger
        JSON lines, created if need be; see `samples.ledger` for what it can and cannot show.
    metrics, tolerance, tolerance_um, controls_from, progress
        As for `evaluate`.
    out
        Folder for ``report.html``, ``report.json`` and ``report.csv``, as `write_evaluation` writes them.
    overwrite
        Replace an earlier report there.

    Raises
    ------
    InputError
        The model is not a saved bundle, there is no gold, nobody is named, or the gold cannot be scored (then it does
        not count as opened).
    GoldError
        The model, or one that it comes from, was trained or judged on a gold image or on a copy of one; or gold is in
        a fold.
    LedgerError
        The ledger was edited, shortened, replaced or deleted.
    OutputError
        There is a report in ``out`` already, or the ledger cannot be written.
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
        raise GoldError(f"{sample_name(samples, min(trained))} is gold and in a fold at once; make the split anew.")
    if out is not None and (Path(out).expanduser() / PAGE).exists() and not overwrite:
        raise OutputError(f"{Path(out) / PAGE} already exists; choose another folder, or overwrite it.")
    card = read_card(place)
    gold = {i: unlocked(samples[i]) for i in plan.gold}
    names = {i: sample_name(samples, i) for i in gold}
    painted = {i: painted_fingerprint(sample) for i, sample in gold.items()}
    copies = _copies_of_gold(samples, gold)
    _refuse_known(card, samples, painted, copies)
    pixels = {i: image_fingerprint(sample) for i, sample in gold.items()}
    turned = {i: _turned(sample) for i, sample in gold.items()}
    seen = {*pixels.values(), *turned.values()} - {""}
    images = {names[i]: code for i, code in pixels.items()}
    anchors = [place / ANCHOR] if place.is_dir() else []
    remembered = _remembered(place, card, ledger, [samples[i] for i in plan.gold])
    entries = read_ledger(ledger, anchors, set(images.values()), remembered)
    # A copy that is no gold itself may be the image under which this gold was opened.
    twins = {image_fingerprint(unlocked(samples[i])) for i in copies}
    before = openings(entries, seen | twins)
    about: dict[str, Any] = {"who": who.strip(), "model": bundle_hash(place), "bundle": place.name}
    told: dict[str, Any] = {"event": "opened", "when": now(), **about, "images": images}
    told["turned"] = {names[i]: code for i, code in turned.items()}

    def write_down(record: dict[str, Any]) -> Any:
        return append_entry(ledger, record, anchors, set(images.values()), remembered)

    opened = write_down({**told, "painted": {names[i]: code for i, code in painted.items()}})
    try:
        loaded = load_model(place)
        report = evaluate(
            loaded, list(gold.values()), metrics=metrics, tolerance=tolerance, tolerance_um=tolerance_um,
            controls_from=controls_from, progress=progress,
        )  # fmt: skip
    except AnnealError as error:
        write_down({"event": "not scored", "opening": opened.hash, "when": now(), "why": str(error)})
        raise
    score = {m: report.to_dict()["mean"][m] for m in report.metrics}
    write_down({"event": "scored", "opening": opened.hash, "when": now(), **about, "score": score})
    remember_ledger(Path(ledger).parent, ledger)
    mark, number = gold_mark(entries, seen | twins), len(before) + 1
    note = LedgerNote(Path(ledger).name, opened.number, opened.hash, who.strip(), told["when"], about["model"], number)
    report = replace(report, mark=mark, opening=note)
    says = f"Gold of {len(gold)} image{'s' * (len(gold) != 1)} opened by {who.strip()}; written to {ledger}."
    page = None
    if out is not None:
        try:
            page = _write_page(report, loaded, list(gold.values()), out, place, ledger, overwrite)
        except OutputError as error:  # the look has been taken: its figures must not be lost with the page
            says += f" Its report is missing: {error}"
    return GoldOpening(report, number, f"{mark} {says}".strip(), page)


def opened_before(
    samples: Sequence[Sample], ledger: str | os.PathLike[str], model: str | os.PathLike[str] | None = None
) -> str:
    """The mark of a report on these samples: empty if no ledger line tells that one was opened or released as gold.

    Parameters
    ----------
    samples
        What is reported on.
    ledger
        Where openings are written down.
    model
        The bundle that is judged: it may remember lines that are not there any more.

    Raises
    ------
    LedgerError
        The ledger was edited, shortened, replaced or deleted.
    """
    place = None if model is None else Path(model)
    known = place is not None and is_bundle(place)
    remembered = _remembered(place, read_card(place), ledger, ()) if known and place is not None else {}
    anchors = [place / ANCHOR] if known and place is not None and place.is_dir() else []
    if not (Path(ledger).exists() or remembered or any(anchor.exists() for anchor in anchors)):
        read_ledger(ledger)  # it may be gone, with its anchor still there
        return ""
    codes = {code for sample in samples for code in _codes(unlocked(sample))}
    return gold_mark(read_ledger(ledger, anchors, codes, remembered), codes)


def _remembered(
    place: Path, card: BundleCard, ledger: str | os.PathLike[str], gold: Sequence[Sample]
) -> dict[str, list[LedgerState]]:
    """What the card of the model, the folder's ``gold.json`` and the seals of gold images know of ledgers."""
    found = {f"the model {place.name}": list(gold_ledgers(card.lineage))}
    file = read_gold_file(Path(ledger).parent)
    if file is not None and file.ledger is not None:
        found["gold.json"] = [replace(file.ledger, images=tuple(file.samples.values()))]
    for sample in gold:
        seal = seal_of(sample)
        if seal is not None and seal.ledger is not None:
            found[f"the seal of {sample.name}"] = [replace(seal.ledger, images=(seal.fingerprint,))]
    return {where: states for where, states in found.items() if states}


def _copies_of_gold(samples: Sequence[Sample], gold: Mapping[int, Sample]) -> dict[int, str]:
    """Sentence about each sample that is no gold but a copy of a gold image."""
    names = [sample_name(samples, i) for i in range(len(samples))]
    found: dict[int, str] = {}
    for copy in find_copies(samples):
        for index, other in ((copy.first, copy.second), (copy.second, copy.first)):
            if other in gold and index not in gold:
                found.setdefault(index, copy.sentence(names))
    return found


def _refuse_known(
    card: BundleCard, samples: Sequence[Sample], gold: Mapping[int, str], copies: Mapping[int, str]
) -> None:
    """Refuse a model that learned from a gold image or from a copy of one, or comes from a model that did.

    ``gold`` are the fingerprints of what is painted on it.
    """
    known = set(card.fingerprints.values())
    for link in card.lineage:
        known |= {*link.train.values(), *link.validation.values()}
    for i, painted in gold.items():
        if painted in known:
            raise GoldError(
                f"the model was trained or judged on {sample_name(samples, i)}, which is gold: its score there would "
                "say nothing; take another gold group, or train without this one."
            )
    for i, sentence in copies.items():
        if painted_fingerprint(unlocked(samples[i])) in known:
            raise GoldError(
                f"the model was trained or judged on a copy of gold: {sentence} Its score there would say nothing; "
                "take another gold group, or train without the copy."
            )


def _codes(sample: Sample) -> set[str]:
    """By what an image is known again: its pixels, and what all its eight versions have in common."""
    return {image_fingerprint(sample), _turned(sample)} - {""}


def _turned(sample: Sample) -> str:
    """SHA-256 that an image shares with its mirrored and turned versions; empty for a stack and a constant image."""
    if sample.is_stack:
        return ""
    code = fingerprint(grey(sample, planes_of([sample])[0]))
    return hashlib.sha256(repr(code).encode()).hexdigest() if code else ""


def _write_page(
    report: Report,
    model: Model,
    gold: Sequence[Sample],
    out: str | os.PathLike[str],
    place: Path,
    ledger: str | os.PathLike[str],
    overwrite: bool,
) -> Path:
    """The report as a page: what an evaluation shows, and where the opening is written down."""
    about = {"Model": str(place), "Gold ledger": str(ledger)}
    about |= {f"with {what}": version for what, version in model.card.versions.items()}
    title = f"{model.card.name or place.name} on gold"
    return write_evaluation(
        report, model, gold, out, colours=model.colours, title=title, about=about, overwrite=overwrite
    )
