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


class LiveSink:
    """Hands every plane to a listener, and on to the file where there is one (the core's ``LabelSink``)."""

    def __init__(self, on_plane: Callable[[int, npt.NDArray[Any]], None], file: Any = None) -> None:
        self._on_plane, self._file = on_plane, file
        self.written = 0

    def open(self) -> None:
        """Create the file."""
        if self._file is not None:
            self._file.open()

    def write(self, z: int, labels: npt.NDArray[Any]) -> None:
        """Take one plane."""
        if self._file is not None:
            self._file.write(z, labels)
        self.written += 1
        self._on_plane(z, labels)

    def finish(self) -> Path | None:
        """Every plane is written."""
        return None if self._file is None else self._file.finish()

    def keep_partial(self) -> Path | None:
        """The run ended early."""
        return None if self._file is None else self._file.keep_partial()

    def read(self, path: Path) -> Any:
        """Labels on disk."""
        return self._file.read(path)


class OneSlice:
    """One slice of a stack, in the grey limits of the whole stack: it looks as it will in the finished result."""

    def __init__(self, planes: Any, z: int) -> None:
        self._planes, self._z = planes, z
        self.axes, self.channels = "YX", planes.channels
        self.shape = self.plane_shape = planes.plane_shape

    def __len__(self) -> int:
        return 1

    def intensity_limits(self) -> Any:
        """Limits of the whole stack."""
        return self._planes.intensity_limits()

    def plane(self, z: int) -> npt.NDArray[Any]:
        """The slice."""
        return self._planes.plane(self._z)


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
        from napari_anneal.inference import Segmentation, load_model
        from napari_anneal.inference.output import LabelVolume, open_sink
        from napari_anneal.inference.planes import open_planes
        from napari_anneal.inference.run import SegmentationRun
        from napari_anneal.inference.segmentation import label_dtype

        model = load_model(self.model, precision="auto") if isinstance(self.model, str) else self.model
        planes, _ = open_planes(
            self.image.data, self.image.axes, self.image.spacing, model.card.architecture.in_channels
        )
        count, dtype = len(model.classes), label_dtype(len(model.classes))
        voxels = int(np.prod(planes.plane_shape if self.z is not None else planes.shape))
        kept = dtype.itemsize * (self.out is None) + 4 * count * self.probabilities + 4 * self.uncertainty
        if voxels * kept > LARGEST_IN_MEMORY:
            raise InputError(
                f"This result would take {voxels * kept / 2**30:.1f} GiB of memory; choose a file under “Save to” (the "
                "labels are then shown from there), and switch probabilities and uncertainty off."
            )
        report(ModelReady(model.classes, model.colours, model.card.name or "model"))
        file = None
        if self.out is not None and self.z is None:
            volume = LabelVolume(planes.shape, dtype, planes.spacing, model.classes, model.colours, planes.unit)
            file = open_sink(self.out, volume, self.overwrite, None)
        stack = self.image.is_stack
        pixels = np.zeros(count + 1, dtype=np.int64)

        def on_plane(z: int, labels: npt.NDArray[Any]) -> None:
            pixels[:] += np.bincount(labels.ravel(), minlength=count + 1)
            report(PlaneDone((z if self.z is None else self.z) if stack else None, labels))

        sink = LiveSink(on_plane, file)
        work: Any = planes if self.z is None else OneSlice(planes, self.z)
        plan = model.predictor.plan(planes.plane_shape, self.tile)
        run = SegmentationRun(model.predictor, work, plan, dtype, sink, self.probabilities, self.uncertainty)
        done = run.execute(lambda done, total: report(Progress(done, total)), cancel)
        result = Segmentation(
            run.labels, run.probabilities, run.uncertainty, model.classes, model.colours, planes.spacing, run.path,
            done, len(work),
        )  # fmt: skip
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
