"""``cross_validate``: the same recipe on every fold of a plan, and what its models do on the groups they never saw."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.samples.placing import write_whole
from napari_anneal.samples.sample import Sample
from napari_anneal.training.classical import classical_scores
from napari_anneal.training.control import RunControl
from napari_anneal.training.control_runs import ControlledRun, fine_tune_with_controls
from napari_anneal.training.diagnostics import Finding, backbone_misleads
from napari_anneal.training.events import Notice
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.report import write_reports
from napari_anneal.training.report_tables import CROSS_VALIDATION
from napari_anneal.training.run import Run, fine_tune
from napari_anneal.training.run_facts import ClassicalScore, read_facts
from napari_anneal.validation import Fold, Report, SplitPlan, evaluate, group_interval, group_split
from napari_anneal.validation.contours import check_tolerance
from napari_anneal.validation.evaluate import check_spacing
from napari_anneal.validation.figures import check_metrics
from napari_anneal.validation.report import ONE_SPLIT, plain, plus_minus, quiet, spread, spread_rows, three_digits
from napari_anneal.validation.splits import most_folds

__all__ = ["CrossValidation", "cross_validate"]


@dataclass(frozen=True, eq=False)
class CrossValidation(Sequence[Run]):
    """The runs, one a fold and seed, and their reports; iterating goes over the runs, seed by seed.

    ``reports[k]`` are the figures of ``runs[k]`` on the validation images of its fold, which judged that run while it
    trained too: a gold set tells what is left of them on specimens that judged nothing.

    Attributes
    ----------
    runs, reports
        One a fold and seed.
    groups
        The groups each run was validated on.
    fold_numbers, seeds
        The fold (from 1) and the seed of each run.
    compared
        Each run with its controls, where they were asked for.
    classical
        For each run the classical methods with their best parameters on its training images, judged on the same images.
    """

    runs: tuple[Run, ...]
    reports: tuple[Report, ...]
    groups: tuple[tuple[str, ...], ...]
    fold_numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    compared: tuple[ControlledRun, ...] = ()
    classical: tuple[tuple[ClassicalScore, ...], ...] = ()

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.runs)

    def __getitem__(self, index: Any) -> Any:
        """Return a run."""
        return self.runs[index]

    def __iter__(self) -> Iterator[Run]:
        """Go over the runs."""
        return iter(self.runs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return self.reports[0].classes

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the figures of each report."""
        return self.reports[0].metrics

    @property
    def accuracy(self) -> npt.NDArray[np.float64]:
        """Pixel accuracy, mean over the images of each run, ``(runs,)``."""
        return np.array([spread(report.accuracy)[0] for report in self.reports])

    def folds(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Mean over the images of each run, ``(runs, K)``; ``nan`` where its fold has no paint of a class."""
        return np.array([report.mean(metric) for report in self.reports])

    def mean(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Mean over folds and seeds, per class ``(K,)``."""
        return quiet(np.nanmean, self.folds(metric))

    def std(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Standard deviation over folds and seeds (n - 1), per class ``(K,)``; ``nan`` for fewer than two runs."""
        return quiet(np.nanstd, self.folds(metric), ddof=1)

    def std_of_seeds(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """What the seed alone does: standard deviation over the seeds of a fold, pooled over folds, ``(K,)``."""
        runs, folds = self.folds(metric), np.array(self.fold_numbers)
        variances = [quiet(np.nanvar, runs[folds == fold], ddof=1) for fold in np.unique(folds)]
        return np.sqrt(quiet(np.nanmean, np.array(variances)))

    def interval(self, metric: str = "dice", level: float = 0.95, seed: int = 0) -> npt.NDArray[np.float64]:
        """Confidence interval of the mean over images by resampling groups, ``(K, 2)``; `nan` below five groups.

        Each image counts once, with its mean over seeds.
        """
        images: dict[tuple[int, int], list[npt.NDArray[np.float64]]] = {}
        groups: dict[tuple[int, int], str] = {}
        for report, fold in zip(self.reports, self.fold_numbers, strict=True):
            for image, (row, group) in enumerate(zip(report.values(metric), report.groups, strict=True)):
                images.setdefault((fold, image), []).append(row)
                groups[fold, image] = f"{fold} {group}" if group.startswith("\0") else group
        means = np.array([quiet(np.nanmean, np.array(rows)) for rows in images.values()])
        return group_interval(means, list(groups.values()), level=level, seed=seed)

    def controls(self) -> dict[str, npt.NDArray[np.float64]]:
        """Mean Dice at the best epoch, as the runs saw it, of the runs ("main") and their controls: ``(runs,)`` each.

        ``nan`` where a control failed; empty without controls.
        """
        names = list(dict.fromkeys(name for one in self.compared for name in one.scores))
        return {n: np.array([s.dice if (s := one.scores.get(n)) else np.nan for one in self.compared]) for n in names}

    def classical_dice(self) -> dict[str, npt.NDArray[np.float64]]:
        """Dice of every classical method, ``(runs, K)`` each, by name; the best mean first."""
        names = list(dict.fromkeys(one.name for scores in self.classical for one in scores))
        none = (np.nan,) * len(self.classes)
        by_run = [{one.name: one.dice for one in scores} for scores in self.classical]
        found = {name: np.array([run.get(name, none) for run in by_run], dtype=np.float64) for name in names}
        return dict(sorted(found.items(), key=lambda item: -float(quiet(np.nanmean, item[1].ravel()))))

    @property
    def finding(self) -> Finding | None:
        """Feature extraction worse than scratch over all folds and seeds, if that is so (see `backbone_misleads`)."""
        found = self.controls()
        if not {"feature_extraction", "scratch"} <= set(found):
            return None
        return backbone_misleads(found["feature_extraction"].tolist(), found["scratch"].tolist())

    def table(self) -> str:
        """Plain text: mean ± std over folds and seeds of every class, then the Dice of every run."""
        width = max(12, *(len(name) + 2 for name in self.classes))
        lines = spread_rows(self.classes, self.metrics, self.mean, self.std, width)
        lines += ["", "Dice of every run:"]
        for row, fold, seed, groups in zip(self.folds(), self.fold_numbers, self.seeds, self.groups, strict=True):
            figures = "  ".join(three_digits(dice) for dice in row)
            lines.append(f"  fold {fold}, seed {seed}: {figures}   ({', '.join(groups)})")
        if found := self.classical_dice():
            lines += ["", "Dice of classical methods at their best on the training images of each fold:"]
            for name, dice in found.items():
                means = zip(quiet(np.nanmean, dice), quiet(np.nanstd, dice, ddof=1), strict=True)
                figures = "  ".join(plus_minus(mean, std) for mean, std in means)
                lines.append(f"  {name}: {figures}")
        return "\n".join([*lines, "", *self._notes()])

    def _notes(self) -> list[str]:
        """What the numbers are, below the table."""
        folds, seeds = len(set(self.fold_numbers)), sorted(set(self.seeds))
        which = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        notes = [
            f"mean ± standard deviation over {folds} fold{'s' if folds > 1 else ''}, {which}.",
            f"Pixel accuracy {plus_minus(*spread(self.accuracy))}.",
        ]
        if self.reports[0].tolerance:
            notes.append(f"Boundary figures at a tolerance of {self.reports[0].tolerance}.")
        if len(seeds) > 1:
            by_class = ", ".join(
                f"{name} {three_digits(value)}" for name, value in zip(self.classes, self.std_of_seeds(), strict=True)
            )
            notes.append(f"Of that the seed alone (standard deviation of the Dice within a fold): {by_class}.")
        ends = self.interval()
        if not np.isnan(ends).all():
            pairs = zip(self.classes, ends, strict=True)
            spans = (f"{name} {three_digits(low)}–{three_digits(high)}" for name, (low, high) in pairs)
            notes.append(f"95 % interval of the mean Dice, groups resampled: {', '.join(spans)}.")
        if folds == 1:
            notes.append(f"This is {ONE_SPLIT}: another one may differ by as much.")
        if found := self.controls():
            means = (f"{name.replace('_', ' ')} {plus_minus(*spread(dice))}" for name, dice in found.items())
            notes.append(f"Mean Dice of the best epochs, beside the controls: {', '.join(means)}.")
        if self.finding is not None:
            notes.append(self.finding.sentence)
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON; ``None`` stands for n/a."""
        return {
            "classes": list(self.classes),
            "metrics": list(self.metrics),
            "tolerance": self.reports[0].tolerance or None,
            "mean": {f: plain(self.mean(f)) for f in self.metrics},
            "std": {f: plain(self.std(f)) for f in self.metrics},
            "std_of_seeds": {f: plain(self.std_of_seeds(f)) for f in self.metrics},
            "interval_95": {f: [plain(ends) for ends in self.interval(f)] for f in self.metrics},
            "accuracy": dict(zip(("mean", "std"), plain(np.array(spread(self.accuracy))), strict=True)),
            "split": ONE_SPLIT if len(set(self.fold_numbers)) == 1 else f"{len(set(self.fold_numbers))} folds",
            "seeds": sorted(set(self.seeds)),
            "controls": {name: plain(dice) for name, dice in self.controls().items()},
            "classical": {
                name: {"mean": plain(quiet(np.nanmean, dice)), "std": plain(quiet(np.nanstd, dice, ddof=1))}
                for name, dice in self.classical_dice().items()
            },
            "finding": None if self.finding is None else self.finding.sentence,
            "folds": [
                {
                    "fold": fold,
                    "seed": seed,
                    "groups": list(groups),
                    "reason": run.reason,
                    "model": None if run.out is None else str(run.out / "model"),
                    "report": report.to_dict(),
                }
                for run, report, groups, fold, seed in zip(
                    self.runs, self.reports, self.groups, self.fold_numbers, self.seeds, strict=True
                )
            ],
        }


def cross_validate(
    samples: Sequence[Sample],
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    start: str | os.PathLike[str] | Model | None = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Callable[[int, Any], None] | None = None,
    cancel: CancelSignal | None = None,
    seeds: Sequence[int] | None = None,
    control_of: Callable[[int, int], RunControl] | None = None,
    controls: bool = False,
    metrics: Iterable[str] | None = None,
    tolerance: float = 2.0,
    tolerance_um: float | None = None,
) -> CrossValidation:
    """Fine-tune once a fold (and seed), always from the same start, and score every model on its own validation groups.

    Parameters
    ----------
    samples, recipe, start
        As in `fine_tune`.
    plan
        Its folds, one run each; its gold samples are never touched. ``None``: five folds by group, or as many as there
        are groups.
    out
        Folder to create for ``fold-1``, ``fold-2``, … (``fold-1-seed-0``, … with several seeds); ``None``: nothing is
        written.
    on_event
        Called with the number of the run (from 1; all folds of a seed before the next seed) and every event of it.
    cancel
        Asked before every step; the runs that were finished are returned.
    seeds
        Run every fold with each of these in place of the recipe's: how much of the spread is chance. ``None``: with the
        recipe's own.
    control_of
        Called with the number of a run (from 1) and of all before it begins, for what pauses or finishes that run (with
        ``controls`` the events bring that).
    controls
        Train scratch and feature extraction beside every run (see `fine_tune_with_controls`, whose events are told).
    metrics, tolerance, tolerance_um
        The figures of every run on its validation images, as in `evaluate`.

    Raises
    ------
    InputError
        There are no folds or seeds, an unknown figure, a tolerance that cannot be used, or it was cancelled before the
        first run was done.
    AnnealError
        As `fine_tune`.
    """
    samples = list(samples)
    if plan is None:
        plan = group_split(samples, folds=max(2, min(5, most_folds(samples))), seed=recipe.seed if recipe else 0)
    if not plan.folds:
        raise InputError("the plan has no folds, so there is nothing to cross-validate; make it with folds=2 or more.")
    if seeds is not None and (not seeds or len(set(seeds)) != len(seeds)):
        raise InputError(f"seeds={list(seeds)} cannot be used; give one or more different seeds, such as 0, 1 and 2.")
    names = check_metrics(metrics)  # now, and not after the first run
    check_tolerance(tolerance if tolerance_um is None else tolerance_um)
    if tolerance_um is not None:
        check_spacing([samples[i] for fold in plan.folds for i in fold.val], tolerance_um)
    runs: list[Run] = []
    reports: list[Report] = []
    which: list[tuple[int, int]] = []
    compared: list[ControlledRun] = []
    classical: dict[int, tuple[ClassicalScore, ...]] = {}
    for (seed, seeded), (number, fold) in product(_seeded(recipe, start, seeds), enumerate(plan.folds, start=1)):

        def tell(event: Any, run_number: int = len(runs) + 1) -> None:
            if on_event is not None:
                on_event(run_number, event)

        one = SplitPlan((fold,), plan.gold, plan.report)
        name = f"fold-{number}" if seeds is None or len(seeds) == 1 else f"fold-{number}-seed-{seed}"
        folder = None if out is None else Path(out) / name
        if controls:
            beside = fine_tune_with_controls(samples, one, seeded, start, folder, tell, cancel)
            run = beside.run
        else:
            total = len(plan.folds) * len(seeds or (0,))
            control = None if control_of is None else control_of(len(runs) + 1, total)
            run = fine_tune(samples, one, seeded, start, folder, on_event=tell, cancel=cancel, control=control)
        if run.cancelled:
            break
        if controls:
            compared.append(beside)
        runs.append(run)
        judges = [samples[i] for i in fold.val]
        reports.append(evaluate(run.model, judges, metrics=names, tolerance=tolerance, tolerance_um=tolerance_um))
        which.append((number, seed))
        if number not in classical:
            classical[number] = _classical(run, samples, fold)
    if not runs:
        raise InputError("the cross-validation was cancelled before its first fold was done, so there are no figures.")
    held = [tuple(sorted({samples[i].group or samples[i].name or str(i) for i in fold.val})) for fold in plan.folds]
    numbers, used = zip(*which, strict=True)
    groups_of, beside_each = tuple(held[n - 1] for n in numbers), tuple(classical[n] for n in numbers)
    done = CrossValidation(tuple(runs), tuple(reports), groups_of, numbers, used, tuple(compared), beside_each)
    if out is not None and runs[0].out is not None:
        failed = _write(Path(out), done)
        if failed and on_event is not None:
            on_event(len(runs), Notice(failed))
    return done


def _classical(run: Run, samples: Sequence[Sample], fold: Fold) -> tuple[ClassicalScore, ...]:
    """Classical methods on a fold: as its run has found them for its own report, or found now."""
    if run.out is not None and (told := read_facts(run.out).classical):
        return told
    return classical_scores([samples[i] for i in fold.train], [samples[i] for i in fold.val], run.model.classes)


def _seeded(
    recipe: FineTuneRecipe | None, start: str | os.PathLike[str] | Model | None, seeds: Sequence[int] | None
) -> list[tuple[int, FineTuneRecipe]]:
    """Each seed with its recipe."""
    recipe = recipe or FineTuneRecipe.from_preset("scratch" if start is None else "canonical")
    return [(seed, recipe.model_copy(update={"seed": seed})) for seed in ([recipe.seed] if seeds is None else seeds)]


def _write(folder: Path, done: CrossValidation) -> str:
    """Write the figures of all folds and their report, and those of the folds again, which can now name each other.

    Returns a sentence if that failed.
    """
    try:
        write_whole(folder / CROSS_VALIDATION, json.dumps(done.to_dict(), indent=2) + "\n")
        write_reports(folder, (run.out for run in done))
    except Exception as error:  # the models are on disk, and no report of them is worth an error
        return f"The models are saved, but their report in {folder} could not be written ({error})."
    return ""
