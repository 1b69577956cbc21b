"""A run that has come to its end, read back from its folder."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_anneal.inference import load_model
from napari_anneal.models import is_bundle
from napari_anneal.training.run import Run

__all__ = ["ENDED", "read_finished_run"]

# Reasons for the end of a run that leave nothing to go on with.
ENDED = ("complete", "stopped early", "finished", "diverged")
_KIND: dict[str, Callable[[str], Any]] = {"epoch": int, "step": int, "stage": str, "best": lambda text: text == "True"}


def read_finished_run(folder: Path) -> Run | None:
    """The run in a folder, or ``None`` where there is none or it has not come to its end.

    Raises
    ------
    BundleError
        Its model is damaged.
    """
    if not is_bundle(folder / "model"):
        return None
    model = load_model(folder / "model")
    metrics = model.card.metrics
    if metrics.get("reason") not in ENDED:
        return None
    history = _read_history(folder / "history.csv")
    best = next((row for row in history if row["epoch"] == metrics["epoch"]), {})
    seconds = sum(row["seconds"] for row in history)
    return Run(model, history, best, metrics["reason"], tuple(metrics.get("notices", ())), folder, seconds)


def _read_history(path: Path) -> list[dict[str, Any]]:
    """The table of epochs; empty where it could not be written."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _KIND.get(name, float)(text) for name, text in row.items()} for row in csv.DictReader(file)]
