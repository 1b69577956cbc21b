"""What *Grain size* measures when its button is pressed: a snapshot and options, carried out on the worker's thread."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.samples.tiff_spacing import MICROMETRES
from napari_anneal.widgets._layers import Snapshot
from napari_anneal.widgets._live import Progress, known

if TYPE_CHECKING:
    from napari_anneal.validation import GrainSize

__all__ = ["GrainOrder", "Stopped", "pixel_size_text", "read_pixel_size"]


class Stopped(Exception):
    """The user has cancelled."""


@dataclass(frozen=True)
class GrainOrder:
    """What was ordered: ``z`` is the slice (``None``: all there is), the rest as in `grain_size`."""

    labels: Snapshot
    ignore: Snapshot | None
    z: int | None
    spacing_um: tuple[float, ...] | None
    options: dict[str, Any]

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> GrainSize | None:
        """Measure; ``None`` if it was cancelled."""
        from napari_anneal.validation import grain_size

        def progress(done: int, total: int) -> None:
            if cancel.is_set():
                raise Stopped
            report(Progress(done, total))

        labels, ignore = self._part(self.labels), None if self.ignore is None else self._part(self.ignore) != 0
        spacing = None if self.spacing_um is None else self.spacing_um[-labels.ndim :]
        try:
            return grain_size(labels, spacing, ignore=ignore, progress=progress, **self.options)
        except Stopped:
            return None

    def _part(self, of: Snapshot) -> Any:
        return np.asarray(of.data if self.z is None else of.data[self.z])


def pixel_size_text(labels: Snapshot) -> str:
    """Size of a pixel as the form shows it, µm along each axis, from the layer's scale and units; empty: unknown."""
    symbol = None if labels.unit is None else known(labels.unit)
    if symbol is None:
        return ""
    sizes = [f"{size * MICROMETRES[symbol.lower()]:.6g}" for size in labels.spacing]
    return sizes[0] if len(set(sizes)) == 1 else " × ".join(sizes)


def read_pixel_size(text: str, ndim: int) -> tuple[float, ...] | None:
    """Numbers out of what was typed, one for each axis; ``None`` for nothing.

    Raises
    ------
    InputError
        It is no positive number, nor one for each axis.
    """
    words = [word for word in re.split(r"[×x;\s]+", text.strip().lower().removesuffix("µm")) if word]
    if not words:
        return None
    try:
        sizes = tuple(float(word.replace(",", ".")) for word in words)
    except ValueError:
        sizes = ()
    if len(sizes) == 1:
        sizes *= ndim
    if len(sizes) != ndim or not all(0 < size < float("inf") for size in sizes):
        axes = "Z × Y × X" if ndim == 3 else "Y × X"
        raise InputError(
            f"A pixel size of {text.strip()!r} cannot be read; type one number in µm, or {ndim} as {axes}, or nothing."
        )
    return sizes
