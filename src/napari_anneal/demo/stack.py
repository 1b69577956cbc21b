"""Second half of the demo: a CT stack painted on two slices, learned from there, and segmented whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_anneal.inference import Model, Segmentation
from napari_anneal.samples import Sample
from napari_anneal.samples.shipped import SHIPPED, shipped_samples
from napari_anneal.training import FineTuneRecipe, Run, fine_tune
from napari_anneal.training.events import Event

__all__ = ["CLASSES", "StackResult", "segment_stack"]

CLASSES = SHIPPED["cement"].classes
# Patches smaller than the slices: their edges, and with them the image border, fall near the paint.
EPOCHS, STEPS_PER_EPOCH, BATCH, PATCH = 12, 12, 6, 96


@dataclass(frozen=True, eq=False)
class StackResult:
    """The stack, its strokes, the run and the labels of every slice."""

    sample: Sample
    run: Run
    segmentation: Segmentation

    @property
    def painted_slices(self) -> list[int]:
        """Indices of the slices with strokes."""
        return [part.z for part in self.sample.painted_slices() if part.z is not None]


def segment_stack(start: Model, out: Path, on_event: Callable[[str, Event], None], seed: int = 0) -> StackResult:
    """Fine-tune on the two painted slices of the shipped cement stack and segment all of it to OME-Zarr."""
    (sample,) = shipped_samples("cement")
    recipe = FineTuneRecipe.from_preset(
        "canonical",
        epochs=EPOCHS,
        steps_per_epoch=STEPS_PER_EPOCH,
        batch_size=BATCH,
        patch=PATCH,
        classes=CLASSES,
        colours=SHIPPED["cement"].colours,
        seed=seed,
    )
    run = fine_tune([sample], None, recipe, start, out / "stack-run", lambda e: on_event("stack", e))
    segmentation = run.model.segment(sample.image, axes=sample.axes, out=out / "cement_labels.ome.zarr")
    return StackResult(sample, run, segmentation)
