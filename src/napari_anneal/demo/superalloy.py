"""First half of the demo: painted SEM images of a superalloy, scored on specimens the network never saw.

Three ways from the same strokes to the same held-out images: the shipped model fine-tuned, the same network from
scratch with the same number of steps, and classical segmentations with their parameters fitted to the strokes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_anneal.inference import Model, load_model
from napari_anneal.samples import Sample
from napari_anneal.samples.shipped import SHIPPED, paint_strokes, shipped_samples
from napari_anneal.training import FineTuneRecipe, Run, fine_tune
from napari_anneal.training.events import Event
from napari_anneal.validation import ClassicalControl, Report, SplitPlan, evaluate, fit_classical, group_split

__all__ = ["CLASSES", "HELD_OUT", "START", "Comparison", "compare", "paint_training_images"]

START = "voronoi"
CLASSES = SHIPPED["superalloy"].classes
# Strokes an image: matrix, fine, coarse. Fine precipitates are a few pixels wide, so one is a dab of the brush.
STROKES = (80, 80, 60)
HELD_OUT = ("spot5", "spot6", "spot7")
# Two trainings have to fit into three minutes on two cores.
EPOCHS, STEPS_PER_EPOCH, BATCH, PATCH = 12, 28, 4, 192


@dataclass(frozen=True, eq=False)
class Comparison:
    """The three ways, their models and scores; the last of the controls is the strongest."""

    run: Run
    scratch: Run
    controls: dict[str, ClassicalControl]
    reports: dict[str, Report]
    painted: list[Sample]
    held_out: list[Sample]
    plan: SplitPlan
    painted_share: float


def paint_training_images() -> tuple[list[Sample], list[Sample]]:
    """Return the shipped images twice: with strokes only (held-out ones unpainted), and with the full hand labels."""
    dense = shipped_samples("superalloy")

    def paint(number: int, sample: Sample) -> Sample:
        if sample.group in HELD_OUT:
            return replace(sample, labels=None)
        return replace(sample, labels=paint_strokes(sample.labels, number, STROKES, margin_px=1))

    return [paint(i, s) for i, s in enumerate(dense)], dense


def compare(out: Path, on_event: Callable[[str, Event], None], seed: int = 0) -> Comparison:
    """Train and score the three ways; ``on_event`` gets the name of the run and each of its events."""
    painted, dense = paint_training_images()
    plan = group_split(painted, folds=4, gold=HELD_OUT, seed=seed)
    held_out = [dense[i] for i in plan.gold]
    start = load_model(START)
    ours = fine_tune(
        painted, plan, recipe("canonical", start, seed), start, out / "run", lambda e: on_event("fine-tune", e)
    )
    scratch = fine_tune(painted, plan, recipe("scratch", start, seed), None, None, lambda e: on_event("scratch", e))
    first = plan.folds[0]
    seen = [painted[i] for i in (*first.train, *first.val)]
    controls = {
        "multi-Otsu": fit_classical(seen, CLASSES, methods=("multi-otsu",), by_size=False),
        "best of multi-Otsu, watershed, region size": fit_classical(seen, CLASSES),
    }
    reports = {
        "fine-tuned": evaluate(ours.model, held_out),
        "same net from scratch": evaluate(scratch.model, held_out),
        **{f"classical: {name}": evaluate(control, held_out) for name, control in controls.items()},
    }
    used = [painted[i] for i in first.train]
    share = float(np.mean([(np.asarray(s.labels) > 0).mean() for s in used]))
    return Comparison(ours, scratch, controls, reports, painted, held_out, plan, share)


def recipe(preset: str, start: Model, seed: int) -> FineTuneRecipe:
    """Recipe of one way; the network is the start model's in both."""
    spec = start.card.architecture
    return FineTuneRecipe.from_preset(
        preset,  # type: ignore[arg-type]
        epochs=EPOCHS,
        steps_per_epoch=STEPS_PER_EPOCH,
        batch_size=BATCH,
        patch=PATCH,
        classes=CLASSES,
        colours=SHIPPED["superalloy"].colours,
        decoder=spec.decoder,
        encoder=spec.encoder,
        encoder_depth=spec.encoder_depth,
        decoder_channels=spec.decoder_channels,
        seed=seed,
    )
