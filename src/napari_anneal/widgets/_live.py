"""Segment a snapshot plane by plane and tell of each finished plane, so that the layer fills in while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.widgets._layers import Snapshot

__all__ = ["LARGEST_IN_MEMORY", "Job", "ModelReady", "Outcome", "PlaneDone", "Progress"]

# A result above this is written to a file and shown from there.
LARGEST_IN_MEMORY = 4 << 30


@dataclass(frozen=True)
class ModelReady:
    """The model is loaded; what the result layer needs to know."""

    classes: tuple[str, ...]
    colours: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class PlaneDone:
    """Labels of one plane, ``(Y, X)``; ``z`` is ``None`` for a 2D image."""

    z: int | None
    labels: npt.NDArray[Any]


@dataclass(frozen=True)
class Progress:
    """Tiles done of all."""

    done: int
    total: int


@dataclass(frozen=True)
class Outcome:
    """What came out: a ``Segmentation``, and the share of each class in words."""

    result: Any
    shares: str


@dataclass(frozen=True)
class Job:
    """What was ordered when a button was pressed; it holds snapshots, no widget and no layer.

    ``z`` is the slice to do (``None``: all of it), ``out`` the file to write as well, or ``None``.
    """

    image: Snapshot
    model: Any
    z: int | None
    tile: int | str | None
    probabilities: bool
    uncertainty: bool
    out: Path | None
    overwrite: bool = False

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> Outcome:
        """Load, segment and tell, on the worker's thread."""
        from napari_anneal.inference import load_model
        from napari_anneal.inference.planes import open_planes
        from napari_anneal.inference.segmentation import label_dtype

        model = load_model(self.model, precision="auto") if isinstance(self.model, str) else self.model
        image = self.image
        planes, _ = open_planes(image.data, image.axes, image.spacing, model.card.architecture.in_channels)
        count, dtype = len(model.classes), label_dtype(len(model.classes))
        voxels = int(np.prod(planes.plane_shape if self.z is not None else planes.shape))
        kept = dtype.itemsize * (self.out is None) + 4 * count * self.probabilities + 4 * self.uncertainty
        if voxels * kept > LARGEST_IN_MEMORY:
            raise InputError(
                f"This result would take {voxels * kept / 2**30:.1f} GiB of memory; choose a file under “Save to” (the "
                "labels are then shown from there), and switch probabilities and uncertainty off."
            )
        report(ModelReady(model.classes, model.colours, model.card.name or "model"))
        pixels = np.zeros(count + 1, dtype=np.int64)

        def on_block(block: Any, labels: npt.NDArray[Any], probabilities: Any) -> None:
            for z, plane in enumerate(labels, start=block.start[0] if self.z is None else self.z):
                pixels[:] += np.bincount(plane.ravel(), minlength=count + 1)
                report(PlaneDone(z if image.is_stack else None, plane))

        result = model.segment(
            image.data,
            image.axes,
            self.tile,
            self.out if self.z is None else None,
            probabilities=self.probabilities,
            uncertainty=self.uncertainty,
            progress=lambda done, total: report(Progress(done, total)),
            cancel=cancel,
            spacing=image.spacing,
            overwrite=self.overwrite,
            on_block=on_block,
            only=self.z if image.is_stack else None,
        )
        return Outcome(result, shares(pixels[1:], model.classes))


def known(unit: str | None) -> str | None:
    """Symbol of a unit if files have a word for it: a layer in seconds or degrees is written without one."""
    from napari_anneal.inference.units import unit_symbol

    try:
        return unit_symbol(unit)
    except InputError:
        return None


def shares(pixels: npt.NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """Share of each class: ``fibre 31 %, matrix 69 %``."""
    total = max(1, int(pixels.sum()))
    return ", ".join(f"{name} {100 * int(n) / total:.1f} %" for name, n in zip(classes, pixels, strict=True))
