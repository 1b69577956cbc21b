"""The report of a run: one HTML file, made from the files in the run's folder alone, so it can be made again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from napari_anneal.errors import InputError, OutputError
from napari_anneal.pages import RIGHT, WRONG, error_map, overlay, png, render, swatches
from napari_anneal.samples.placing import why_not_written, write_whole
from napari_anneal.training.report_curves import run_charts
from napari_anneal.training.report_several import controls_fields, several_fields
from napari_anneal.training.report_tables import fold_table
from napari_anneal.training.run_facts import FACTS, RunFacts, read_facts, start_in_words
from napari_anneal.training.runs import REPORT, RunRecord, list_runs, read_history, read_run
from napari_anneal.training.trace import read_trace
from napari_anneal.training.worst_images import read_pictures
from napari_anneal.validation import ImageScores, Report

__all__ = ["write_report", "write_reports"]

REASONS = {
    "complete": "ran to its end",
    "stopped early": "ended early, when validation stopped improving",
    "finished": "was finished by hand",
    "cancelled": "was cancelled",
    "diverged": "was stopped because its loss became infinite or NaN",
    "disk full": "was stopped by a full disk",
    "failed": "was ended by an error",
    "running": "is still running",
    "interrupted": "was interrupted",
}
DECODERS = {"unet": "U-Net", "unetplusplus": "U-Net++", "fpn": "FPN", "deeplabv3plus": "DeepLabV3+"}
CAPTIONS = ("image", "labels", "prediction", "errors")


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into the folder of a run, or of several (a cross-validation, control runs, a cascade).

    One self-contained file: it opens without a network, in light and dark, and prints. What it shows is read from the
    folder, so that it can be written again at any time.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    InputError
        The folder holds no run, or its ``run.json`` is damaged.
    OutputError
        It cannot be written.
    """
    folder = Path(folder).expanduser()
    if (folder / FACTS).is_file():
        page = _page_of_one(folder)
    else:
        records = list_runs(folder)
        if not records:
            raise InputError(f"{folder} holds no run, so there is nothing to report; give the folder of a run.")
        page = render("training/several.html.jinja", **several_fields(folder, records))
    try:
        write_whole(folder / REPORT, page)
    except OSError as error:
        raise OutputError(f"the report could not be written to {folder} ({why_not_written(error)}).") from error
    return folder / REPORT


def write_reports(folder: Path, parts: Iterable[Path | None]) -> None:
    """Write the page of several runs, then those of its parts again, which can now name it.

    Raises
    ------
    InputError, OutputError
        As `write_report`.
    """
    write_report(folder)
    for part in parts:
        if part is not None:
            write_report(part)


def _page_of_one(folder: Path) -> str:
    facts, record, history = read_facts(folder), read_run(folder), read_history(folder)
    scores = Report(facts.classes, tuple(ImageScores(i.name, i.group, np.array(i.confusion)) for i in facts.images))
    return render(
        "training/run.html.jinja",
        title=facts.name or folder.name,
        lead=_lead(facts, record),
        facts=facts,
        figures=_figures(facts, scores),
        confusion=_confusion(scores) if facts.images else [],
        charts=run_charts(facts, record.recipe or {}, history, read_trace(folder)),
        pictures=_pictures(folder, facts, scores),
        captions=CAPTIONS,
        key=_key(facts),
        stages=_stages(facts, record.recipe or {}, history),
        recipe=json.dumps(record.recipe, indent=2),
        settings={k: v for k, v in (record.recipe or {}).items() if not isinstance(v, dict | list)},
        groups=_groups(facts),
        marks=_marks(facts),
        took=duration(facts.seconds),
        siblings=f"../{REPORT}" if _is_one_of_several(folder) else "",
        folds=fold_table(folder.absolute().parent) if _is_one_of_several(folder) else None,
        fold=folder.absolute().name,
        controls=controls_fields(folder),
        images=list(zip(facts.images, [_numbers(image.scores.dice) for image in scores.images], strict=True)),
    )


def _lead(facts: RunFacts, record: RunRecord) -> str:
    """Say what the run is in one sentence, and what came of it in another."""
    shape = facts.architecture
    network = (
        f"{DECODERS.get(shape.get('decoder', ''), shape.get('decoder', 'network'))} with encoder {shape.get('encoder')}"
    )
    images = f"{len(facts.train)} image{'s' if len(facts.train) != 1 else ''}" if facts.train else "synthetic images"
    preset = record.preset.replace("_", " ")
    how = f"with the {preset} recipe" if preset and preset != "custom" else "with a recipe of its own"
    ended = REASONS.get(record.reason, record.reason)
    said = (
        f"A {network}, started from {start_in_words(facts.start)}, trained on {images} {how}; it {ended} after "
        f"{facts.epochs} epoch{'s' if facts.epochs != 1 else ''} and {duration(facts.seconds)}."
    )
    if record.best_val_loss is None:
        return said + " It was never validated, so nothing is known of its quality."
    dice = f", mean Dice {record.mean_dice:.3f}" if record.mean_dice is not None else ""
    return (
        f"{said} The weights of epoch {facts.best_epoch} were kept (validation loss {record.best_val_loss:.4f}{dice})."
    )


def _figures(facts: RunFacts, scores: Report) -> list[dict[str, Any]]:
    """One row a class: figures over all validation pixels, and the spread of Dice over images."""
    rows = []
    for k, name in enumerate(facts.classes):
        row: dict[str, Any] = {"name": name, "colour": facts.colours[k], "painted": None, "spread": None}
        if k < len(facts.validation_painted):
            row["painted"] = facts.validation_painted[k]
        if facts.images:
            pooled = scores.pooled
            row |= {m: float(getattr(pooled, m)[k]) for m in ("dice", "iou", "precision", "recall")}
            if len(facts.images) > 1:
                row["spread"] = (float(scores.mean("dice")[k]), float(scores.std("dice")[k]))
        elif k < len(facts.best_dice):
            row["dice"] = facts.best_dice[k]
        rows.append({"dice": None, "iou": None, "precision": None, "recall": None} | row)
    return rows


def _confusion(scores: Report) -> list[list[tuple[int, float]]]:
    """Painted pixels by true and predicted class, and each as a share of its row."""
    table = np.sum([image.confusion for image in scores.images], axis=0)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return [[(int(n), float(s)) for n, s in zip(*row, strict=True)] for row in zip(table, shares, strict=True)]


def _pictures(folder: Path, facts: RunFacts, scores: Report) -> list[dict[str, Any]]:
    """Image, labels, prediction and errors of the worst validation images."""
    stored, shown = read_pictures(folder), []
    for image, of in zip(facts.images, scores.images, strict=True):
        if image.picture is None or image.picture >= len(stored):
            continue
        one = stored[image.picture]
        views = (
            overlay(one.image, None, ()),
            overlay(one.image, one.labels, facts.colours),
            overlay(one.image, one.prediction, facts.colours),
            error_map(one.image, one.labels, one.prediction),
        )
        dice = " · ".join(
            f"{name} {value:.3f}" for name, value in zip(facts.classes, of.scores.dice, strict=True) if value == value
        )
        shown.append({"name": _where(image.name, image.z), "group": image.group, "dice": dice, "mean":
                      of.scores.mean("dice"), "views": [png(view) for view in views]})  # fmt: skip
    return shown


def _key(facts: RunFacts) -> Markup:
    return swatches((*facts.classes, "right", "wrong"), (*facts.colours, RIGHT, WRONG))


def _stages(facts: RunFacts, recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a stage: what it trains, how, for how long it was to go and went."""
    rows = []
    for stage in recipe.get("stages", ()):
        planned = stage["steps"] or (stage["epochs"] or 0) * facts.steps_per_epoch
        rows.append(
            {
                "name": stage["name"],
                "optimizer": stage["optimizer"],
                "schedule": stage["schedule"].replace("_", ", "),
                "planned": planned,
                "epochs": sum(row["stage"] == stage["name"] for row in history),
                "rates": {group: stage["rates"].get(group) for group in facts.parameters},
                "decay": stage["weight_decay"],
            }
        )
    return rows


def _groups(facts: RunFacts) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Part of the data → its groups → their images."""
    parts = []
    for title, used in (("Trained on", facts.train), ("Validated on", facts.validation), ("Gold", facts.gold)):
        by_group: dict[str, list[str]] = {}
        for image in used:
            by_group.setdefault(image.group, []).append(image.name)
        parts.append((title, list(by_group.items())))
    return parts


def _marks(facts: RunFacts) -> list[tuple[str, list[str]]]:
    """What must be said of some of the images, and their names."""
    names: dict[str, list[str]] = {}
    for image in (*facts.train, *facts.validation, *facts.gold):
        if image.mark:
            names.setdefault(image.mark, []).append(image.name)
    return list(names.items())


def _is_one_of_several(folder: Path) -> bool:
    """Whether the run belongs to a cross-validation or the like, which has a report of its own."""
    parent = folder.absolute().parent
    return (parent / REPORT).is_file() and not (parent / FACTS).exists()


def _where(name: str, z: int | None) -> str:
    return name if z is None else f"{name}, slice {z}"


def _numbers(values: Any) -> list[float | None]:
    return [None if value != value else float(value) for value in values]


def duration(seconds: float) -> str:
    """Return a length of time as a person says it."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
