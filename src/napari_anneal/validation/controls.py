"""The classical methods a network has to beat: multi-Otsu thresholds, smoothed, split by size, and watershed.

A fair opponent gets the same labels: grey bands (and, within a band, small and large regions) are given to
the classes that the training labels show there, and the variant and its parameters are the best on the
training samples. The held-out images are then segmented without another look at labels. Otsu 1979, doi
10.1109/TSMC.1979.4310076; multi-level after Liao, Chen and Chung 2001.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.normalisation import IntensityRange, intensity_range
from napari_anneal.samples.sample import PaintedSlice, Sample
from napari_anneal.validation.metrics import scores_from_confusion

__all__ = ["ClassicalControl", "ControlSegmentation", "fit_classical"]

Grey = npt.NDArray[np.float32]
Regions = npt.NDArray[np.int64]

Family = Literal["multi-otsu", "watershed"]
Method = Literal["multi-otsu", "smoothed multi-otsu", "watershed"]
METHODS: tuple[Method, ...] = get_args(Method)

SIGMAS_PX = (1.0, 2.0)
AREAS_PX = (0, 100, 300, 1000)
# More thresholds than this make multi-Otsu's exhaustive search slow, and grey levels have no more to tell.
MAX_BANDS = 4
MAX_FIT_SLICES = 8
MAX_VOLUME_SLICES = 16
BINS = 96


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
        ``multi-otsu``, or ``watershed`` (bands flooded along the gradient from their surest pixels).
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
    """

    classes: tuple[str, ...]
    method: Family
    sigma_px: float
    bands: int
    area_px: int
    assignment: tuple[int, ...] = ()
    train_dice: float = float("nan")

    def __str__(self) -> str:
        """Name it as a table does."""
        size = f", regions under {self.area_px} px apart" if self.area_px else ""
        smooth = f", sigma {self.sigma_px:g} px" if self.sigma_px else ""
        return f"{self.method} ({self.bands} bands{smooth}{size})"

    def segment(self, image: Any, *, axes: str | None = None) -> ControlSegmentation:
        """Segment an image or, slice by slice with common thresholds, a stack.

        Raises
        ------
        InputError
            The image is constant or holds NaN.
        """
        sample = Sample(image, axes=axes or "")
        unit = intensity_range(sample.image, sample.axes)
        thresholds = _thresholds(sample, unit, self.sigma_px, self.bands)
        table = np.array(self.assignment, np.uint8)
        planes = []
        for z in _slices(sample):
            grey = _grey(sample.channels_first(z), unit, self.sigma_px)
            bands = _bands(grey, thresholds, self.method)
            planes.append(table[_split_by_area(bands, self.area_px, self.bands)])
        return ControlSegmentation(np.stack(planes) if sample.is_stack else planes[0])


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
        Which methods may be chosen; ``("multi-otsu",)`` with ``by_size=False`` is the plain textbook control.
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
    chosen = [painted[i] for i in picks]
    variants: list[tuple[Family, float]] = [
        *((("multi-otsu", 0.0),) if "multi-otsu" in methods else ()),
        *(("multi-otsu", sigma) for sigma in SIGMAS_PX if "smoothed multi-otsu" in methods),
        *(("watershed", sigma) for sigma in SIGMAS_PX if "watershed" in methods),
    ]
    areas = AREAS_PX if by_size else (0,)
    candidates = [
        _fit_cells(ClassicalControl(names, family, sigma, bands, 0), chosen, areas)
        for bands in range(2, min(n_classes, MAX_BANDS) + 1)
        for family, sigma in variants
    ]
    if not candidates:
        raise InputError(f"no classical method is left to choose from; methods are {', '.join(METHODS)}.")
    # ``max`` keeps the first of equals: the simplest.
    return max((control for group in candidates for control in group), key=lambda control: control.train_dice)


def _fit_cells(
    control: ClassicalControl, painted: list[tuple[Sample, PaintedSlice]], areas: Sequence[int]
) -> Iterator[ClassicalControl]:
    """Give the cells of one variant to classes, for every area to split at."""
    banded = []
    for sample, part in painted:
        unit = intensity_range(sample.image, sample.axes, sample.name or "the image")
        thresholds = _thresholds(sample, unit, control.sigma_px, control.bands)
        grey = _grey(part.image, unit, control.sigma_px)
        banded.append((_bands(grey, thresholds, control.method), part.labels))
    n_classes = len(control.classes)
    for area in areas:
        variant = replace(control, area_px=area)
        n_cells = control.bands * (2 if area else 1)
        counts = np.zeros((n_classes, n_cells), np.int64)
        for bands, labels in banded:
            here = labels > 0
            cells = _split_by_area(bands, area, control.bands)
            flat = (labels[here] - 1) * n_cells + cells[here]
            counts += np.bincount(flat, minlength=n_classes * n_cells).reshape(n_classes, n_cells)
        for assignment in _assignments(counts):
            confusion = np.zeros((n_classes, n_classes), np.int64)
            for cell, label in enumerate(assignment):
                confusion[:, label - 1] += counts[:, cell]
            dice = scores_from_confusion(confusion).mean("dice")
            yield replace(variant, assignment=assignment, train_dice=dice)


def _assignments(counts: npt.NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Cells go to the class that fills the cell most, or to the one most of which is in the cell: try both."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [tuple(int(k) + 1 for k in np.argmax(table, axis=0)) for table in (counts, share)]


def _slices(sample: Sample) -> list[int | slice]:
    """What to pass to ``channels_first`` for every plane."""
    return list(range(sample.spatial_shape[0])) if sample.is_stack else [slice(None)]


def _grey(plane: npt.NDArray[Any], unit: IntensityRange, sigma_px: float) -> Grey:
    """``(C, Y, X)`` in any dtype → smoothed grey ``(Y, X)`` in unit range."""
    from scipy import ndimage

    grey: Grey = unit.apply(plane).mean(axis=0)
    smoothed: Grey = ndimage.gaussian_filter(grey, sigma_px) if sigma_px else grey
    return smoothed


def _thresholds(sample: Sample, unit: IntensityRange, sigma_px: float, bands: int) -> npt.NDArray[np.float64]:
    """Multi-Otsu thresholds of an image, or of a whole stack from at most 16 of its slices."""
    from skimage.filters import threshold_multiotsu

    slices = _slices(sample)
    picks = np.unique(np.linspace(0, len(slices) - 1, min(len(slices), MAX_VOLUME_SLICES)).round().astype(int))
    grey = np.concatenate([_grey(sample.channels_first(slices[i]), unit, sigma_px).ravel() for i in picks])
    try:
        found: npt.NDArray[np.float64] = threshold_multiotsu(grey, classes=bands, nbins=BINS)
    except ValueError:  # fewer distinct grey levels than bands
        found = np.linspace(grey.min(), grey.max(), bands + 1)[1:-1]
    return np.asarray(found, dtype=np.float64)


def _bands(grey: Grey, thresholds: npt.NDArray[np.float64], method: str) -> Regions:
    """Number of the grey band of every pixel, 0 = darkest."""
    bands: Regions = np.digitize(grey, thresholds).astype(np.int64)
    if method == "multi-otsu":
        return bands
    from skimage.filters import sobel
    from skimage.segmentation import watershed

    # The surest half of each band floods the rest along the gradient, so that edges lie where the gradient is
    # steepest.
    margin = np.abs(grey[..., np.newaxis] - thresholds).min(axis=-1)
    markers = np.zeros(grey.shape, np.int32)
    for band in np.unique(bands):
        here = bands == band
        markers[here & (margin >= np.median(margin[here]))] = band + 1
    flooded: Regions = watershed(sobel(grey), markers).astype(np.int64) - 1
    return flooded


def _split_by_area(bands: Regions, area_px: int, n_bands: int) -> Regions:
    """Move the regions smaller than ``area_px`` into cells of their own: ``band + n_bands``."""
    if not area_px:
        return bands
    from skimage.measure import label

    regions = label(bands + 1, background=0, connectivity=1)
    small = np.bincount(regions.ravel()) < area_px
    cells: Regions = bands + n_bands * small[regions]
    return cells
