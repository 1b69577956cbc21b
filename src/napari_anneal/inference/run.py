"""One run of a network over the planes of an image: read, compute, keep and write, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.inference.output import LabelSink, keeping_what_is_done
from napari_anneal.inference.planes import Planes
from napari_anneal.inference.predictor import Cancelled, Predictor
from napari_anneal.inference.segmentation import normalised_entropy
from napari_anneal.inference.tiles import TilePlan
from napari_anneal.samples.normalisation import standardise
from napari_anneal.validation.calibration import with_temperature

__all__ = ["SegmentationRun"]


class SegmentationRun:
    """The state of one run; ``labels``, ``probabilities``, ``uncertainty`` and ``path`` are its result."""

    def __init__(
        self,
        predictor: Predictor,
        planes: Planes,
        plan: TilePlan,
        dtype: np.dtype[Any],
        sink: LabelSink | None,
        keep_probabilities: bool,
        keep_uncertainty: bool,
        temperature: float = 1.0,
    ) -> None:
        self._predictor, self._planes, self._plan = predictor, planes, plan
        self._dtype, self._sink = dtype, sink
        self._keep_probabilities, self._keep_uncertainty = keep_probabilities, keep_uncertainty
        self._temperature = temperature
        self.labels: Any = None
        self.probabilities: npt.NDArray[np.float32] | None = None
        self.uncertainty: npt.NDArray[np.float32] | None = None
        self.path: Path | None = None

    def execute(self, progress: Callable[[int, int], None] | None, cancel: CancelSignal | None) -> int:
        """Run, and return the number of planes that were finished."""
        # Limits come first: an image that cannot be used is refused before anything is created.
        limits = self._planes.intensity_limits()
        self._allocate()
        total = len(self._planes) * len(self._plan)
        tiles_done = 0

        def on_tile() -> None:
            nonlocal tiles_done
            tiles_done += 1
            if progress is not None:
                progress(tiles_done, total)

        finished = 0
        sink = self._sink
        with keeping_what_is_done(sink):
            if sink is not None:
                sink.open()
            try:
                with self._predictor.session(cancel) as compute:
                    for z in range(len(self._planes)):
                        if cancel is not None and cancel.is_set():
                            raise Cancelled
                        unit = standardise(limits.apply(self._planes.plane(z)))
                        self._keep(z, self._predictor.predict(unit, self._plan, compute, on_tile))
                        finished += 1
            except Cancelled:
                pass
        if sink is not None:
            self.path = sink.finish() if finished == len(self._planes) else sink.keep_partial()
            self.labels = None if self.path is None else sink.read(self.path)
        return finished

    def _allocate(self) -> None:
        """Make room for what is kept in memory; labels start as 0, which no class has."""
        shape = self._planes.shape
        if self._sink is None:
            self.labels = np.zeros(shape, dtype=self._dtype)
        if self._keep_probabilities:
            self.probabilities = np.zeros((self._predictor.n_classes, *shape), dtype=np.float32)
        if self._keep_uncertainty:
            self.uncertainty = np.zeros(shape, dtype=np.float32)

    def _keep(self, z: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Store and write what a plane gave."""
        labels = (probabilities.argmax(axis=0) + 1).astype(self._dtype)
        where: Any = z if "Z" in self._planes.axes else ...
        if self._sink is None:
            self.labels[where] = labels
        else:
            self._sink.write(z, labels)
        if self._temperature != 1 and (self._keep_probabilities or self._keep_uncertainty):
            # After the labels: rounding must not turn a near tie round.
            probabilities = with_temperature(probabilities, self._temperature)
        if self.probabilities is not None:
            self.probabilities[:, where] = probabilities
        if self.uncertainty is not None:
            self.uncertainty[where] = normalised_entropy(probabilities)
