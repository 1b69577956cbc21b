"""``runs`` and ``report``: what came of earlier runs, from a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_anneal.terminal import Json, answer, known, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anneal.samples import Sample
    from napari_anneal.training.run_comparison import RunComparison
    from napari_anneal.training.runs import Order, RunRecord

__all__ = ["order_from_file", "report", "runs", "typed"]

# Options of ``train`` that may accompany a recipe file; all others say what the file says already.
BESIDE_A_RECIPE = {"folder", "out", "start", "folds", "fold", "gold", "seed", "device", "recipe_file", "controls",
                   "resume", "dry_run", "json_"}  # fmt: skip


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs"),
    compare: Annotated[
        list[str] | None, typer.Option(help="Name of a run; give two or more to see in what they differ.")
    ] = None,
    json_: Json = False,
) -> None:
    """List the runs in a folder, newest first, or compare some of them."""
    from napari_anneal.training.run_comparison import compare_runs
    from napari_anneal.training.runs import list_runs

    records = list_runs(folder)
    if not compare:
        answer(json_, {"runs": [record.to_dict() for record in records]}, _list(records, folder))
        return
    names = {record.name: record for record in records}
    chosen = [names[known(name, tuple(names), "run")] for name in compare]
    compared = compare_runs(chosen)
    answer(json_, compared.to_dict(), _side_by_side(compared))


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, of a cross-validation or of several runs.")],
    json_: Json = False,
) -> None:
    """Write the report of a run, or of several side by side, anew: one HTML file in its folder."""
    from napari_anneal.training.report import write_report

    path = write_report(folder)
    answer(json_, {"report": str(path)}, f"report written to {path}")


def order_from_file(file: Path, samples: Sequence[Sample], given: dict[str, Any]) -> Order:
    """What ``train --recipe`` asks for; start and split are those of the run that the recipe lies in, if it is one.

    Parameters
    ----------
    file
        A recipe, or the folder of a run.
    samples
        The images.
    given
        The options that were typed, by parameter name.
    """
    from napari_anneal.training.run_facts import FACTS
    from napari_anneal.training.runs import Order, order_of, read_recipe, start_named

    for name in given:
        if name not in BESIDE_A_RECIPE:
            option = f"--{name.rstrip('_').replace('_', '-')}"
            refuse(f"--recipe and {option} contradict each other; leave one out, or edit the file.")
    recipe, start = read_recipe(file), given.get("start")
    home = file if file.is_dir() else file.parent
    if (home / FACTS).is_file():
        order = order_of(home, samples, start)
    else:
        start = start or "voronoi"
        order = Order(recipe, start_named(start), None)
    changes = {name: given[name] for name in ("seed", "device") if name in given}
    return replace(order, recipe=recipe.model_copy(update=changes))


def typed(context: typer.Context, name: str) -> bool:
    """Whether an option was given, and is not there by default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _list(records: Sequence[RunRecord], folder: Path) -> str:
    """One line a run."""
    if not records:
        return f"no runs in {folder}"
    heads = ("run", "begun (UTC)", "start", "recipe", "val. loss", "Dice", "epochs", "seconds", "ended")
    rows = [
        (
            record.name,
            record.when[:16].replace("T", " "),
            record.start,
            record.preset,
            _figure(record.best_val_loss, 4),
            _figure(record.mean_dice, 3),
            str(record.epochs),
            f"{record.seconds:.0f}",
            record.reason + (" (can go on)" if record.resumable else ""),
        )
        for record in records
        if record.facts is not None
    ]
    return "\n".join(
        [*_columns([heads, *rows]), *(f"{record.name}: {record.fault}" for record in records if record.fault)]
    )


def _side_by_side(compared: RunComparison) -> str:
    """Figures, then the settings that differ: one line each, one column a run."""
    rows = [("", *compared.names)]
    rows += [(name, *(_cell(value) for value in values)) for name, values in compared.figures]
    rows += [("", *("" for _ in compared.names))]
    rows += [(name, *(_cell(value) for value in values)) for name, values in compared.differences]
    return "\n".join(line.rstrip() for line in _columns(rows))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _figure(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
