"""The curves of a run's report: loss, Dice and the learning rate of every group, all over the steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from napari_anneal.pages import Curve, chart
from napari_anneal.training.run_facts import RunFacts

__all__ = ["run_charts"]

TRAINING, VALIDATION = "#8a96a3", "#0072b2"
# From the stem (cold, early) to the head (warm).
GROUP_COLOURS = ("#56b4e9", "#0072b2", "#009e73", "#e69f00", "#d55e00")


def run_charts(
    facts: RunFacts,
    recipe: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    steps: Sequence[Mapping[str, float]],
) -> list[Markup]:
    """Draw three charts under each other with the same horizontal axis, stages tinted and the best epoch marked.

    Parameters
    ----------
    facts, recipe
        From ``run.json`` and ``recipe.json``.
    history, steps
        From ``history.csv`` and ``steps.csv``.
    """
    if not history and not steps:
        return []
    last = max([row["step"] for row in history] + [int(point["step"]) for point in steps])
    bands = stage_bands(history, last)
    best = next((row for row in history if row["epoch"] == facts.best_epoch), None)
    common: dict[str, Any] = {
        "x_range": (0, last),
        "bands": bands,
        "mark": (best["step"], f"best: epoch {best['epoch']}") if best else None,
    }
    charts = []
    if history:
        of_steps = [(point["step"], point["loss"]) for point in steps]
        losses = [
            Curve("training, every step", of_steps, TRAINING, faint=True),
            Curve("training, mean of the epoch", _over(history, "train_loss"), TRAINING, dots=True),
            Curve("validation", _over(history, "val_loss"), VALIDATION, dots=True),
        ]
        top = _without_spikes([y for curve in losses for _, y in curve.points if y == y])
        charts.append(chart(losses, title="Loss", y_range=(0.0, top) if top else None, **common))
        dice = [
            Curve(name, _over(history, f"val_dice_{k}"), colour, dots=True)
            for k, (name, colour) in enumerate(zip(facts.classes, facts.colours, strict=True), start=1)
        ]
        charts.append(chart(dice, title="Dice on the validation images", y_range=(0.0, 1.0), **common))
    rates = _rates(facts, steps)
    if rates:
        charts.append(chart(rates, title="Learning rate", log=True, x_label="optimizer step", **common))
    return charts


def _rates(facts: RunFacts, steps: Sequence[Mapping[str, float]]) -> list[Curve]:
    """One curve a rate: groups that always have the same share one."""
    sharing: dict[tuple[float | None, ...], list[str]] = {}
    for group in facts.parameters:
        rates = tuple(point.get(f"lr_{group}") for point in steps)
        if any(rate is not None for rate in rates):
            sharing.setdefault(rates, []).append(group)
    at = [point["step"] for point in steps]
    curves = []
    for (rates, groups), colour in zip(sharing.items(), GROUP_COLOURS[-len(sharing) :], strict=False):
        points = [(x, math.nan if y is None else y) for x, y in zip(at, rates, strict=True)]
        curves.append(Curve(", ".join(groups), points, colour))
    return curves


def stage_bands(history: Sequence[Mapping[str, Any]], last: int) -> list[tuple[str, float, float]]:
    """Name, first and last step of every stage that reached a validation."""
    bands: list[tuple[str, float, float]] = []
    for row in history:
        if bands and bands[-1][0] == row["stage"]:
            bands[-1] = (row["stage"], bands[-1][1], row["step"])
        else:
            bands.append((row["stage"], bands[-1][2] if bands else 0, row["step"]))
    if bands:
        bands[-1] = (bands[-1][0], bands[-1][1], last)
    return bands


def _over(history: Sequence[Mapping[str, Any]], column: str) -> list[tuple[float, float]]:
    return [(row["step"], row.get(column, math.nan)) for row in history]


def _without_spikes(values: Sequence[float]) -> float | None:
    """Top of the axis: a few steps that jump far out are cut off, so that the rest can be read."""
    if not values:
        return None
    ordered = sorted(values)
    high = ordered[int(0.98 * (len(ordered) - 1))]
    return ordered[-1] * 1.05 if ordered[-1] <= 2 * high else high * 1.5
