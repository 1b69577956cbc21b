"""``fine_tune_with_controls``: a run, and beside it what it has to beat: from scratch, and with the backbone frozen.

The controls see the same batches in the same order for as many steps as the run took, and are judged by the same
patches; what differs is where they start and what learns. Feature extraction worse than scratch says that the features
of the start mislead on these images.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import AnnealError, InputError
from napari_anneal.inference import Model
from napari_anneal.models.bundle import replace_card
from napari_anneal.samples.placing import write_whole
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.control import RunControl
from napari_anneal.training.diagnostics import SEED_SPREAD, Finding, backbone_misleads
from napari_anneal.training.events import Event, Notice, PartStarted
from napari_anneal.training.finished_run import ENDED, finished_run, read_finished_run, refuse_another
from napari_anneal.training.presets import Preset, preset_stages
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.report import write_report
from napari_anneal.training.report_tables import COMPARISON
from napari_anneal.training.run import Run, fine_tune
from napari_anneal.training.run_comparison import mean_dice
from napari_anneal.training.run_facts import read_facts, write_facts
from napari_anneal.training.runs import CONTROLS as FOLDER
from napari_anneal.training.setup import prepare_run
from napari_anneal.training.validation_budget import validation_budget
from napari_anneal.validation import SplitPlan

__all__ = [
    "MAIN",
    "ComparedRunFinished",
    "ControlScore",
    "ControlledRun",
    "control_recipe",
    "fine_tune_with_controls",
]

MAIN = "main"
CONTROLS: tuple[Preset, ...] = ("scratch", "feature_extraction")


@dataclass(frozen=True)
class ControlScore:
    """The best epoch of one run: ``dice`` is the mean over the classes, ``steps`` what the whole run took."""

    name: str
    val_loss: float
    dice: float
    epoch: int
    steps: int


@dataclass(frozen=True)
class ComparedRunFinished:
    """A run of the comparison (main, scratch, feature_extraction) is over; ``failed`` says why there is no score."""

    number: int
    total: int
    name: str
    score: ControlScore | None
    failed: str = ""


Listener = Callable[[Event | PartStarted | ComparedRunFinished], None]


@dataclass(frozen=True, eq=False)
class ControlledRun:
    """A run and its controls. Of controls that failed there is a sentence, of those never begun nothing."""

    run: Run
    controls: dict[str, Run] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """The model of the run itself."""
        return self.run.model

    @property
    def runs(self) -> dict[str, Run]:
        """The run itself, as "main", and its controls."""
        return {MAIN: self.run, **self.controls}

    @property
    def scores(self) -> dict[str, ControlScore]:
        """The best epoch of every run that has one."""
        return {name: score for name, run in self.runs.items() if (score := _score(name, run)) is not None}

    def curves(self) -> dict[str, npt.NDArray[np.float64]]:
        """Of every run ``(epochs, 3)``: step, validation loss, mean Dice (``nan`` where no class has one)."""
        return {
            name: np.array([[r["step"], r["val_loss"], mean_dice(r)] for r in run.history]).reshape(-1, 3)
            for name, run in self.runs.items()
        }

    @property
    def finding(self) -> Finding | None:
        """Feature extraction worse than scratch, if that is what the controls say (see `backbone_misleads`)."""
        pair = [self._ended.get(name) for name in ("feature_extraction", "scratch")]
        return None if None in pair else backbone_misleads(*([score.dice] for score in pair if score is not None))

    @property
    def _ended(self) -> dict[str, ControlScore]:
        """Scores of the runs that came to their end: only they took the same steps."""
        return {name: s for name, s in self.scores.items() if self.runs[name].reason in ENDED}

    @property
    def sentence(self) -> str:
        """What the comparison says, in a sentence; empty where a run that it needs did not come to its end."""
        main, scratch, frozen = (self._ended.get(name) for name in (MAIN, *CONTROLS))
        if main is None or scratch is None:
            return ""
        if self.finding is not None:
            return self.finding.sentence
        gain = main.dice - scratch.dice
        if abs(gain) <= SEED_SPREAD:
            return (
                f"The run {main.dice:.2f} and scratch {scratch.dice:.2f} (mean Dice) are too close to tell apart with "
                "one seed each: the start brings little on these images."
            )
        if gain < 0:
            return (
                f"The run {main.dice:.2f} < scratch {scratch.dice:.2f} (mean Dice): the start or the recipe does harm "
                "on these images; take another start, or train from scratch."
            )
        other = self.controls.get("feature_extraction")
        beside = "" if frozen is None or other is self.run else f", feature extraction {frozen.dice:.2f}"
        return (
            f"The run {main.dice:.2f} > scratch {scratch.dice:.2f}{beside} (mean Dice): the start helps on these "
            "images."
        )

    def table(self) -> str:
        """Plain text: one row a run with the figures of its best epoch, and the sentence."""
        lines = [f"{'run':<20}{'val. loss':>11}{'mean Dice':>11}{'epoch':>7}{'steps':>7}"]
        for name, s in self.scores.items():
            dice = "n/a" if math.isnan(s.dice) else f"{s.dice:.3f}"
            lines.append(f"{_said(name):<20}{s.val_loss:>11.4f}{dice:>11}{s.epoch:>7}{s.steps:>7}")
        lines += [f"{_said(name)} could not be run: {why}" for name, why in self.failed.items()]
        return "\n".join([*lines, *([self.sentence] if self.sentence else [])])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON; ``None`` stands for n/a."""
        runs, scores, curves = {}, self.scores, self.curves()
        for name, run in self.runs.items():
            score = scores.get(name)
            figures = {f: _plain(getattr(score, f, None)) for f in ("val_loss", "dice", "epoch", "steps")}
            curve = [[_plain(value) for value in row] for row in curves[name].tolist()]
            runs[name] = {"reason": run.reason, **figures, "curve": curve}
        return {"runs": runs, "failed": self.failed, "sentence": self.sentence}


def fine_tune_with_controls(
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    start: str | os.PathLike[str] | Model | None = "imagenet",
    out: str | os.PathLike[str] | None = None,
    on_event: Listener | None = None,
    cancel: CancelSignal | None = None,
    resume: bool = False,
    watch: npt.NDArray[Any] | None = None,
) -> ControlledRun:
    """Fine-tune, then train the controls *scratch* and *feature extraction* on the same batches.

    Parameters
    ----------
    samples, plan, recipe, start, watch
        As for `fine_tune`. A recipe that only ever trains the head is its own control of that kind.
    out
        Folder to create for the run; the controls go to ``controls/scratch`` and ``controls/feature_extraction`` in it,
        the comparison to ``controls/controls.json``. ``None``: nothing is written.
    on_event
        Called in this thread with ``PartStarted``, the events of that run, and ``ComparedRunFinished``.
    cancel
        Asked before every step; what is finished is kept.
    resume
        Go on with what is in ``out``: finished runs are not run again (a run made without controls gets them), the
        interrupted one goes on from its checkpoint.

    Raises
    ------
    InputError
        The start is scratch, which is a control itself; or the recipe asks for several devices.
    AnnealError
        As `fine_tune`, of the run itself. A control that fails costs nothing but its curve, and is told of.
    """
    if start is None:
        raise InputError(
            "a run from scratch has no features to judge, it is a control itself; start from ImageNet or a model to "
            "compare with scratch."
        )
    recipe = recipe or FineTuneRecipe.from_preset("canonical")
    if recipe.world > 1:
        raise InputError("control runs train on one device; leave devices and nodes at 1 in the recipe.")
    folder = None if out is None else Path(out)
    head_only = all(set(stage.rates) == {"head"} for stage in recipe.stages)
    names = [name for name in CONTROLS if not (head_only and name == "feature_extraction")]
    total = 1 + len(names)

    def tell(event: Event | PartStarted | ComparedRunFinished) -> None:
        if on_event is not None:
            on_event(event)

    def one(number: int, name: str, recipe: FineTuneRecipe, start: Any, folder: Path | None) -> Run:
        """One run of the comparison: found finished, gone on with, or begun."""
        control = RunControl()
        done = None
        if resume and folder is not None:
            done = read_finished_run(folder) if name == MAIN else finished_run(folder)
        tell(PartStarted("comparison", number, total, name, control, done is not None))
        if done is not None:
            refuse_another(done, samples, plan, recipe, start)
            return done
        begun = resume and folder is not None and (name == MAIN or folder.exists())
        return fine_tune(samples, plan, recipe, start, folder, tell, cancel, begun, watch, control)

    run = one(1, MAIN, recipe, start, folder)
    tell(ComparedRunFinished(1, total, MAIN, _score(MAIN, run)))
    result = ControlledRun(run, {"feature_extraction": run} if head_only else {})
    if run.reason not in ENDED:
        return result
    for number, name in enumerate(names, start=2):
        if cancel is not None and cancel.is_set():
            break
        try:
            of_name = control_recipe(name, recipe, run, samples, plan)
            place = None if folder is None else folder / FOLDER / name
            control = one(number, name, of_name, None if name == "scratch" else start, place)
            result.controls[name] = control
        except Exception as error:  # whatever it was, the run itself is finished and must not be lost by it
            result.failed[name] = str(error) if isinstance(error, AnnealError) else f"{type(error).__name__}: {error}"
            tell(Notice(f"The control run {_said(name)} failed ({result.failed[name].rstrip('.')}); the run is kept."))
        failed = result.failed.get(name, "")
        tell(ComparedRunFinished(number, total, name, result.scores.get(name), failed))
    if result.sentence:
        tell(Notice(result.sentence))
    return result if folder is None else _written(folder, result, tell)


def control_recipe(
    name: Preset, recipe: FineTuneRecipe, run: Run, samples: Sequence[Sample] | SyntheticStream, plan: SplitPlan | None
) -> FineTuneRecipe:
    """The recipe of a control: the stages of its preset, for as many steps as the run took; all else as in the run.

    The network is that of the run (a model that it started from brings its own), the patches that judge it are as many,
    and no patience ends it early.
    """
    per_epoch = prepare_run(samples, plan, recipe).data.steps_per_epoch
    steps = run.history[-1]["step"] if run.history else recipe.total_steps(per_epoch)
    (stage,) = preset_stages(name, 1, recipe.stages[0].optimizer)
    spec = run.model.card.architecture
    return recipe.model_copy(
        update={
            "preset": name,
            "stages": (stage.model_copy(update={"epochs": None, "steps": steps}),),
            "patience": steps,
            "validation_patches": validation_budget(recipe, per_epoch),
            "decoder": spec.decoder,
            "encoder": spec.encoder,
            "encoder_depth": spec.encoder_depth,
            "decoder_channels": spec.decoder_channels,
        }
    )


def _score(name: str, run: Run) -> ControlScore | None:
    if not run.best:
        return None
    best = run.best
    return ControlScore(name, best["val_loss"], mean_dice(best), best["epoch"], run.history[-1]["step"])


def _said(name: str) -> str:
    return {MAIN: "this run"}.get(name, name.replace("_", " "))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _written(folder: Path, result: ControlledRun, tell: Callable[[Event], None]) -> ControlledRun:
    """Write the comparison beside the controls and into the run's bundle; a full disk costs no more than that."""
    told = result.to_dict()
    try:
        (folder / FOLDER).mkdir(exist_ok=True)
        write_whole(folder / FOLDER / COMPARISON, json.dumps(told, indent=2) + "\n")
        _add_finding(folder, result.finding)
        card = result.model.card
        figures = {name: {k: v for k, v in run.items() if k != "curve"} for name, run in told["runs"].items()}
        found = {"controls": figures, "comparison": result.sentence}
        card = card.model_copy(update={"metrics": card.metrics | found})
        replace_card(folder / "model", card)
    except (OSError, AnnealError) as error:
        tell(Notice(f"The comparison could not be kept in {folder} ({error})."))
        return result
    return replace(result, run=replace(result.run, model=Model(result.model.network, card)))


def _add_finding(folder: Path, finding: Finding | None) -> None:
    """Add what the controls showed to the record of the run, and write its report anew."""
    facts = read_facts(folder)
    if finding is not None and finding not in facts.findings:
        write_facts(folder, facts.changed(findings=(finding, *facts.findings)))
    write_report(folder)
