"""What a report of several runs reads from their record: folds, tasks of a cascade, what a comparison says."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError

__all__ = ["CASCADE", "COMPARISON", "CROSS_VALIDATION", "comparison", "fold_table", "task_table"]

# The record of a cascade, in its folder.
CASCADE = "cascade.json"
# The figures of a cross-validation: of every model on the images it never saw.
CROSS_VALIDATION = "cross-validation.json"
# What a run and its controls came to, beside the controls.
COMPARISON = "controls.json"


def fold_table(folder: Path) -> dict[str, Any] | None:
    """Figures of a cross-validation by fold, as `CrossValidation.to_dict` wrote them; ``None`` if there are none.

    Raises
    ------
    InputError
        Its file is damaged.
    """
    return _read(folder / CROSS_VALIDATION, _folds, "delete it, and the report is written without it")


def task_table(folder: Path) -> dict[str, Any] | None:
    """Mean Dice of every task after every run, as `Cascade.to_dict` tells it; ``None`` if the folder holds no cascade.

    Raises
    ------
    InputError
        The record is damaged.
    """
    return _read(folder / CASCADE, _tasks, "the report of the cascade cannot be written without it")


def comparison(folder: Path) -> str:
    """What a run and its controls, in this folder, say together, as `ControlledRun.to_dict` tells it; else empty.

    Raises
    ------
    InputError
        The record is damaged.
    """
    told = _read(folder / COMPARISON, dict, "delete it, and the report is written without it")
    return str(told.get("sentence") or "") if told else ""


def _read(path: Path, fields: Callable[[Any], dict[str, Any]], so: str) -> dict[str, Any] | None:
    """Return the fields of a table from a file, ``None`` without the file; ``so`` says what damage leads to."""
    if not path.is_file():
        return None
    try:
        return fields(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}); {so}.") from error


def _folds(told: Any) -> dict[str, Any]:
    rows = [
        {
            "name": f"{fold['fold']}" + (f", seed {fold['seed']}" if len(told["seeds"]) > 1 else ""),
            "folder": Path(fold["model"]).parent.name if fold["model"] else "",
            "groups": ", ".join(fold["groups"]),
            "dice": fold["report"]["mean"]["dice"],
            "reason": fold["reason"],
        }
        for fold in told["folds"]
    ]
    interval, seeds = told.get("interval_95", {}).get("dice", ()), told.get("std_of_seeds", {}).get("dice", ())
    return {
        "classes": told["classes"],
        "rows": rows,
        "metrics": list(told["mean"]),
        "accuracy": told.get("accuracy"),
        "tolerance": told.get("tolerance"),
        "mean": told["mean"],
        "std": told["std"],
        "interval": interval if any(low is not None for low, _ in interval) else None,
        "seeds": seeds if any(spread is not None for spread in seeds) else None,
        "controls": [(name.replace("_", " "), *_spread(dice)) for name, dice in told.get("controls", {}).items()],
        "classical": [(name, dice["mean"], dice["std"]) for name, dice in told.get("classical", {}).items()],
        "finding": told.get("finding") or "",
    }


def _spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of what is known."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None, statistics.stdev(known) if len(known) > 1 else None


def _tasks(told: Any) -> dict[str, Any]:
    found = {(s["task"], s["after"]): (s["mean"], bool(s.get("old_head"))) for s in told["scores"]}
    tasks, runs = (list(dict.fromkeys(key[side] for key in found)) for side in (0, 1))
    return {
        "runs": runs,
        "rows": [(task, [found.get((task, run), (None, False)) for run in runs]) for task in tasks],
        "kept": [one["sentence"] for one in told.get("kept", ())],
        "old_head": any(old for _, old in found.values()),
    }
