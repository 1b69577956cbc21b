"""Runs on disk: which there are, what came of each, and how to run one again."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample
from napari_anneal.training.checkpoint import has_checkpoint
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run_facts import FACTS, RunFacts, read_facts, start_in_words
from napari_anneal.training.run_lock import is_locked
from napari_anneal.validation import Fold, SplitPlan, SplitReport

__all__ = [
    "REPORT",
    "Order",
    "RunRecord",
    "list_runs",
    "order_of",
    "read_history",
    "read_recipe",
    "read_run",
    "split_of",
    "start_named",
]

RECIPE, HISTORY, REPORT = "recipe.json", "history.csv", "report.html"
# Where a run keeps the runs that it is compared with.
CONTROLS = "controls"
# Runs lie in a folder, or a level deeper as the folds of a cross-validation or the parts of a cascade.
DEPTH = 2
# What a person reads in place of the reason "running" once nothing runs there any more.
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunRecord:
    """One run on disk.

    Attributes
    ----------
    path, name
        Its folder, and that folder's name below the one that was listed.
    fault
        Empty, or a sentence that says why the rest is unknown.
    facts
        All that ``run.json`` holds; ``None`` where it is damaged.
    recipe
        As plain numbers and strings; empty where ``recipe.json`` is missing or damaged.
    reason
        "complete", "stopped early", "finished", "cancelled", "diverged", "disk full", "failed", "running" or
        "interrupted" (it neither ended nor runs now).
    resumable
        Whether it can be gone on with.
    """

    path: Path
    name: str
    fault: str = ""
    facts: RunFacts | None = None
    recipe: dict[str, Any] | None = None
    reason: str = ""
    resumable: bool = False

    @property
    def when(self) -> str:
        """When it began, ISO 8601, UTC; empty if unknown."""
        return self.facts.created if self.facts else ""

    @property
    def start(self) -> str:
        """Where its weights came from, in words."""
        return start_in_words(self.facts.start) if self.facts else ""

    @property
    def preset(self) -> str:
        """The preset that its stages came from; "custom" for none."""
        return str((self.recipe or {}).get("preset", ""))

    @property
    def best_val_loss(self) -> float | None:
        """The lowest validation loss; ``None`` before the first validation."""
        return self.facts.best_val_loss if self.facts else None

    @property
    def mean_dice(self) -> float | None:
        """Mean Dice, at the lowest validation loss, of the classes that are painted there."""
        known = [d for d in self.facts.best_dice if d is not None] if self.facts else []
        return sum(known) / len(known) if known else None

    @property
    def epochs(self) -> int:
        """Epochs that were run."""
        return self.facts.epochs if self.facts else 0

    @property
    def seconds(self) -> float:
        """How long it took, without the pauses between an interruption and its resumption."""
        return self.facts.seconds if self.facts else 0.0

    @property
    def model(self) -> Path | None:
        """Folder of its bundle, if there is one."""
        return self.path / "model" if (self.path / "model").is_dir() else None

    @property
    def report(self) -> Path | None:
        """Its report, if there is one."""
        return self.path / REPORT if (self.path / REPORT).is_file() else None

    def history(self) -> list[dict[str, Any]]:
        """Read its table of epochs (empty if there is none)."""
        return read_history(self.path)

    def to_dict(self) -> dict[str, Any]:
        """Return what a list shows, as plain numbers and strings, ready for JSON."""
        return {
            "name": self.name,
            "path": str(self.path),
            "when": self.when,
            "start": self.start,
            "preset": self.preset,
            "best_val_loss": self.best_val_loss,
            "mean_dice": self.mean_dice,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "reason": self.reason,
            "resumable": self.resumable,
            "findings": [finding.kind for finding in self.facts.findings] if self.facts else [],
            "fault": self.fault,
        }


@dataclass(frozen=True)
class Order:
    """What a run was asked to do: hand it to `fine_tune` to run it again. ``start`` as there; ``None``: scratch."""

    recipe: FineTuneRecipe
    start: str | None
    plan: SplitPlan | None


def list_runs(folder: str | os.PathLike[str]) -> list[RunRecord]:
    """List the runs in a folder, newest first.

    Parameters
    ----------
    folder
        A folder of runs, or of one. Runs a level deeper, as a cross-validation leaves them, and the controls of a run
        are listed too. Other folders are passed over; a damaged run is listed last, with its ``fault``.

    Raises
    ------
    InputError
        There is no such folder, or it cannot be read.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; check the path.")
    try:
        found = [read_run(path, _name_below(root, path)) for path in _run_folders(root, DEPTH)]
    except OSError as error:
        raise InputError(f"{root} cannot be read ({error.strerror}); check its permissions.") from error
    return sorted(found, key=lambda record: (record.when, record.name), reverse=True)


def read_run(path: Path, name: str = "") -> RunRecord:
    """Read what is known of one run; what is damaged is said in its ``fault``, never raised."""
    name = name or path.name
    try:
        facts = read_facts(path)
    except InputError as error:
        return RunRecord(path, name, fault=str(error))
    reason = facts.reason
    if reason == "running" and not is_locked(path):
        reason = INTERRUPTED
    try:
        recipe, fault = read_recipe(path).model_dump(mode="json"), ""
    except InputError as error:
        recipe, fault = None, "" if reason == "running" else str(error)
    resumable = has_checkpoint(path) and reason != "running"
    return RunRecord(path, name, fault, facts, recipe, reason, resumable)


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read the table of epochs of a run; empty if there is none, up to the damage if it is damaged."""
    path = folder / HISTORY
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    whole, texts = {"epoch", "step"}, {"stage"}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                read = {
                    key: int(value) if key in whole else value if key in texts else _value(value)
                    for key, value in row.items()
                }
            except (TypeError, ValueError):
                break
            rows.append(read)
    return rows


def read_recipe(path: str | os.PathLike[str]) -> FineTuneRecipe:
    """Read a recipe: a JSON file, or the folder of a run.

    Raises
    ------
    InputError
        There is no such file, it is not JSON, or a setting in it is wrong.
    """
    file = Path(path).expanduser()
    file = file / RECIPE if file.is_dir() else file
    try:
        text = file.read_text(encoding="utf-8")
        json.loads(text)
    except FileNotFoundError:
        raise InputError(f"there is no recipe {file}; check the path.") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{file} is not a recipe: it cannot be read as JSON ({error}).") from error
    try:
        return FineTuneRecipe.model_validate_json(text)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def order_of(run: str | os.PathLike[str], samples: Sequence[Sample], start: str | None = None) -> Order:
    """Recipe, start and split that a run began with, to run it again on the same images.

    Parameters
    ----------
    run
        Its folder.
    samples
        The images, recognised by their names; those that the run did not know are left out.
    start
        In place of its own; "scratch" for fresh weights.

    Raises
    ------
    InputError
        Its files are damaged, an image is missing, or its start was a model in memory.
    """
    folder = Path(run).expanduser()
    facts, recipe = read_facts(folder), read_recipe(folder)
    start = start or facts.start_given
    if not start:
        raise InputError(
            f"the run in {folder} started from a model in memory ({start_in_words(facts.start)}), which its files "
            "cannot bring back; choose the start yourself."
        )
    return Order(recipe, start_named(start), split_of(facts, samples))


def start_named(word: str) -> str | None:
    """The start that `fine_tune` is given where people write a word: ``scratch`` is none at all."""
    return None if word == "scratch" else word


def split_of(facts: RunFacts, samples: Sequence[Sample]) -> SplitPlan | None:
    """The split that a run was judged by, on images recognised by their names; ``None``: paint was held out.

    Raises
    ------
    InputError
        An image of the run is not among the samples.
    """
    if facts.judged_by != "other groups":
        return None
    places = {sample.name or f"sample {number}": number for number, sample in enumerate(samples)}
    missing = [used.name for used in (*facts.train, *facts.validation) if used.name not in places]
    if missing:
        raise InputError(
            f"image {missing[0]!r} of the run {facts.name!r} is not among these; give the images that it was trained "
            "on."
        )
    train, val = (tuple(places[used.name] for used in part) for part in (facts.train, facts.validation))
    gold = tuple(places[used.name] for used in facts.gold if used.name in places)
    groups = tuple(sorted({used.group for used in facts.validation}))
    report = SplitReport((groups,), (), tuple(sorted({used.group for used in facts.gold})), (), ())
    return SplitPlan((Fold(train, val),), gold, report)


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Folders of runs, this one included; hidden ones are not looked at, and within a run only its controls."""
    if (folder / FACTS).is_file():
        yield folder
        if (folder / CONTROLS).is_dir():
            yield from _run_folders(folder / CONTROLS, 1)
    elif depth:
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
                yield from _run_folders(child, depth - 1)


def _name_below(root: Path, path: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _value(text: str) -> float | bool:
    """A cell of the history: a truth value or a number (nan where there is none)."""
    if text in ("True", "False"):
        return text == "True"
    return float(text) if text else math.nan
