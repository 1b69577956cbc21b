"""A cascade as data: its arrows, what it tells while it goes, and what comes out."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.inference import Model, shipped_models
from napari_anneal.models import is_bundle
from napari_anneal.models.lineage import described
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import RecipeRanges, SyntheticStream
from napari_anneal.training.events import Event, PartStarted
from napari_anneal.training.finished_run import ENDED
from napari_anneal.training.forgetting import Kept, TaskScore, all_kept, table
from napari_anneal.training.plan import Planner
from napari_anneal.training.presets import Preset
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run import Run
from napari_anneal.training.run_plan import RunPlan
from napari_anneal.validation import SplitPlan

__all__ = [
    "Arrow",
    "ArrowFinished",
    "Cascade",
    "CascadeEvent",
    "Start",
    "TaskScored",
    "cascade_arrows",
    "is_model",
    "plan_arrows",
    "recipe_of_synthetic",
]

Start = str | os.PathLike[str] | Model | None
SYNTHETIC, REAL = "synthetic", "real"
# What the synthetic arrow takes over from the recipe of the real one, which learns from its network.
SHARED = (
    "patch", "batch_size", "micro_batch", "rates_for_batch", "decoder", "encoder", "encoder_depth", "decoder_channels",
    "seed", "precision", "device", "compile", "ema_decay", "batch_norm", "augmentation",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Arrow:
    """One arrow of a cascade: what is learned from, and how.

    Parameters
    ----------
    name
        How folders, tables and messages call it: letters, digits, ``-``, ``_``, blanks and full stops.
    source
        Painted samples or a synthetic stream.
    recipe, plan
        As for `fine_tune`.
    """

    name: str
    source: Sequence[Sample] | SyntheticStream
    recipe: FineTuneRecipe
    plan: SplitPlan | None = None

    def __post_init__(self) -> None:
        """Refuse a name that cannot be that of a folder."""
        if not re.fullmatch(r"[\w][\w .-]{0,59}", self.name) or self.name.endswith((".", " ")):
            raise InputError(f"an arrow cannot be called {self.name!r}; use letters, digits, '-' and '_'.")


@dataclass(frozen=True)
class TaskScored:
    """A task was scored; ``score.epoch`` is ``None`` at the end of an arrow."""

    score: TaskScore


@dataclass(frozen=True)
class ArrowFinished:
    """An arrow has come to its end and its tasks are scored; ``kept``: what is left of the tasks learned before."""

    number: int
    total: int
    name: str
    reason: str
    kept: tuple[Kept, ...]


CascadeEvent = Event | PartStarted | TaskScored | ArrowFinished


@dataclass(frozen=True, eq=False)
class Cascade:
    """What came out of a cascade: the runs of its arrows in order, as far as it came, and every score.

    ``names`` are those of all arrows. A cancelled cascade has fewer runs, or a last one that was cancelled.
    """

    names: tuple[str, ...]
    runs: tuple[Run, ...]
    scores: tuple[TaskScore, ...]
    out: Path | None = None

    @property
    def model(self) -> Model:
        """The model of the last arrow that was begun."""
        return self.runs[-1].model

    @property
    def complete(self) -> bool:
        """Whether every arrow came to its end."""
        return len(self.runs) == len(self.names) and self.reason in ENDED

    @property
    def reason(self) -> str:
        """Why the last run ended (see ``RunFinished``)."""
        return self.runs[-1].reason

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What the last model still does of every task that was learned before."""
        return all_kept(self.scores)

    @property
    def lineage(self) -> str:
        """The whole way of the weights in one line."""
        return described(self.model.card.lineage)

    def table(self) -> str:
        """Plain text: the way of the weights, every task after every arrow, what was kept."""
        return "\n".join([self.lineage, "", table(self.scores), *(k.sentence for k in self.kept)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON; ``None`` stands for n/a."""
        arrows = [
            {
                "name": name,
                "reason": run.reason,
                "model": None if run.out is None else str(run.out / "model"),
                "classes": list(run.model.classes),
                "best": {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in run.best.items()},
            }
            for name, run in zip(self.names, self.runs, strict=False)
        ]
        return {
            "complete": self.complete,
            "arrows": arrows,
            "not_run": list(self.names[len(self.runs) :]),
            "lineage": [link.model_dump(mode="json") for link in self.model.card.lineage],
            "scores": [score.to_dict() for score in self.scores],
            "kept": [k.to_dict() for k in self.kept],
        }


def cascade_arrows(
    samples: Sequence[Sample],
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    synthetic_recipe: FineTuneRecipe | None = None,
    stream: SyntheticStream | None = None,
    start: Start = "imagenet",
    then: Sequence[Arrow] = (),
) -> tuple[Arrow, ...]:
    """The arrows that `cascade` runs for the same arguments: synthetic, real, and what comes then."""
    recipe = recipe or FineTuneRecipe.from_preset("canonical")
    real = Arrow(REAL, samples, recipe, plan)
    if stream is None and is_model(start):
        return (real, *then)
    stream = stream or SyntheticStream.in_patches(RecipeRanges(), recipe.seed, recipe.patch)
    return (Arrow(SYNTHETIC, stream, synthetic_recipe or recipe_of_synthetic(recipe, stream, start)), real, *then)


def recipe_of_synthetic(
    recipe: FineTuneRecipe, stream: SyntheticStream, start: Start, epochs: int = 30, **changes: Any
) -> FineTuneRecipe:
    """The synthetic arrow's recipe: canonical (from scratch: the preset scratch), all else as in the real one's.

    Other fields by keyword.
    """
    preset: Preset = "scratch" if start is None else "canonical"
    shared = {name: getattr(recipe, name) for name in SHARED}
    return FineTuneRecipe.from_preset(preset, epochs, **(shared | {"classes": stream.classes} | changes))


def plan_arrows(arrows: Sequence[Arrow], start: Start = None, measure: bool = False) -> tuple[RunPlan, ...]:
    """What the runs of a cascade would do, each from a network such as the one before it will leave.

    Raises
    ------
    AnnealError
        As `run_arrows`, for what can be known before the first step.
    """
    plans = []
    for arrow in arrows:
        planner = Planner(arrow.source)
        plans.append(planner.plan(arrow.plan, arrow.recipe, start, measure))
        start = planner.untrained(arrow.plan, arrow.recipe, start, arrow.name)
    return tuple(plans)


def is_model(start: Start) -> bool:
    """Whether a start is a model that has learned already, in contrast to scratch, ImageNet and a weights file."""
    if start is None or isinstance(start, Model):
        return start is not None
    return is_bundle(start) or (not Path(start).exists() and os.fspath(start) in shipped_models())
