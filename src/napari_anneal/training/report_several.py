"""The report of several runs: the folds of a cross-validation, a run beside its controls, the parts of a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_anneal.models.card import class_colours
from napari_anneal.pages import Curve, chart
from napari_anneal.training.report_tables import comparison, fold_table, task_table
from napari_anneal.training.run_comparison import RunComparison, compare_runs
from napari_anneal.training.runs import CONTROLS, REPORT, RunRecord, list_runs, read_run

__all__ = ["controls_fields", "several_fields"]


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
        "folds": fold_table(folder),
        "charts": _charts(compared) if compared else [],
        "compared": compared,
        "tasks": task_table(folder),
    }


def controls_fields(folder: Path) -> dict[str, Any] | None:
    """Fields of a run's page on the control runs beside it; ``None`` if it has none."""
    if not (folder / CONTROLS).is_dir():
        return None
    found = list_runs(folder / CONTROLS)
    whole = [record for record in found if record.facts is not None and record.recipe is not None]
    mine = read_run(folder, "this run")
    if not whole or mine.recipe is None:
        return None
    named = [replace(record, name=record.name.replace("_", " ")) for record in whole]
    return {
        "records": [
            {"record": record, "link": f"{CONTROLS}/{there.name}/{REPORT}" if there.report else ""}
            for record, there in zip(named, whole, strict=True)
        ],
        "mine": mine,
        "sentence": comparison(folder / CONTROLS),
        "charts": _charts(compare_runs([mine, *named])),
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
