"""What was ordered when *Fine-tune* was pressed: copies of all that a run needs, and the run itself on a thread."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._class_table import class_names, count_all
from napari_anneal.widgets._watch import WatchedSlice

if TYPE_CHECKING:
    from napari_anneal.synthesis import SyntheticStream
    from napari_anneal.training import Run, RunControl

__all__ = ["Order", "free_folder"]


@dataclass(frozen=True)
class Order:
    """One run as ordered; it holds copies, no widget and no layer, so nothing that is done to those reaches it."""

    samples: list[Sample] | SyntheticStream
    typed_names: dict[int, str]
    preset: str
    optimizer: str
    epochs: int
    settings: dict[str, Any]
    start: Any
    out: Path
    colours: tuple[str, ...]
    watch: WatchedSlice | None
    control: RunControl

    @property
    def synthetic(self) -> bool:
        """Whether it learns from a stream."""
        return not isinstance(self.samples, list)

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> Run:
        """Train, on the worker's thread."""
        from napari_anneal.inference import Model
        from napari_anneal.training import FineTuneRecipe, fine_tune

        if isinstance(self.samples, list):
            counts = count_all([np.asarray(sample.labels) for sample in self.samples])
            names = class_names(counts, self.typed_names)
        else:
            names = tuple(self.typed_names.values())
        recipe = FineTuneRecipe.from_preset(
            self.preset, self.epochs, self.optimizer, **self.settings, classes=names, colours=self.colours[: len(names)]
        )
        run = fine_tune(
            self.samples,
            recipe=recipe,
            start=self.start,
            out=self.out,
            on_event=report,
            cancel=cancel,
            watch=None if self.watch is None else self.watch.pixels,
            control=self.control,
        )
        # The session goes on at the speed that this processor has.
        return dataclasses.replace(run, model=Model(run.model.network, run.model.card, precision="auto"))


def free_folder(base: Path, wanted: str) -> Path:
    """A folder for a run that does not exist yet, in ``base``, called after what the user wants as far as files may."""
    name = "".join(c if c.isalnum() or c in "-_. " else "-" for c in wanted.strip()).strip() or "run"
    out, count = base / name, 2
    while out.exists():
        out, count = base / f"{name}-{count}", count + 1
    return out
