"""What the network makes of one image while it learns: predicted after every epoch, without touching the run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import AnnealError, InputError
from napari_anneal.inference.planes import open_planes
from napari_anneal.inference.predictor import Cancelled, Predictor
from napari_anneal.inference.segmentation import label_dtype
from napari_anneal.inference.tiles import TilePlan
from napari_anneal.models.architecture import ArchitectureSpec
from napari_anneal.samples.normalisation import standardise
from napari_anneal.training.events import Event, Notice, Predicted
from napari_anneal.training.gradients import is_out_of_memory

__all__ = ["Watched"]


class Watched:
    """One image and the network that is to show what it has learned.

    Predicting draws no random number and leaves weights, statistics and train or eval modes as they are, so a run that
    is watched is, bit for bit, the run that is not.

    Parameters
    ----------
    image
        ``(Y, X)`` or ``(Y, X, C)``, bool, integer or float, any size: beyond what memory allows at once it is computed
        in tiles.
    network, spec
        Trained in place elsewhere, and what it is.
    precision
        As in the recipe.
    cancel
        Ends a prediction within a layer.

    Raises
    ------
    InputError
        Not such an array, pixels that cannot be used, or colours where the network takes grey.
    """

    def __init__(
        self,
        image: Any,
        network: nn.Module,
        spec: ArchitectureSpec,
        device: torch.device,
        precision: str,
        cancel: CancelSignal | None = None,
    ) -> None:
        array = np.asarray(image)
        if array.ndim not in (2, 3):
            raise InputError(
                f"the image to watch has {array.ndim} axes instead of (Y, X) or (Y, X, C); pass one slice of a stack."
            )
        try:
            planes, _ = open_planes(array, "YXC"[: array.ndim], None, spec.in_channels)
            self._image = standardise(planes.intensity_limits().apply(planes.plane(0)))
        except InputError as error:
            raise InputError(f"the image to watch cannot be used: {error}") from error
        self._predictor = Predictor(network, spec.in_channels, spec.n_classes, spec.stride, device, precision)
        self._cancel, self._failed = cancel, False

    @cached_property
    def _plan(self) -> TilePlan:
        return self._predictor.plan((self._image.shape[1], self._image.shape[2]))

    def look(self, epoch: int) -> Iterator[Event]:
        """Predict with the network as it is now; an image that cannot be is told of once, and costs no run."""
        if self._failed:
            return
        try:
            labels = self._labels()
        except Cancelled:
            return
        except Exception as error:
            if not isinstance(error, AnnealError) and not is_out_of_memory(error):
                raise
            self._failed = True
            why = str(error) if isinstance(error, AnnealError) else "the memory does not suffice beside the training"
            yield Notice(f"The watched image is not shown any more ({why}); the run goes on.")
        else:
            yield Predicted(epoch, labels)

    def _labels(self) -> npt.NDArray[Any]:
        """Label of every pixel, uint8 ``(Y, X)``, 1…K."""
        plan = self._plan
        with self._predictor.session(self._cancel) as compute:
            found = self._predictor.predict(self._image, plan, compute)
        return np.asarray(found.argmax(axis=0) + 1, dtype=label_dtype(self._predictor.n_classes))
