"""Tables of a report that are read from what several runs came to: folds of a cross-validation, tasks of a cascade."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError

__all__ = ["CASCADE", "CROSS_VALIDATION", "fold_table", "task_table"]

# The record of a cascade, in its folder.
CASCADE = "cascade.json"
# The figures of a cross-validation: of every model on the images it never saw.
CROSS_VALIDATION = "cross-validation.json"


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
    return {"classes": told["classes"], "rows": rows, "mean": told["mean"], "std": told["std"]}


def _tasks(told: Any) -> dict[str, Any]:
    found = {(s["task"], s["after"]): (s["mean"], bool(s.get("old_head"))) for s in told["scores"]}
    tasks, runs = (list(dict.fromkeys(key[side] for key in found)) for side in (0, 1))
    return {
        "runs": runs,
        "rows": [(task, [found.get((task, run), (None, False)) for run in runs]) for task in tasks],
        "kept": [one["sentence"] for one in told.get("kept", ())],
        "old_head": any(old for _, old in found.values()),
    }
