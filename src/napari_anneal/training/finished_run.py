"""A run that has come to its end, read back from its folder: what a series of runs need not do again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.inference import Model, load_model
from napari_anneal.models import is_bundle
from napari_anneal.models.lineage import lineage_of
from napari_anneal.samples.placing import remove
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.checkpoint import has_checkpoint, remove_checkpoints
from napari_anneal.training.provenance import fingerprints
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run import Run
from napari_anneal.training.runs import read_history
from napari_anneal.training.setup import prepare_run
from napari_anneal.validation import SplitPlan

__all__ = ["ENDED", "finished_run", "read_finished_run", "refuse_another"]

# Reasons for the end of a run that leave nothing to go on with.
ENDED = ("complete", "stopped early", "finished", "diverged")


def read_finished_run(folder: Path) -> Run | None:
    """The run in a folder, or ``None`` where there is none or it has not come to its end.

    Raises
    ------
    BundleError
        Its model is damaged.
    """
    if not is_bundle(folder / "model"):
        return None
    model = load_model(folder / "model")
    metrics = model.card.metrics
    if metrics.get("reason") not in ENDED:
        return None
    history = read_history(folder)
    best = next((row for row in history if row["epoch"] == metrics["epoch"]), {})
    seconds = sum(row["seconds"] for row in history)
    return Run(model, history, best, metrics["reason"], tuple(metrics.get("notices", ())), folder, seconds)


def finished_run(folder: Path) -> Run | None:
    """As `read_finished_run`, where otherwise there is a run to go on with or no folder when it returns."""
    done = read_finished_run(folder)
    if done is not None:
        remove_checkpoints(folder)  # the end came between the model and this
    elif folder.exists() and not has_checkpoint(folder):
        remove(folder)  # it was interrupted before there was anything to go on from
    return done


def refuse_another(
    done: Run,
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None,
    recipe: FineTuneRecipe,
    start: Any,
) -> None:
    """Refuse to build on a run that is finished, but was of another recipe, other data or (a model) another start.

    Raises
    ------
    InputError
        It differs, and in what.
    """
    card, differs = done.model.card, ""
    if not recipe.is_kept_as(card.recipe):
        differs = "recipe"
    elif fingerprints(samples, prepare_run(samples, plan, recipe)) != card.fingerprints:
        differs = "set of images or labels"
    elif isinstance(start, Model) and card.lineage[:-1] != lineage_of(start.network, start.card):
        differs = "start"
    if differs:
        raise InputError(
            f"the run in {done.out} is finished, but with another {differs}; resume with that, or choose another "
            "folder."
        )
