"""From a micrograph to bands, the regions a classical method tells apart: by grey level, by neighbourhood, or by edges.

Otsu 1979, doi 10.1109/TSMC.1979.4310076, and multi-level after Liao, Chen and Chung 2001; watershed of the bands along
the gradient; Sauvola and Pietikäinen 2000, doi 10.1016/S0031-3203(99)00055-2; Canny 1986, doi
10.1109/TPAMI.1986.4767851.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_anneal.samples.normalisation import IntensityRange
from napari_anneal.samples.sample import Sample

if TYPE_CHECKING:
    from napari_anneal.validation.controls import ClassicalControl

__all__ = ["Grey", "Regions", "find_bands", "grey_plane", "region_sizes", "slices_of", "split_by_area", "thresholds_of"]

Grey = npt.NDArray[np.float32]
Regions = npt.NDArray[np.int64]

MAX_VOLUME_SLICES = 16
BINS = 96
# Half of the unit range of grey levels: the largest standard deviation there is, Sauvola's R.
DYNAMIC_RANGE = 0.5
# Canny's lower threshold, as a share of the pixels above the upper one.
HYSTERESIS = 0.1


def slices_of(sample: Sample) -> list[int | slice]:
    """What to pass to ``channels_first`` for every plane."""
    return list(range(sample.spatial_shape[0])) if sample.is_stack else [slice(None)]


def grey_plane(plane: npt.NDArray[Any], unit: IntensityRange, sigma_px: float) -> Grey:
    """``(C, Y, X)`` in any dtype → smoothed grey ``(Y, X)`` in unit range."""
    from scipy import ndimage

    grey: Grey = unit.apply(plane).mean(axis=0)
    smoothed: Grey = ndimage.gaussian_filter(grey, sigma_px) if sigma_px else grey
    return smoothed


def thresholds_of(sample: Sample, unit: IntensityRange, control: ClassicalControl) -> npt.NDArray[np.float64]:
    """Multi-Otsu thresholds of an image, or of a whole stack from at most 16 of its slices; none for other methods."""
    if control.method in ("sauvola", "canny"):
        return np.zeros(0)
    from skimage.filters import threshold_multiotsu

    slices = slices_of(sample)
    picks = np.unique(np.linspace(0, len(slices) - 1, min(len(slices), MAX_VOLUME_SLICES)).round().astype(int))
    grey = np.concatenate([grey_plane(sample.channels_first(slices[i]), unit, control.sigma_px).ravel() for i in picks])
    try:
        found: npt.NDArray[np.float64] = threshold_multiotsu(grey, classes=control.bands, nbins=BINS)
    except ValueError:  # fewer distinct grey levels than bands
        found = np.linspace(grey.min(), grey.max(), control.bands + 1)[1:-1]
    return np.asarray(found, dtype=np.float64)


def find_bands(grey: Grey, thresholds: npt.NDArray[np.float64], control: ClassicalControl) -> Regions:
    """Number of the band of every pixel: 0 = darkest; for Sauvola 1 = above the local threshold, for Canny 1 = edge."""
    if control.method == "sauvola":
        return _sauvola(grey, control.window_px, control.strength, control.inverted)
    if control.method == "canny":
        return _canny(grey, control.strength, control.window_px)
    bands: Regions = np.digitize(grey, thresholds).astype(np.int64)
    return _watershed(grey, bands, thresholds) if control.method == "watershed" else bands


def region_sizes(bands: Regions) -> Regions:
    """For every pixel the number of pixels in its connected region of one band."""
    from skimage.measure import label

    regions = label(bands + 1, background=0, connectivity=1)
    sizes: Regions = np.bincount(regions.ravel()).astype(np.int64)[regions]
    return sizes


def split_by_area(bands: Regions, area_px: int, n_bands: int, sizes: Regions | None = None) -> Regions:
    """Move the regions smaller than ``area_px`` into cells of their own: ``band + n_bands``.

    ``sizes`` are those of `region_sizes`, where they are known already: finding them is nearly all of the work.
    """
    if not area_px:
        return bands
    cells: Regions = bands + n_bands * ((region_sizes(bands) if sizes is None else sizes) < area_px)
    return cells


def _watershed(grey: Grey, bands: Regions, thresholds: npt.NDArray[np.float64]) -> Regions:
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


def _sauvola(grey: Grey, window_px: int, k: float, inverted: bool) -> Regions:
    """Above the local threshold m (1 + k (s / R − 1)); ``inverted`` looks for bright things instead of dark ones."""
    from skimage.filters import threshold_sauvola

    # The window must be odd and no larger than the image.
    window = min(window_px, (min(grey.shape) - 1) // 2 * 2 + 1)
    seen = 1 - grey if inverted else grey
    above = seen > threshold_sauvola(seen, window_size=max(window, 3), k=k, r=DYNAMIC_RANGE)
    return np.asarray(above != inverted, dtype=np.int64)


def _canny(grey: Grey, quantile: float, width_px: int) -> Regions:
    """Edges, drawn ``width_px`` wide."""
    from scipy import ndimage
    from skimage.feature import canny

    # The image was smoothed already.
    low = quantile - HYSTERESIS
    edges = canny(grey.astype(np.float64), sigma=0, low_threshold=low, high_threshold=quantile, use_quantiles=True)
    if width_px > 1:
        edges = ndimage.distance_transform_edt(~edges) <= width_px / 2
    return np.asarray(edges, dtype=np.int64)
