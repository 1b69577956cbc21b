"""What a run came to, in words: the status line, the sentences under it, and where its files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._status import clock

if TYPE_CHECKING:
    from napari_anneal.training import Cascade, ControlledRun, CrossValidation, Run

__all__ = ["Ending", "ending_of"]

# How a run that did not go to its end is reported.
REASONS = {
    "cancelled": "Cancelled; the best model so far is kept",
    "finished": "Finished early; the best model is kept",
    "diverged": "Stopped",
    "disk full": "Stopped",
}
BAD = ("diverged", "disk full")


@dataclass(frozen=True)
class Ending:
    """Shown when a run is over.

    ``warnings`` stand out among the sentences; ``first`` come before all of them. ``models``: the runs, by the names of
    their models in this session, that were judged by what the form says; of a cascade the last one.
    """

    status: str
    mood: str
    folder: Path | None = None
    report: Path | None = None
    warnings: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    models: tuple[tuple[str, Run], ...] = ()


def ending_of(done: Run | Cascade | ControlledRun | CrossValidation, notices: Sequence[str]) -> Ending:
    """Offer the models of a run in *Segment* and say what came of it; ``notices`` were told on the way."""
    from napari_anneal.training import Cascade, ControlledRun, CrossValidation

    if isinstance(done, CrossValidation):
        return _of_folds(done, notices)
    if isinstance(done, Cascade):
        return _of_cascade(done, notices)
    if isinstance(done, ControlledRun):
        ending = _of_run(done.run, notices)
        # What the controls say stands beside their curves.
        beside = {name: without(getattr(ending, name), done.sentence) for name in ("warnings", "others")}
        return replace(ending, **beside)
    return _of_run(done, notices)


def without(texts: Sequence[str], said: str) -> tuple[str, ...]:
    """The sentences that are not said elsewhere."""
    return tuple(text for text in texts if text != said)


def _of_run(run: Run, notices: Sequence[str]) -> Ending:
    name = _offer(run)
    models = ((name, run),)
    where = f" Saved in {run.out}." if run.out is not None else ""
    status = f"{_how(run)}: “{name}” is ready in Segment{_score(run)} ({clock(run.seconds)} min).{where}"
    report, warnings = found_in(run.out)
    return Ending(status, _mood(run), run.out, report, warnings, tuple(notices), models=models)


def _of_cascade(cascade: Cascade, notices: Sequence[str]) -> Ending:
    """One line an arrow, then what the last model kept of what was learned before."""
    from napari_anneal.training.runs import REPORT

    last = cascade.runs[-1]
    names = [_offer(run, arrow) for arrow, run in zip(cascade.names, cascade.runs, strict=False)]
    lines = [f"“{name}”{_score(run)}" for name, run in zip(names, cascade.runs, strict=True)]
    where = f" Saved in {cascade.out}." if cascade.out is not None else ""
    seconds = sum(run.seconds for run in cascade.runs)
    how = _how(last) if last.reason not in REASONS else REASONS[last.reason].partition(";")[0]
    status = f"{how}: {' and '.join(lines)}: ready in Segment ({clock(seconds)} min).{where}"
    kept = [one.sentence for one in cascade.kept]
    report, warnings = found_in(last.out)
    if cascade.out is not None and (cascade.out / REPORT).is_file():
        report = cascade.out / REPORT
    first = (*kept, f"{cascade.lineage}.")
    models = ((names[-1], last),) if len(names) == len(cascade.names) else ()
    return Ending(status, _mood(last), cascade.out, report, warnings, tuple(notices), first, models)


def _of_folds(done: CrossValidation, notices: Sequence[str]) -> Ending:
    """Mean ± spread over folds; the models of all folds are offered."""
    names = [_offer(run, f"fold {number}") for number, run in enumerate(done.runs, start=1)]
    mean, std = done.mean(), done.std()
    figures = ", ".join(
        f"{name} {m:.2f}" + (f" ± {s:.2f}" if s == s else "")
        for name, m, s in zip(done.classes, mean, std, strict=True)
        if m == m
    )
    seconds = sum(run.seconds for run in done.runs)
    out = done.runs[-1].out
    where = "" if out is None else f" Saved in {out.parent}."
    folds = f"{len(names)} folds" if len(names) > 1 else "one fold"
    ready = f"“{names[0]}” to “{names[-1]}” are" if len(names) > 1 else f"“{names[0]}” is"
    status = (
        f"Dice over {folds}, on groups never trained on: {figures}. {ready} ready in Segment "
        f"({clock(seconds)} min).{where}"
    )
    models = tuple(zip(names, done.runs, strict=True))
    return Ending(status, "good", None if out is None else out.parent, None, (), tuple(notices), models=models)


def _offer(run: Run, arrow: str = "") -> str:
    """Put the model into the session; the name it has there."""
    name = run.model.card.name or "model"
    if arrow and run.out is not None:
        name = f"{run.out.parent.name} · {arrow}"
    return session_models().add(name, run.model)


def _score(run: Run) -> str:
    from napari_anneal.training.run_comparison import mean_dice

    dice = mean_dice(run.best)
    link = run.model.card.lineage[-1] if run.model.card.lineage else None
    judge = "synthetic images held out" if link is not None and link.kind == "synthetic" else "the held-out paint"
    return f", mean Dice {dice:.2f} on {judge}" if dice == dice else ""


def _how(run: Run) -> str:
    return REASONS.get(run.reason, "Done")


def _mood(run: Run) -> str:
    return "bad" if run.reason in BAD else "good"


def found_in(folder: Path | None) -> tuple[Path | None, tuple[str, ...]]:
    """The report of a run on disk, and the findings that are warnings."""
    if folder is None:
        return None, ()
    from napari_anneal.training.runs import read_run

    record = read_run(folder)
    findings = record.facts.findings if record.facts is not None else ()
    return record.report, tuple(finding.sentence for finding in findings if finding.severity == "warning")
