"""The forgetting meter: what a network still does on the tasks it learned before, as it learns the next one.

A task is scored on what judged it, never on what it was learned from and never on gold samples: the held-out images of
a synthetic stream, the validation images of a fold. Scoring every task after every run is the matrix R of Lopez-Paz and
Ranzato (2017, section 2): its diagonal is what was learned, what lies after it is what was kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import AnnealError
from napari_anneal.inference import Model
from napari_anneal.inference.predictor import Cancelled
from napari_anneal.models import build_network
from napari_anneal.models.lineage import Link
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.provenance import stream_from_data
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.setup import prepare_run
from napari_anneal.validation import SplitPlan, evaluate
from napari_anneal.validation.report import plain

__all__ = ["Kept", "Task", "TaskScore", "all_kept", "score_task", "table", "task_of", "task_of_link"]

# How the parameters of a network's head begin.
HEAD = "segmentation_head."


@dataclass(frozen=True, eq=False)
class Task:
    """Something to tell apart, and the images that say how well a network does it."""

    name: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class TaskScore:
    """What a network does on a task; ``after`` is the run it came from.

    ``classes`` are those of the task that the network knows by the same name, ``dice`` their Dice (mean over the
    images, ``nan`` where a class is in none). Where it knows none of them because its head was replaced, ``old_head``
    says that the head of the task's own run was put back for the score. Where there is no figure, ``why_not`` says why.
    """

    task: str
    after: str
    classes: tuple[str, ...] = ()
    dice: tuple[float, ...] = ()
    images: int = 0
    why_not: str = ""
    epoch: int | None = None
    old_head: bool = False

    def mean(self, classes: Sequence[str] | None = None) -> float:
        """Mean Dice over the classes (or some of them); ``nan`` if none has a figure."""
        found = [d for c, d in zip(self.classes, self.dice, strict=True) if classes is None or c in classes]
        found = [d for d in found if not math.isnan(d)]
        return sum(found) / len(found) if found else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, ready for JSON; ``None`` stands for n/a."""
        told = {"task": self.task, "after": self.after, "classes": list(self.classes), "images": self.images}
        told |= {} if self.epoch is None else {"epoch": self.epoch}
        told |= {"old_head": True} if self.old_head else {}
        told |= {"dice": plain(np.array(self.dice)), "mean": plain(np.array([self.mean()]))[0]}
        return told | ({"why_not": self.why_not} if self.why_not else {})

    @staticmethod
    def from_dict(told: dict[str, Any]) -> TaskScore:
        """The score that `to_dict` was made of."""
        dice = tuple(math.nan if d is None else float(d) for d in told["dice"])
        about = {name: told[name] for name in ("why_not", "epoch", "old_head") if name in told}
        return TaskScore(told["task"], told["after"], tuple(told["classes"]), dice, told["images"], **about)


@dataclass(frozen=True)
class Kept:
    """A task before and after what was learned next: mean Dice over the classes that both networks know."""

    task: str
    before: float
    after: float
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; ``None`` stands for n/a."""
        before, after = plain(np.array([self.before, self.after]))
        return {"task": self.task, "before": before, "after": after, "sentence": self.sentence}


def task_of(
    name: str, source: Sequence[Sample] | SyntheticStream, plan: SplitPlan | None, recipe: FineTuneRecipe
) -> Task:
    """The task of a run, with the images that judge that run.

    Parameters
    ----------
    name
        How tables call it.
    source, plan, recipe
        As given to `fine_tune`. Of a stack only the slices that are painted, each as an image of its own; where
        validation is paint held out of training images, that paint.

    Raises
    ------
    InputError
        As `fine_tune`.
    """
    prepared = prepare_run(source, plan, recipe)
    samples = []
    for part in prepared.held:
        plane = np.moveaxis(part.image, 0, -1) if len(part.image) > 1 else part.image[0]
        where = Sample(plane, part.labels, axes="YXC"[: plane.ndim], name=f"{name} {part.sample}")
        if not isinstance(source, SyntheticStream):
            origin = source[part.sample]
            where = replace(where, group=origin.group, name=origin.name)
            if not origin.is_stack:
                where = replace(where, image=origin.image, axes=origin.axes)
            elif part.z is not None:
                where = replace(where, name=f"{origin.name} z={part.z}")
        samples.append(where)
    return Task(name, prepared.classes, tuple(samples))


def task_of_link(link: Link, recipe: FineTuneRecipe) -> Task | None:
    """The task of a run that only its lineage tells of: synthetic images can be made again; of others, ``None``."""
    if link.kind != "synthetic" or not link.stream:
        return None
    named = recipe.model_copy(update={"classes": link.classes})
    return task_of(link.name or "synthetic", stream_from_data(link.stream), None, named)


def score_task(
    model: Model,
    task: Task,
    after: str,
    learned: Model | None = None,
    epoch: int | None = None,
    cancel: CancelSignal | None = None,
) -> TaskScore:
    """Score a network on a task that may not be its own.

    Classes are matched by name. What the network calls by a name that the task does not have counts as wrong, so the
    Dice of a shared class is what `evaluate` gives for it.

    Parameters
    ----------
    model, task
        The network and the task.
    after, epoch
        Where the network comes from, for the score.
    learned
        The network that had learned the task: where no class is shared, its head takes the place of the new one.
    cancel
        Asked before every image.

    Raises
    ------
    Cancelled
        The signal was set.
    """
    shared, old_head = tuple(name for name in task.classes if name in model.classes), False
    if not shared and learned is not None and (again := _with_head_of(learned, model)) is not None:
        model, shared, old_head = again, task.classes, True
    if not shared:
        mine, theirs = ", ".join(task.classes), ", ".join(model.classes)
        why = f"its classes ({mine}) are not among those of the network then ({theirs})"
        return TaskScore(task.name, after, why_not=why, epoch=epoch)

    def ask(done: int, total: int) -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled

    ask(0, len(task.samples))
    try:
        report = evaluate(_Renamed(model, task.classes), task.samples, metrics=("dice",), progress=ask)
    except AnnealError as error:
        return TaskScore(task.name, after, why_not=str(error).rstrip("."), epoch=epoch)
    dice = report.mean("dice")[[task.classes.index(name) for name in shared]]
    return TaskScore(task.name, after, shared, tuple(map(float, dice)), len(task.samples), "", epoch, old_head)


def all_kept(scores: Sequence[TaskScore]) -> tuple[Kept, ...]:
    """What the network that was scored last still does of every task learned before; a task has the name of its run."""
    found = (_kept([score for score in scores if score.task == task]) for task in dict.fromkeys(s.task for s in scores))
    return tuple(one for one in found if one is not None)


def _kept(scores: list[TaskScore]) -> Kept | None:
    """Of one task, scored in order; ``None``: it was not learned yet, or nothing was learned since."""
    learned = next((i for i, score in enumerate(scores) if score.after == score.task), len(scores))
    if learned + 1 >= len(scores):
        return None
    before, after = scores[learned], scores[-1]
    if before.why_not or after.why_not:
        why = "the classes differ" if not after.classes else before.why_not or after.why_not
        sentence = f"What is kept of the {after.task} task cannot be said: {why}."
        return Kept(after.task, before.mean(), math.nan, sentence)
    was, now = before.mean(after.classes), after.mean()
    only = "" if after.classes == before.classes else ", the classes that both know"
    only += ", with its old head put back" if after.old_head else ""
    images = f"{after.images} image{'s' if after.images > 1 else ''}"
    return Kept(
        after.task,
        was,
        now,
        f"Kept {now:.2f} of {was:.2f} on the {after.task} task "
        f"(mean Dice of {' and '.join(after.classes)}{only}; {images}).",
    )


def table(scores: Iterable[TaskScore]) -> str:
    """Plain text: one row a task, one column a run, mean Dice; n/a with the reasons below."""
    scores = list(scores)
    runs, tasks = list(dict.fromkeys(s.after for s in scores)), list(dict.fromkeys(s.task for s in scores))
    found = {(s.task, s.after): s for s in scores}
    width = max(len("task"), *(len(t) for t in tasks)) + 2
    columns = [max(8, len(f"after {run}") + 2) for run in runs]
    lines = [f"{'task':<{width}}" + "".join(f"{f'after {r}':>{c}}" for r, c in zip(runs, columns, strict=True))]
    for task in tasks:
        cells = [_cell(found.get((task, run))) for run in runs]
        lines.append(f"{task:<{width}}" + "".join(f"{cell:>{c}}" for cell, c in zip(cells, columns, strict=True)))
    reasons = [f"n/a for {s.task} after {s.after}: {s.why_not}." for s in scores if s.why_not]
    notes = ["mean Dice over classes and images; gold samples are never among them."]
    notes += ["* with the head of the task's own run put back."] if any(s.old_head for s in scores) else []
    return "\n".join([*lines, "", *notes, *reasons])


def _cell(score: TaskScore | None) -> str:
    if score is None or math.isnan(score.mean()):
        return "n/a "
    return f"{score.mean():.3f}{'*' if score.old_head else ' '}"


def _with_head_of(learned: Model, model: Model) -> Model | None:
    """The network with the head of an earlier one, whose features it goes on from; ``None``: they do not fit."""
    spec = learned.card.architecture
    if model.card.architecture.model_copy(update={"n_classes": spec.n_classes}) != spec:
        return None
    head = {k: v for k, v in learned.network.state_dict().items() if k.startswith(HEAD)}
    network = build_network(spec)
    network.load_state_dict(model.network.state_dict() | head)
    network.eval()
    return Model(network, learned.card)


class _Renamed:
    """A model whose labels are told in another task's classes; the last class holds what that task has no name for."""

    def __init__(self, model: Model, classes: tuple[str, ...]) -> None:
        self.model = model
        other = "something else"
        while other in classes:
            other += " "
        self.classes = (*classes, other)
        numbers = [classes.index(name) + 1 if name in classes else len(self.classes) for name in model.classes]
        self._number = np.array([0, *numbers])

    def segment(self, image: Any, *, axes: str | None = None) -> Any:
        """Segment as the model does, with the task's labels."""
        found = self.model.segment(image, axes=axes, probabilities=False)
        return replace(found, labels=self._number[np.asarray(found.labels)])
