"""The report of several runs: the folds of a cross-validation, a run beside its controls, the parts of a cascade."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.models.card import class_colours
from napari_anneal.pages import Curve, chart
from napari_anneal.training.run_comparison import RunComparison, compare_runs
from napari_anneal.training.runs import REPORT, RunRecord

__all__ = ["CROSS_VALIDATION", "several_fields"]

# The figures of a cross-validation: of every model on the images it never saw.
CROSS_VALIDATION = "cross-validation.json"


def several_fields(folder: Path, records: Sequence[RunRecord]) -> dict[str, Any]:
    """Fields of the template ``several.html.jinja``."""
    ordered = sorted(records, key=lambda record: (record.when, record.name))
    whole = [record for record in ordered if record.facts is not None and record.recipe is not None]
    compared = compare_runs(whole) if len(whole) > 1 else None
    return {
        "title": folder.absolute().name,
        "records": [
            {"record": record, "link": f"{record.name}/{REPORT}" if record.report else "", "facts": record.facts}
            for record in ordered
        ],
        "folds": _folds(folder),
        "charts": _charts(compared) if compared else [],
        "compared": compared,
    }


def _charts(compared: RunComparison) -> list[Any]:
    colours = class_colours(len(compared.names))
    length = max([row[0] for curve in compared.curves for row in curve] or [1])
    drawn = []
    for title, column, span in (("Validation loss", 2, None), ("Mean Dice on the validation images", 3, (0.0, 1.0))):
        curves = [
            Curve(name, [(row[0], row[column]) for row in rows], colour, dots=True)
            for name, rows, colour in zip(compared.names, compared.curves, colours, strict=True)
        ]
        drawn.append(chart(curves, title=title, x_label="epoch", x_range=(1, max(length, 2)), y_range=span))
    return drawn


def _folds(folder: Path) -> dict[str, Any] | None:
    """Figures of a cross-validation, as `CrossValidation.to_dict` wrote them."""
    path = folder / CROSS_VALIDATION
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            (number, ", ".join(fold["groups"]), fold["report"]["mean"]["dice"], fold["reason"])
            for number, fold in enumerate(found["folds"], start=1)
        ]
        return {
            "classes": found["classes"],
            "rows": rows,
            "mean": found["mean"],
            "std": found["std"],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}); delete it, and the report is written without it.") from error
