"""``cascade``: ImageNet → synthetic → real as one call, each arrow a run that starts from the one before.

Arrows are data (a source, a recipe), so there may be more of them: across microscopes, or none synthetic. After every
arrow all tasks are scored, which says what was gained and what was forgotten.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import AnnealError, InputError, OutputError
from napari_anneal.inference import Model, load_model
from napari_anneal.inference.predictor import Cancelled
from napari_anneal.models.bundle import replace_card
from napari_anneal.models.lineage import lineage_of
from napari_anneal.samples.placing import remove
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.arrows import (
    Arrow,
    ArrowFinished,
    Cascade,
    CascadeEvent,
    Start,
    TaskScored,
    cascade_arrows,
    is_model,
)
from napari_anneal.training.cascade_record import CascadeRecord
from napari_anneal.training.control import RunControl
from napari_anneal.training.events import Notice, PartStarted
from napari_anneal.training.finished_run import ENDED, finished_run, refuse_another
from napari_anneal.training.forgetting import Kept, Task, all_kept, score_task, task_of, task_of_link
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.report import write_reports
from napari_anneal.training.report_tables import CASCADE
from napari_anneal.training.run import Run, fine_tune
from napari_anneal.training.run_folder import create_folder, unused_or_refused
from napari_anneal.training.run_lock import locked
from napari_anneal.validation import SplitPlan

__all__ = ["cascade", "run_arrows"]

Listener = Callable[[CascadeEvent], None]


def cascade(
    samples: Sequence[Sample],
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    synthetic_recipe: FineTuneRecipe | None = None,
    stream: SyntheticStream | None = None,
    start: Start = "imagenet",
    out: str | os.PathLike[str] | None = None,
    on_event: Listener | None = None,
    cancel: CancelSignal | None = None,
    resume: bool = False,
    then: Sequence[Arrow] = (),
    score_every: int = 0,
    watch: npt.NDArray[Any] | None = None,
) -> Cascade:
    """Fine-tune on synthetic microstructures, then on painted samples, then on what comes ``then``.

    Parameters
    ----------
    samples, plan, recipe
        Of the real arrow, as for `fine_tune`; gold samples are never touched. ``recipe``: ``None`` is canonical.
    synthetic_recipe
        Of the synthetic arrow. ``None``: canonical (from scratch: the preset scratch), with network, patch, batch and
        seed of ``recipe``. The head is kept from one arrow to the next where their classes have the same names.
    stream
        The synthetic images. ``None``: grains with every setting drawn anew (``RecipeRanges``), in patches. From a
        start that is a model already, ``None`` leaves the synthetic arrow out.
    start
        ``"imagenet"``, ``None`` (scratch), a shipped model's name, a bundle, a weights file or a ``Model``.
    out
        Folder to create, with one run an arrow (``1-synthetic``, ``2-real``, …) and ``cascade.json``.
    on_event, cancel, resume, then, score_every, watch
        As for `run_arrows`, where ``then`` are arrows to add at the end.

    Raises
    ------
    AnnealError
        As `run_arrows`.
    """
    arrows = cascade_arrows(samples, plan, recipe, synthetic_recipe, stream, start, then)
    return run_arrows(arrows, start, out, on_event, cancel, resume, score_every, watch)


def run_arrows(
    arrows: Sequence[Arrow],
    start: Start = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Listener | None = None,
    cancel: CancelSignal | None = None,
    resume: bool = False,
    score_every: int = 0,
    watch: npt.NDArray[Any] | None = None,
) -> Cascade:
    """Run one arrow after the other, each from the model of the one before, and score every task after each.

    Parameters
    ----------
    arrows
        At least one; their names differ.
    start
        Of the first arrow, as for `fine_tune`.
    out
        Folder to create for one run an arrow, ``<number>-<name>``, and ``cascade.json``; ``None``: nothing is written.
    on_event
        Called in this thread with ``PartStarted``, the events of that arrow's run, ``TaskScored`` and
        ``ArrowFinished``; ``PartStarted.control`` pauses that run, or finishes it early so that the next one begins.
    cancel
        Asked before every step. The arrow under way ends with its best weights so far, and the cascade with it.
    resume
        Go on with the cascade in ``out``: finished arrows are not run again, the interrupted one goes on from its
        checkpoint. On a CPU the result is, bit for bit, that of a cascade that was never interrupted.
    score_every
        Epochs between two scores of the earlier tasks while an arrow goes; 0: only after it.
    watch
        As for `fine_tune`; a colour image is not watched while an arrow learns from grey ones, nor the other way round.

    Raises
    ------
    InputError
        No arrows, two of one name, nothing to resume, or a finished arrow of other data, recipe or start. All data are
        checked before the first step.
    AnnealError
        As `fine_tune`.
    """
    arrows = tuple(arrows)
    if not arrows:
        raise InputError("a cascade without arrows does nothing; give at least one.")
    names = [arrow.name for arrow in arrows]
    if len(set(names)) < len(names):
        raise InputError(f"the arrows {', '.join(names)} must have different names.")
    if any(arrow.recipe.world > 1 for arrow in arrows):
        raise InputError("a cascade trains on one device; leave devices and nodes at 1 in the recipes of its arrows.")
    folder = Path(out) if resume and out is not None else unused_or_refused(out)
    record = CascadeRecord.of(arrows, start)
    if resume:
        if folder is None:
            raise InputError("there is nothing to resume without a folder; say which cascade (out) is to go on.")
        record.go_on(folder)
    tasks = tuple(task_of(arrow.name, arrow.source, arrow.plan, arrow.recipe) for arrow in arrows)
    running = _Running(arrows, tasks, start, folder, record, on_event, cancel, score_every, watch)
    create_folder(folder)
    try:
        with locked(folder):
            return running.run(resume)
    finally:
        if folder is not None:
            with suppress(OSError):
                folder.rmdir()  # it is empty where it came to nothing, as the start could not be had


class _Running:
    """A cascade while it goes."""

    def __init__(
        self,
        arrows: tuple[Arrow, ...],
        tasks: tuple[Task, ...],
        start: Start,
        folder: Path | None,
        record: CascadeRecord,
        on_event: Listener | None,
        cancel: CancelSignal | None,
        score_every: int,
        watch: npt.NDArray[Any] | None,
    ) -> None:
        self.arrows, self.tasks, self.start = arrows, list(tasks), start
        self.folder, self.record = folder, record
        self.on_event, self.cancel, self.score_every, self.watch = on_event, cancel, score_every, watch
        self.runs: list[Run] = []
        # What had learned a task, by the task's name.
        self.learned: dict[str, Model] = {}

    def run(self, resume: bool) -> Cascade:
        """Run what is not finished yet."""
        try:
            return self._run(resume)
        except AnnealError:
            if self.folder is not None and not any(path.is_dir() for path in self.folder.iterdir()):
                remove(self.folder / CASCADE)  # nothing was begun
            raise

    def _run(self, resume: bool) -> Cascade:
        model = self.start
        if is_model(model):
            with suppress(Cancelled):
                model = self._score_start(model)
        self._write()
        for number, arrow in enumerate(self.arrows, start=1):
            if self.runs and self._cancelled:
                break
            run = self._run_arrow(number, arrow, model, resume)
            self.runs.append(run)
            if run.reason in ENDED:
                with suppress(Cancelled):
                    self._score(arrow)
            self._write(self._so_far)
            self._tell(ArrowFinished(number, len(self.arrows), arrow.name, run.reason, self._kept(arrow)))
            if run.reason not in ENDED:
                break
            model = run.model
        if self.folder is not None:
            try:
                write_reports(self.folder, (run.out for run in self.runs))
            except Exception as error:  # the models are on disk, and no report of them is worth an error
                self._tell(Notice(f"The report of the cascade could not be written ({error})."))
        return self._so_far

    def _run_arrow(self, number: int, arrow: Arrow, start: Start, resume: bool) -> Run:
        """Run an arrow, go on with it, or find it finished."""
        folder = None if self.folder is None else self.folder / f"{number}-{arrow.name}"
        control = RunControl()
        done = finished_run(folder) if resume and folder is not None else None
        self._tell(PartStarted("cascade", number, len(self.arrows), arrow.name, control, done is not None))
        if done is not None:
            refuse_another(done, arrow.source, arrow.plan, arrow.recipe, start)
            return done
        return fine_tune(
            arrow.source,
            arrow.plan,
            arrow.recipe,
            start,
            folder,
            on_event=self._tell,
            cancel=self.cancel,
            resume=resume and folder is not None and folder.exists(),
            watch=self.watch if self._can_watch(arrow) else None,
            control=control,
            probe=self._during(arrow) if self.score_every else None,
        )

    def _can_watch(self, arrow: Arrow) -> bool:
        """Whether the watched image has as many channels as what the arrow learns from (synthetic images are grey)."""
        channels = 1 if isinstance(arrow.source, SyntheticStream) else arrow.source[0].channels
        return self.watch is not None and channels == (3 if self.watch.ndim == 3 else 1)

    def _score_start(self, start: Start) -> Model:
        """Score the model that the cascade starts from, on its own task too where its lineage lets it be made again."""
        model = start if isinstance(start, Model) else load_model(start)  # type: ignore[arg-type]
        name = model.card.name or "start"
        if name in self.record.names:
            name = f"{name} (start)"
        own = task_of_link(lineage_of(model.network, model.card)[-1], self.arrows[0].recipe)
        if own is not None:
            self.tasks.insert(0, replace(own, name=name))
        self.learned[name] = model
        if not self.record.after(name):
            self._score_all(model, name)
        return model

    def _score(self, arrow: Arrow) -> None:
        """Score a finished arrow, unless that is known already, and write it into its bundle."""
        run = self.runs[-1]
        self.learned[arrow.name] = run.model
        if not self.record.after(arrow.name):
            self._score_all(run.model, arrow.name)
        for one in self._kept(arrow):
            self._tell(Notice(one.sentence))
        found = {
            "tasks": [score.to_dict() for score in self.record.after(arrow.name)],
            "kept": [one.to_dict() for one in self._kept(arrow)],
        }
        if found["tasks"] and any(run.model.card.metrics.get(key) != value for key, value in found.items()):
            card = run.model.card.model_copy(update={"metrics": run.model.card.metrics | found})
            if run.out is not None:
                try:
                    replace_card(run.out / "model", card)
                except OutputError as error:
                    self._tell(Notice(f"The scores could not be added to the model: {error}"))
            self.runs[-1] = replace(run, model=Model(run.model.network, card))

    def _score_all(self, model: Model, after: str) -> None:
        """Score a model on every task; if that is cancelled, there is no score of it at all."""
        scores = []
        for task in self.tasks:
            scores.append(score_task(model, task, after, self.learned.get(task.name), cancel=self.cancel))
            self._tell(TaskScored(scores[-1]))
        self.record.scores += scores

    def _during(self, arrow: Arrow) -> Callable[[int, Model], None]:
        """Return what scores the tasks learned before, every so many epochs of an arrow."""
        earlier = [task for task in self.tasks if self.record.after(task.name)]

        def probe(epoch: int, model: Model) -> None:
            if epoch % self.score_every:
                return
            for task in earlier:
                try:
                    score = score_task(model, task, arrow.name, self.learned.get(task.name), epoch, self.cancel)
                except Cancelled:
                    return
                self.record.add_during(score)
                self._tell(TaskScored(score))
            self._write()

        return probe

    def _write(self, cascade: Cascade | None = None) -> None:
        """Write the record; a full disk costs no model, and what is not recorded is scored again."""
        try:
            self.record.write(self.folder, cascade)
        except OutputError as error:
            self._tell(Notice(str(error)))

    def _kept(self, arrow: Arrow) -> tuple[Kept, ...]:
        """What was left of earlier tasks when this arrow had come to its end."""
        later = {a.name for a in self.arrows[self.arrows.index(arrow) + 1 :]}
        return all_kept([score for score in self.record.scores if score.after not in later])

    @property
    def _so_far(self) -> Cascade:
        return Cascade(self.record.names, tuple(self.runs), tuple(self.record.scores), self.folder)

    @property
    def _cancelled(self) -> bool:
        return self.cancel is not None and self.cancel.is_set()

    def _tell(self, event: CascadeEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)
