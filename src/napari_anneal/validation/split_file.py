"""A split as a file: JSON that names who trains, who validates and what is gold, checked again when it is read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_anneal.errors import GoldError, InputError, OutputError
from napari_anneal.samples.gold import gold_fingerprint
from napari_anneal.samples.placing import why_not_written
from napari_anneal.samples.sample import Sample, refuse_copy
from napari_anneal.validation.leakage import Copy, find_copies, merge_copies, sample_name
from napari_anneal.validation.splits import Fold, SplitPlan, report_of

__all__ = ["plan_to_dict", "read_plan", "write_plan"]

FORMAT = "napari-anneal split 1"


def plan_to_dict(plan: SplitPlan, samples: Sequence[Sample]) -> dict[str, Any]:
    """The plan with samples by their names, ready for JSON.

    Raises
    ------
    InputError
        Two samples have one name, so that names would not tell them apart.
    """
    names = _names(samples)
    return {
        "format": FORMAT,
        "folds": [{"train": [names[i] for i in f.train], "val": [names[i] for i in f.val]} for f in plan.folds],
        "gold": [names[i] for i in plan.gold],
        "gold_images": {names[i]: gold_fingerprint(samples[i]) for i in plan.gold},
        "groups": {name: sample.group for name, sample in zip(names, samples, strict=True)},
        "warnings": list(plan.report.warnings),
    }


def write_plan(
    plan: SplitPlan, samples: Sequence[Sample], path: str | os.PathLike[str], overwrite: bool = False
) -> Path:
    """Write a plan as JSON.

    Raises
    ------
    OutputError
        The file exists (and is not to be replaced) or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists; choose another name or delete it first.")
    text = json.dumps(plan_to_dict(plan, samples), indent=2) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({why_not_written(error)}); choose another place.") from error
    return path


def read_plan(
    path: str | os.PathLike[str], samples: Sequence[Sample], copies: Sequence[Copy] | None = None
) -> SplitPlan:
    """Read a plan and fit it to samples, by their names; groups may have been edited since, so all is checked again.

    Parameters
    ----------
    path
        What `write_plan` wrote.
    samples
        Each sample that the file names must be among them; those it does not name are in no fold.
    copies
        What `find_copies` found among these samples; ``None``: they are looked for here.

    Raises
    ------
    InputError
        No such file, no plan, a name that no sample has, a sample on both sides of a fold or in a fold and gold, an
        augmented copy that validates, or a group (or copies of one image) on both sides.
    GoldError
        A gold image is not the one that was set aside.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the split {path} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a split as 'napari-anneal split --out' writes it; make it again.") from error
    names = _names(samples)
    index = {name: i for i, name in enumerate(names)}
    try:
        if raw["format"] != FORMAT:
            raise ValueError(raw["format"])
        given = [(list(map(str, f["train"])), list(map(str, f["val"]))) for f in raw["folds"]]
        gold_names = list(map(str, raw["gold"]))
        gold_images = {str(name): str(digest) for name, digest in raw.get("gold_images", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a split as 'napari-anneal split --out' writes it; make it again.") from error
    for name in (*(n for pair in given for side in pair for n in side), *gold_names):
        if name not in index:
            raise InputError(
                f"{path.name} names the image {name!r}, which is not among these {len(samples)} samples; make the "
                "split anew, or put the image back."
            )
    for name, digest in gold_images.items():
        if name in index and gold_fingerprint(samples[index[name]]) != digest:
            raise GoldError(
                f"{name!r} is not the image that {path.name} set aside as gold: its pixels were changed since; restore "
                "the image."
            )
    folds = tuple(Fold(*(tuple(sorted({index[n] for n in side})) for side in pair)) for pair in given)
    gold = tuple(sorted({index[n] for n in gold_names}))
    merged = merge_copies(samples, find_copies(samples) if copies is None else copies)
    for number, fold in enumerate(folds, start=1):
        for i in fold.val:
            refuse_copy(samples[i], f"{path.name}, fold {number}: {names[i]!r}")
        _check_fold(f"{path.name}, fold {number}", fold, gold, names, merged.keys, merged.names)
    if not folds:
        raise InputError(f"{path.name} holds no folds; make the split anew.")
    return SplitPlan(folds, gold, report_of(samples, folds, gold, merged))


def _check_fold(
    where: str, fold: Fold, gold: tuple[int, ...], names: Sequence[str], keys: Sequence[str], groups: Sequence[str]
) -> None:
    """Refuse a fold with an empty side, or with a group on two of train, validation and gold."""
    sides = {"trains": fold.train, "validates": fold.val, "is gold": gold}
    for what in ("trains", "validates"):
        if not sides[what]:
            raise InputError(f"{where}: no image {what}; make the split anew.")
    seen: dict[str, tuple[str, int]] = {}
    for what, members in sides.items():
        for i in members:
            before, other = seen.setdefault(keys[i], (what, i))
            if before != what:
                raise InputError(
                    f"{where}: {names[other]!r} {before} and {names[i]!r} {what}, but both are of one group "
                    f"({groups[i].strip()}); make the split anew."
                )


def _names(samples: Sequence[Sample]) -> list[str]:
    names = [sample_name(samples, i) for i in range(len(samples))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two samples are called {twice[0]!r}; give every sample a name of its own.")
    return names
