"""``cross_validate``: the same recipe on every fold of a plan, and what its models do on the groups they never saw."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.samples.sample import Sample
from napari_anneal.training.events import Event
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run import Run, fine_tune
from napari_anneal.validation import Report, SplitPlan, evaluate, group_split
from napari_anneal.validation.report import plain, quiet

__all__ = ["CrossValidation", "cross_validate"]

FIGURES = ("iou", "dice", "precision", "recall")


@dataclass(frozen=True, eq=False)
class CrossValidation(Sequence[Run]):
    """The runs, one a fold, and their reports; iterating goes over the runs.

    ``reports[k]`` are the figures of ``runs[k]`` on the validation images of fold k, which judged that run while it
    trained too: a gold set tells what is left of them on specimens that judged nothing.
    """

    runs: tuple[Run, ...]
    reports: tuple[Report, ...]
    groups: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        """Return the number of folds that were run."""
        return len(self.runs)

    def __getitem__(self, index: Any) -> Any:
        """Return the run of a fold."""
        return self.runs[index]

    def __iter__(self) -> Iterator[Run]:
        """Go over the runs."""
        return iter(self.runs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return self.reports[0].classes

    def folds(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Mean over the images of each fold, ``(folds, K)``; ``nan`` where a fold has no paint of a class."""
        return np.array([report.mean(metric) for report in self.reports])

    def mean(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Mean over the folds, per class ``(K,)``."""
        return quiet(np.nanmean, self.folds(metric))

    def std(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Standard deviation over the folds (n - 1), per class ``(K,)``; ``nan`` for fewer than two folds."""
        return quiet(np.nanstd, self.folds(metric), ddof=1)

    def table(self) -> str:
        """Plain text: mean ± std over folds of every class, then the Dice of every fold."""
        width = max(12, *(len(name) + 2 for name in self.classes))
        lines = [f"{'class':<{width}}" + "".join(f"{figure:>17}" for figure in FIGURES)]
        for k, name in enumerate(self.classes):
            cells = (f"{self.mean(f)[k]:.3f} ± {self.std(f)[k]:.3f}" for f in FIGURES)
            lines.append(f"{name:<{width}}" + "".join(f"{cell:>17}" for cell in cells))
        lines += ["", "Dice of every fold:"]
        for number, (row, groups) in enumerate(zip(self.folds(), self.groups, strict=True), start=1):
            lines.append(f"  fold {number}: " + "  ".join(f"{d:.3f}" for d in row) + f"   ({', '.join(groups)})")
        seeds = {int(run.model.card.recipe.get("seed") or 0) for run in self.runs}
        lines += ["", f"mean ± standard deviation over {len(self)} folds, seed {', '.join(map(str, sorted(seeds)))}."]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON; ``None`` stands for n/a."""
        return {
            "classes": list(self.classes),
            "mean": {f: plain(self.mean(f)) for f in FIGURES},
            "std": {f: plain(self.std(f)) for f in FIGURES},
            "folds": [
                {
                    "groups": list(groups),
                    "reason": run.reason,
                    "model": None if run.out is None else str(run.out / "model"),
                    "report": report.to_dict(),
                }
                for run, report, groups in zip(self.runs, self.reports, self.groups, strict=True)
            ],
        }


def cross_validate(
    samples: Sequence[Sample],
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    start: str | os.PathLike[str] | Model | None = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Callable[[int, Event], None] | None = None,
    cancel: CancelSignal | None = None,
) -> CrossValidation:
    """Fine-tune once a fold, always from the same start, and score every model on its own validation groups.

    Parameters
    ----------
    samples, recipe, start
        As in `fine_tune`.
    plan
        Its folds, one run each; its gold samples are never touched. ``None``: five folds by group, or as many as there
        are groups.
    out
        Folder to create for ``fold-1``, ``fold-2``, …; ``None``: nothing is written.
    on_event
        Called with the number of the fold (from 1) and every event of its run.
    cancel
        Asked before every step; the folds that were finished are returned.

    Raises
    ------
    InputError
        There are no folds, or it was cancelled before the first was done.
    AnnealError
        As `fine_tune`.
    """
    samples = list(samples)
    if plan is None:
        groups = {sample.group or sample.name for sample in samples if sample.labels is not None}
        plan = group_split(samples, folds=max(2, min(5, len(groups))), seed=recipe.seed if recipe else 0)
    if not plan.folds:
        raise InputError("the plan has no folds, so there is nothing to cross-validate; make it with folds=2 or more.")
    runs: list[Run] = []
    reports: list[Report] = []
    for number, fold in enumerate(plan.folds, start=1):

        def tell(event: Event, number: int = number) -> None:
            if on_event is not None:
                on_event(number, event)

        one = SplitPlan((fold,), plan.gold, plan.report)
        folder = None if out is None else Path(out) / f"fold-{number}"
        run = fine_tune(samples, one, recipe, start, folder, on_event=tell, cancel=cancel)
        if run.cancelled:
            break
        runs.append(run)
        reports.append(evaluate(run.model, [samples[i] for i in fold.val]))
    if not runs:
        raise InputError("the cross-validation was cancelled before its first fold was done, so there are no figures.")
    held = tuple(
        tuple(sorted({samples[i].group or samples[i].name or str(i) for i in fold.val})) for fold in plan.folds
    )
    return CrossValidation(tuple(runs), tuple(reports), held[: len(runs)])
