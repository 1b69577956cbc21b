"""The classical methods a network has to beat: Otsu, multi-Otsu, watershed, Sauvola and Canny, at their best.

A fair opponent gets the same labels: bands of grey levels or edges (and, within a band, small and large regions) are
given to the classes that the training labels show there, and the variant and its parameters are the best on the
training samples. The held-out images are then segmented without another look at labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.normalisation import IntensityRange, intensity_range
from napari_anneal.samples.sample import PaintedSlice, Sample
from napari_anneal.validation.control_bands import (
    find_bands,
    grey_plane,
    region_sizes,
    slices_of,
    split_by_area,
    thresholds_of,
)
from napari_anneal.validation.metrics import scores_from_confusion

__all__ = ["ALL_METHODS", "ClassicalControl", "ControlSegmentation", "fit_classical", "fit_controls"]

Family = Literal["otsu", "multi-otsu", "watershed", "sauvola", "canny"]
Method = Literal["otsu", "multi-otsu", "smoothed multi-otsu", "watershed", "sauvola", "canny"]
METHODS: tuple[Method, ...] = ("multi-otsu", "smoothed multi-otsu", "watershed")
ALL_METHODS: tuple[Method, ...] = get_args(Method)
# What a report lists, and whether regions may be told apart by size there; Otsu's is the textbook's.
LISTED: dict[str, tuple[tuple[Method, ...], bool]] = {
    "Otsu": (("otsu",), False),
    "multi-Otsu": (("multi-otsu", "smoothed multi-otsu"), True),
    "watershed": (("watershed",), True),
    "Sauvola": (("sauvola",), True),
    "Canny": (("canny",), True),
}

SIGMAS_PX = (1.0, 2.0)
AREAS_PX = (0, 100, 300, 1000)
# More thresholds than this make multi-Otsu's exhaustive search slow, and grey levels have no more to tell.
MAX_BANDS = 4
MAX_FIT_SLICES = 8
# Of a large slice the window of this side round the paint is fitted on; sixty variants of more take minutes.
MAX_FIT_SIDE_PX = 1024
# From small objects to wide shading; Sauvola and Pietikäinen use k of 0.2 to 0.5.
SAUVOLA_WINDOWS_PX, SAUVOLA_K = (15, 51), (0.1, 0.3)
# Edges are the tenth or fifth of the pixels with the steepest gradient, drawn this wide.
CANNY_QUANTILES, CANNY_WIDTHS_PX = (0.8, 0.9), (1, 3, 5)


@dataclass(frozen=True, eq=False)
class ControlSegmentation:
    """The result of a control: ``labels`` uint8 ``(Y, X)`` or ``(Z, Y, X)``, 1…K."""

    labels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ClassicalControl:
    """A classical segmentation with all of its choices made.

    Attributes
    ----------
    classes
        Class names in order.
    method
        ``otsu`` (two bands as they are), ``multi-otsu``, ``watershed`` (bands flooded along the gradient from their
        surest pixels), ``sauvola`` (above or below a local threshold) or ``canny`` (edges or not).
    sigma_px
        Gaussian smoothing before anything else.
    bands
        Number of grey bands.
    area_px
        Regions of a band smaller than this form a cell of their own; 0: no such split.
    assignment
        Class (1…K) of each cell: band 0, band 1, … and, with ``area_px``, the small regions of band 0, band
        1, …
    train_dice
        Mean Dice on the labels it was chosen on.
    window_px, strength, inverted
        Sauvola: side of the window, k, and whether bright things are sought; Canny: width the edges are drawn with, and
        the quantile of the gradient above which one begins.
    """

    classes: tuple[str, ...]
    method: Family
    sigma_px: float
    bands: int
    area_px: int
    assignment: tuple[int, ...] = ()
    train_dice: float = float("nan")
    window_px: int = 0
    strength: float = 0.0
    inverted: bool = False

    def __str__(self) -> str:
        """Name it as a table does."""
        size = f", regions under {self.area_px} px apart" if self.area_px else ""
        smooth = f", sigma {self.sigma_px:g} px" if self.sigma_px else ""
        if self.method == "sauvola":
            what = f"window {self.window_px} px, k {self.strength:g}{', bright things' if self.inverted else ''}"
        elif self.method == "canny":
            what = f"gradient above its {self.strength:.0%} quantile, {self.window_px} px wide"
        else:
            what = f"{self.bands} bands"
        return f"{self.method} ({what}{smooth}{size})"

    def segment(self, image: Any, *, axes: str | None = None) -> ControlSegmentation:
        """Segment an image or, slice by slice with common thresholds, a stack.

        Raises
        ------
        InputError
            The image is constant or holds NaN.
        """
        sample = Sample(image, axes=axes or "")
        planes = list(self.planes(sample, slices_of(sample)))
        return ControlSegmentation(np.stack(planes) if sample.is_stack else planes[0])

    def planes(self, sample: Sample, slices: Iterable[int | slice]) -> Iterator[npt.NDArray[np.uint8]]:
        """Segment some slices of a sample (``slice(None)`` is a 2D image), with the thresholds of all of it.

        Raises
        ------
        InputError
            The image is constant or holds NaN.
        """
        unit = intensity_range(sample.image, sample.axes)
        thresholds = thresholds_of(sample, unit, self)
        table = np.array(self.assignment, np.uint8)
        for z in slices:
            grey = grey_plane(sample.channels_first(z), unit, self.sigma_px)
            bands = find_bands(grey, thresholds, self)
            yield table[split_by_area(bands, self.area_px, self.bands)]


def fit_classical(
    samples: Sequence[Sample],
    classes: Sequence[str] | None = None,
    *,
    methods: Sequence[Method] = METHODS,
    by_size: bool = True,
) -> ClassicalControl:
    """Choose the classical method and parameters with the best mean Dice on the painted pixels of these samples.

    Parameters
    ----------
    samples
        Training samples only; at most 8 painted slices, evenly spread, are looked at.
    classes
        Names of the classes 1…K; by default "class 1", …
    methods
        Which methods may be chosen, out of `ALL_METHODS`; ``("multi-otsu",)`` with ``by_size=False`` is the plain
        textbook control.
    by_size
        Whether small regions of a band may be given to another class than large ones.

    Raises
    ------
    InputError
        Nothing painted, or fewer than two classes.
    """
    painted = [(sample, part) for sample in samples for part in sample.painted_slices()]
    highest = max((int(part.labels.max()) for _, part in painted), default=0)
    n_classes = highest if classes is None else len(classes)
    if highest < 2 or highest > n_classes:
        raise InputError(
            f"a classical control needs labels of 2 to {max(n_classes, 2)} classes, but the highest painted class is "
            f"{highest}; paint more classes or name them all."
        )
    names = tuple(classes) if classes is not None else tuple(f"class {k}" for k in range(1, n_classes + 1))
    picks = np.unique(np.linspace(0, len(painted) - 1, min(len(painted), MAX_FIT_SLICES)).round().astype(int))
    variants = _variants(names, methods)
    if not variants:
        raise InputError(f"no classical method is left to choose from; methods are {', '.join(ALL_METHODS)}.")
    units: dict[int, IntensityRange] = {}
    for sample, _ in (painted[i] for i in picks):
        if id(sample) not in units:
            units[id(sample)] = intensity_range(sample.image, sample.axes, sample.name or "the image")
    chosen = [(*painted[i], units[id(painted[i][0])]) for i in picks]
    areas = AREAS_PX if by_size else (0,)
    candidates = [_fit_cells(variant, chosen, areas) for variant in variants]
    # ``max`` keeps the first of equals: the simplest.
    return max((control for group in candidates for control in group), key=lambda control: control.train_dice)


def fit_controls(samples: Sequence[Sample], classes: Sequence[str] | None = None) -> dict[str, ClassicalControl]:
    """Fit every method that a report lists, each with its best parameters on these training samples, by its name.

    Parameters and errors as `fit_classical`.
    """
    return {
        name: fit_classical(samples, classes, methods=methods, by_size=by_size)
        for name, (methods, by_size) in LISTED.items()
    }


def _variants(classes: tuple[str, ...], methods: Sequence[Method]) -> list[ClassicalControl]:
    """Every method with every parameter, its cells not yet given to classes; the simplest first."""
    found = []
    for bands in range(2, min(len(classes), MAX_BANDS) + 1):
        if "otsu" in methods and bands == 2:
            found.append(ClassicalControl(classes, "otsu", 0.0, 2, 0))
        if "multi-otsu" in methods:
            found.append(ClassicalControl(classes, "multi-otsu", 0.0, bands, 0))
        if "smoothed multi-otsu" in methods:
            found += [ClassicalControl(classes, "multi-otsu", sigma, bands, 0) for sigma in SIGMAS_PX]
        if "watershed" in methods:
            found += [ClassicalControl(classes, "watershed", sigma, bands, 0) for sigma in SIGMAS_PX]
    if "sauvola" in methods:
        found += [
            ClassicalControl(classes, "sauvola", SIGMAS_PX[0], 2, 0, window_px=window, strength=k, inverted=inverted)
            for window, k, inverted in product(SAUVOLA_WINDOWS_PX, SAUVOLA_K, (False, True))
        ]
    if "canny" in methods:
        found += [
            ClassicalControl(classes, "canny", sigma, 2, 0, window_px=width, strength=quantile)
            for sigma, quantile, width in product(SIGMAS_PX, CANNY_QUANTILES, CANNY_WIDTHS_PX)
        ]
    return found


def _fit_cells(
    control: ClassicalControl, painted: list[tuple[Sample, PaintedSlice, IntensityRange]], areas: Sequence[int]
) -> Iterator[ClassicalControl]:
    """Give the cells of one variant to classes, for every area to split at."""
    banded = []
    thresholds: dict[int, Any] = {}
    for sample, part, unit in painted:
        if id(sample) not in thresholds:
            thresholds[id(sample)] = thresholds_of(sample, unit, control)
        window = _window(part.labels)
        grey = grey_plane(part.image[(slice(None), *window)], unit, control.sigma_px)
        bands = find_bands(grey, thresholds[id(sample)], control)
        banded.append((bands, region_sizes(bands) if any(areas) else None, part.labels[window]))
    n_classes = len(control.classes)
    for area in areas:
        variant = replace(control, area_px=area)
        n_cells = control.bands * (2 if area else 1)
        counts = np.zeros((n_classes, n_cells), np.int64)
        for bands, sizes, labels in banded:
            here = labels > 0
            cells = split_by_area(bands, area, control.bands, sizes)
            flat = (labels[here] - 1) * n_cells + cells[here]
            counts += np.bincount(flat, minlength=n_classes * n_cells).reshape(n_classes, n_cells)
        for assignment in _assignments(counts):
            confusion = np.zeros((n_classes, n_classes), np.int64)
            for cell, label in enumerate(assignment):
                confusion[:, label - 1] += counts[:, cell]
            dice = scores_from_confusion(confusion).mean("dice")
            yield replace(variant, assignment=assignment, train_dice=dice)


def _window(labels: npt.NDArray[Any]) -> tuple[slice, slice]:
    """The part of a slice to fit on: all of it, or as much as is fitted on round the middle of its paint."""
    middle = np.argwhere(labels > 0).mean(axis=0) if max(labels.shape) > MAX_FIT_SIDE_PX else (0, 0)
    found = []
    for n, centre in zip(labels.shape, middle, strict=True):
        start = int(np.clip(centre - MAX_FIT_SIDE_PX / 2, 0, max(n - MAX_FIT_SIDE_PX, 0)))
        found.append(slice(start, start + MAX_FIT_SIDE_PX))
    return found[0], found[1]


def _assignments(counts: npt.NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Cells go to the class that fills the cell most, or to the one most of which is in the cell: try both."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [tuple(int(k) + 1 for k in np.argmax(table, axis=0)) for table in (counts, share)]
