"""Runs side by side: the settings in which they differ, and what came of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.training.runs import RunRecord

__all__ = ["RunComparison", "compare_runs", "mean_dice"]


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side, in the order given.

    Attributes
    ----------
    names
        Of the runs.
    differences
        ``(setting, values)``, one value a run, only settings in which they differ; ``None``: the run has no such
        setting (fewer stages, say). Beside those of the recipe: start, images, versions, device.
    figures
        ``(figure, values)``: lowest validation loss, Dice of every class and on average, epochs, seconds, reason.
    curves
        Of every run: ``(epoch, training loss, validation loss, mean Dice)``, one row an epoch.
    """

    names: tuple[str, ...]
    differences: tuple[tuple[str, tuple[Any, ...]], ...]
    figures: tuple[tuple[str, tuple[Any, ...]], ...]
    curves: tuple[tuple[tuple[int, float, float, float], ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the curves as plain numbers, strings and lists, ready for JSON."""
        return {
            "runs": list(self.names),
            "differences": {name: list(values) for name, values in self.differences},
            "figures": {name: list(values) for name, values in self.figures},
        }


def compare_runs(records: Sequence[RunRecord]) -> RunComparison:
    """Compare two runs or more.

    Raises
    ------
    InputError
        Fewer than two, or one that is damaged.
    """
    if len(records) < 2:
        raise InputError("there is nothing to compare a single run with; choose two runs or more.")
    for record in records:
        if record.facts is None or record.recipe is None:
            raise InputError(f"{record.name} cannot be compared: {record.fault or 'it has no recipe yet.'}")
    settings = [dict(_settings(record)) for record in records]
    order = list(dict.fromkeys(name for each in settings for name in each))
    rows = [(name, tuple(each.get(name) for each in settings)) for name in order]
    histories = [record.history() for record in records]
    return RunComparison(
        tuple(record.name for record in records),
        tuple(row for row in rows if any(value != row[1][0] for value in row[1])),
        tuple(_figures(records)),
        tuple(tuple(_point(row) for row in history) for history in histories),
    )


def mean_dice(row: dict[str, Any]) -> float:
    """Mean Dice of an epoch over the classes painted on the validation images; nan if none is."""
    found = [value for name, value in row.items() if name.startswith("val_dice_") and value == value]
    return sum(found) / len(found) if found else float("nan")


def _point(row: dict[str, Any]) -> tuple[int, float, float, float]:
    return row["epoch"], row["train_loss"], row["val_loss"], mean_dice(row)


def _settings(record: RunRecord) -> Iterator[tuple[str, Any]]:
    """Everything that decides a run, flat: settings of the recipe, start, images, versions, device."""
    facts = record.facts
    assert facts is not None
    yield "start", record.start
    yield "trained on", ", ".join(used.name for used in facts.train)
    yield "validated on", ", ".join(used.name for used in facts.validation) or facts.judged_by
    prints = sorted(facts.fingerprints.items())
    yield "images and labels", " ".join(f"{name}:{digest[:8]}" for name, digest in prints)
    yield from _flat(record.recipe or {}, "")
    yield "device used", facts.device
    for name, version in facts.versions.items():
        yield f"version of {name}", version


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Settings of nested recipes by path, stages counted from 1: ``stages.2.rates.head``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, start=1):
            yield from _flat(inner, f"{name}.{number}")
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def _figures(records: Sequence[RunRecord]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield "best validation loss", tuple(record.best_val_loss for record in records)
    yield "mean Dice", tuple(record.mean_dice for record in records)
    all_facts = [record.facts for record in records if record.facts is not None]
    dice = [dict(zip(facts.classes, facts.best_dice, strict=False)) for facts in all_facts]
    for name in dict.fromkeys(name for facts in all_facts for name in facts.classes):
        yield f"Dice of {name}", tuple(each.get(name) for each in dice)
    yield "best epoch", tuple(facts.best_epoch for facts in all_facts)
    yield "epochs", tuple(record.epochs for record in records)
    yield "seconds", tuple(record.seconds for record in records)
    yield "ended", tuple(record.reason for record in records)
