"""A run's model calibrated on what judged the run, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference.predictor import Cancelled
from napari_anneal.models.bundle import replace_card
from napari_anneal.samples.normalisation import standardise
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run import Run
from napari_anneal.training.setup import prepare_run
from napari_anneal.validation import Calibration, SplitPlan
from napari_anneal.validation.calibration import calibration_of, with_temperature

__all__ = ["calibrate_run"]


def calibrate_run(
    run: Run,
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> tuple[Run, Calibration] | None:
    """Fit a temperature on the validation pixels of a run, and keep it in the model and in its bundle.

    Where there was one specimen only, these are the pixels of the paint that was held out; they lie on the images that
    trained, so the model is likelier to be overconfident elsewhere than the figures show.

    Parameters
    ----------
    run
        Its model is segmented with as it is; ``out`` may be ``None``.
    samples, plan
        What the run was given: the same split gives the same validation pixels. Gold stays locked.
    progress
        Called with (slices done, slices in all).
    cancel
        Asked before every layer of the network.

    Returns
    -------
    tuple
        The run with the calibrated model, and what was found; ``None`` if it was cancelled.

    Raises
    ------
    InputError
        The run was judged by the paint it learned from; every validation pixel is right; or the samples are others.
    OutputError
        The bundle cannot be written; it is as it was.
    """
    model = run.model
    prepared = prepare_run(samples, plan, FineTuneRecipe.model_validate(model.card.recipe))
    if prepared.judged_by == "training paint":
        raise InputError(
            "there was too little paint to hold any out, and on paint that it has learned from any model looks "
            "calibrated; paint more, or a second specimen, and run again."
        )
    held = " (paint held out)" if prepared.judged_by == "held-out paint" else ""
    names = dict.fromkeys(
        "synthetic images"
        if isinstance(samples, SyntheticStream)
        else f"{samples[part.sample].name or f'image {part.sample + 1}'}{held}"
        for part in prepared.held
    )
    predictor, temperature = model.predictor, model.card.temperature

    def parts() -> Iterator[tuple[Any, Any]]:
        with predictor.session(cancel) as compute:
            for done, part in enumerate(prepared.held, start=1):
                size = (part.labels.shape[0], part.labels.shape[1])
                chances = predictor.predict(standardise(part.image), predictor.plan(size), compute)
                yield part.labels, with_temperature(chances, temperature)
                if progress is not None:
                    progress(done, len(prepared.held))

    try:
        found = calibration_of(parts(), names)
    except Cancelled:
        return None
    calibrated = model.calibrated(found.temperature, found.figures)
    if run.out is not None:
        replace_card(run.out / "model", calibrated.card)
    return replace(run, model=calibrated), found
