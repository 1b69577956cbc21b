"""The part of a cascade's report that says what each run could do on every task, and what was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError

__all__ = ["CASCADE", "task_table"]

# The record of a cascade, in its folder.
CASCADE = "cascade.json"


def task_table(folder: Path) -> dict[str, Any] | None:
    """Mean Dice of every task after every run, as `Cascade.to_dict` tells it; ``None`` if the folder holds no cascade.

    Raises
    ------
    InputError
        The record is damaged.
    """
    path = folder / CASCADE
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        found = {(s["task"], s["after"]): (s["mean"], bool(s.get("old_head"))) for s in told["scores"]}
        tasks, runs = (list(dict.fromkeys(key[side] for key in found)) for side in (0, 1))
        return {
            "runs": runs,
            "rows": [(task, [found.get((task, run), (None, False)) for run in runs]) for task in tasks],
            "kept": [one["sentence"] for one in told.get("kept", ())],
            "old_head": any(old for _, old in found.values()),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}), so the report of the cascade cannot be written.") from error
