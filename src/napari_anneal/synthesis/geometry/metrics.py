"""Grains that differ in shape: a metric of its own for every seed, and the cells that follow from them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.geometry.cells import DECIMALS, Cells

__all__ = ["grain_metrics", "link_contacts", "unlinked_cells"]

FloatArray = npt.NDArray[np.float64]
# Grains longer than this make no picture, however wide the spread.
MOST_ELONGATED = 50.0


def grain_metrics(
    count: int,
    ndim: int,
    aspect_ratio: float,
    direction_deg: float,
    aspect_spread: float,
    direction_spread_deg: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Metrics ``(count, ndim, ndim)`` of determinant 1, as `metric_matrix` but one a grain.

    The aspect ratio is log-normal with median ``aspect_ratio`` and σ ``aspect_spread`` (below 1 a grain is longer
    across the direction), the direction normal with deviation ``direction_spread_deg``, in the (Y, X) plane.
    """
    aspect = aspect_ratio * np.exp(aspect_spread * rng.normal(size=count))
    aspect = np.clip(aspect, 1 / MOST_ELONGATED, MOST_ELONGATED)
    angle = np.deg2rad(direction_deg + direction_spread_deg * rng.normal(size=count))
    along = np.zeros((count, ndim))
    along[:, -1], along[:, -2] = np.cos(angle), np.sin(angle)
    outer = along[:, :, None] * along[:, None, :]
    matrix = np.eye(ndim) + (aspect**-2 - 1)[:, None, None] * outer
    return np.asarray(matrix * (aspect ** (2 / ndim))[:, None, None], dtype=np.float64)


def unlinked_cells(seeds: FloatArray, weights: FloatArray | None, metrics: FloatArray) -> Cells:
    """Cells with a metric for each seed, before it is known which of them touch.

    ``seeds`` and ``weights`` as for `find_cells`; ``metrics`` ``(N, ndim, ndim)``. There are no planes: boundaries are
    conics (quadrics) here.
    """
    count, ndim = seeds.shape
    places, matrices = np.zeros((count, 3)), np.tile(np.eye(3), (count, 1, 1))
    places[:, 3 - ndim :] = np.round(seeds, DECIMALS)
    matrices[:, 3 - ndim :, 3 - ndim :] = metrics
    return Cells(
        places,
        np.zeros(count) if weights is None else np.asarray(weights, dtype=np.float64),
        matrices,
        np.zeros(count + 1, dtype=np.int64),
        np.empty(0, dtype=np.int32),
        np.empty((0, 4)),
        np.empty(0, dtype=np.int32),
        np.arange(count, dtype=np.int32),
    )


def link_contacts(cells: Cells, first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> Cells:
    """Cells whose neighbours are those they touch; ``first`` and ``second``: labels on either side, face by face."""
    count = len(cells.seeds)
    ends = np.concatenate([first, second]).astype(np.int64), np.concatenate([second, first]).astype(np.int64)
    codes = np.unique(ends[0] * count + ends[1])
    owner, other = codes // count, codes % count
    return dataclasses.replace(
        cells,
        start=np.searchsorted(codes, np.arange(count + 1) * count).astype(np.int64),
        neighbour=other.astype(np.int32),
        pair=np.unique(np.minimum(owner, other) * count + np.maximum(owner, other), return_inverse=True)[1]
        .reshape(-1)
        .astype(np.int32),
    )
