"""Cells with curved boundaries: bent by a smooth shift, smoothed by their curvature; closed, and each in one piece."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.geometry.cells import Cells
from napari_anneal.synthesis.geometry.metrics import link_contacts

__all__ = ["PAD", "curve"]

FloatImage = npt.NDArray[np.float32]
# Boundaries up to so far (px) outside the image are traced like those inside: masks of that half width are exact.
PAD = 8


def curve(
    cells: Cells, shape: tuple[int, ...], shift: FloatImage | None = None, smoothing: float = 0.0, workers: int = 1
) -> tuple[Cells, npt.NDArray[np.int32], FloatImage]:
    """Who owns each pixel, and how far it is to the boundary, where boundaries are curved.

    Pixel x belongs to the cell that owns x + shift(x); with smoothing, to the one whose indicator, blurred by a
    Gaussian, is largest there. Pieces that are cut off from their grain go to a neighbour (`keep_connected`). The
    boundary is where the owner changes, found to sub-pixel precision; the distance is Euclidean and counts boundaries
    outside the image, bent as those at its edge; those farther outside than `PAD` count to first order.

    Parameters
    ----------
    cells
        Seeds and neighbours, see `find_cells`; or seeds with metrics of their own, see `unlinked_cells`.
    shape
        ``(Z, Y, X)`` in pixels, Z = 1 for 2D.
    shift
        ``(3, Z, Y, X)`` float32 px: where each pixel looks up its cell, less its own place. ``None``: no bending.
    smoothing
        σ (px) of the Gaussian; 0: none.
    workers
        Threads that share the owners' search; the result does not depend on it.

    Returns
    -------
    cells, labels, distance
        The cells, linked by what touches what where they were not; int32 seed index and float32 px, of ``shape``. Every
        label is one 4-connected (6-connected) piece. Two pixels side by side have different labels exactly where a
        boundary crosses the line between their centres, and then their distances add up to at most 1.
    """
    from napari_anneal.synthesis.geometry.boundary import (
        far_distance,
        find_edges,
        power_patches,
        share_patches,
        spread_distance,
    )
    from napari_anneal.synthesis.geometry.conics import refine_distance
    from napari_anneal.synthesis.geometry.connected import keep_connected
    from napari_anneal.synthesis.geometry.powers import own_pixels, site_rows
    from napari_anneal.synthesis.geometry.threshold_dynamics import RANKS, blur_and_rank

    radius = int(np.ceil(3 * smoothing))
    pad = [PAD + radius if n > 1 or axis else 0 for axis, n in enumerate(shape)]
    pad[0] = 0 if shape[0] == 1 else pad[0]
    framed = tuple(n + 2 * p for n, p in zip(shape, pad, strict=True))
    origin = -np.array(pad, dtype=np.int64)
    sites = site_rows(cells)
    if shift is None:
        wide, reach = np.empty((3, 0, 0, 0), dtype=np.float32), np.zeros(3)
    else:
        wide = _extend(shift, pad, cells.periodic)
        reach = np.abs(shift).max(axis=(1, 2, 3)).astype(np.float64)
    labels = np.empty(framed, dtype=np.int32)
    pair_shape = framed if smoothing > 0 else (0, 0, 0)
    second, cover = np.empty(pair_shape, dtype=np.int32), np.empty(pair_shape, dtype=np.float32)

    def search(z0: int, z1: int, y0: int, y1: int) -> None:
        own_pixels(sites, origin, wide, reach, z0, z1, y0, y1, labels, second, cover)

    _share_slabs(framed, workers, search)
    if smoothing > 0:
        ranked, share = np.empty((*framed, RANKS), dtype=np.int32), np.empty((*framed, RANKS), dtype=np.float32)
        weights = _gaussian(smoothing, radius)
        blur_and_rank(labels, second, cover, weights, len(sites), ranked, share)
        labels = np.ascontiguousarray(ranked[..., 0])
    inner = tuple(slice(p, p + n) for p, n in zip(pad, shape, strict=True))
    # Pieces cut off change hands, but their outline stays: it is where the powers of those who had them are equal.
    owners, before = labels[inner].copy(), labels
    if keep_connected(owners, len(sites)):
        labels = _repaired(labels, owners, inner)
    edges = np.empty((find_edges(labels, np.empty((0, 4), dtype=np.int64)), 4), dtype=np.int64)
    find_edges(labels, edges)
    patches = np.empty((len(edges), 6), dtype=np.float32)
    if smoothing > 0:
        share_patches(before, edges, ranked, share, patches)
    else:
        power_patches(before, edges, sites, origin, wide, patches)
    nearest, distance = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.float32)
    spread_distance(labels, edges, patches, origin, nearest, distance)
    if cells.metric.ndim == 3 and shift is None and smoothing == 0:
        refine_distance(before, edges, patches, nearest, sites, origin, distance)
    if cells.metric.ndim == 3:
        here, there = edges[:, :3].T, (edges[:, :3] + np.eye(3, dtype=np.int64)[edges[:, 3]]).T
        cells = link_contacts(cells, labels[tuple(here)], labels[tuple(there)])
    far_distance(cells.start, cells.neighbour, sites, origin, wide if shift is None else shift, owners, distance)
    return cells, owners, distance


def _gaussian(sigma: float, radius: int) -> FloatImage:
    """Gaussian weights of deviation σ over ``2 radius + 1`` pixels, integrated over each: right for small σ too."""
    from scipy.special import ndtr

    # Integrating over a pixel widens by 1/12, which is taken off first.
    narrow = np.sqrt(max(sigma**2 - 1 / 12, 1e-6))
    weights = np.diff(ndtr((np.arange(-radius, radius + 2) - 0.5) / narrow))
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def _extend(shift: FloatImage, pad: list[int], periodic: bool) -> FloatImage:
    """Repeat the shift at the edges ``pad`` px outwards (as `numpy.pad` does, in a fifth of its time).

    A periodic one goes on with what is at the other side.
    """
    if periodic:
        return np.pad(shift, [(0, 0), *((p, p) for p in pad)], mode="wrap")
    wide = np.empty((3, *(n + 2 * p for n, p in zip(shift.shape[1:], pad, strict=True))), dtype=np.float32)
    inner = [slice(p, p + n) for n, p in zip(shift.shape[1:], pad, strict=True)]
    wide[:, inner[0], inner[1], inner[2]] = shift
    for axis in (3, 2, 1):
        rows = np.moveaxis(wide, axis, 0)
        first, stop = inner[axis - 1].start, inner[axis - 1].stop
        rows[:first] = rows[first]
        rows[stop:] = rows[stop - 1]
    return wide


def _repaired(
    labels: npt.NDArray[np.int32], owners: npt.NDArray[np.int32], inner: tuple[slice, ...]
) -> npt.NDArray[np.int32]:
    """The frame with the connected grains of the image in it; what was cut off at an edge goes on beyond it."""
    changed = labels[inner] != owners
    labels = labels.copy()
    labels[inner] = owners
    for axis in range(3):
        for edge, outside in ((0, slice(0, inner[axis].start)), (-1, slice(inner[axis].stop, None))):
            on_edge = [
                inner[a] if a != axis else inner[axis].start if edge == 0 else inner[axis].stop - 1 for a in range(3)
            ]
            beyond = [inner[a] if a != axis else outside for a in range(3)]
            cut = np.expand_dims(changed.take(edge, axis=axis), axis)
            kept = np.expand_dims(labels[tuple(on_edge)], axis)
            labels[tuple(beyond)] = np.where(cut, kept, labels[tuple(beyond)])
    return labels


def _share_slabs(shape: tuple[int, ...], workers: int, work: Callable[[int, int, int, int], None]) -> None:
    """Call ``work(z0, z1, y0, y1)`` on slabs that make up the shape, in threads where there is more than one."""
    if workers == 1:
        work(0, shape[0], 0, shape[1])
        return
    axis = 0 if shape[0] > 1 else 1
    cuts = np.linspace(0, shape[axis], 4 * workers + 1).astype(int).tolist()
    slabs = [(a, b, 0, shape[1]) if axis == 0 else (0, 1, a, b) for a, b in pairwise(cuts) if a < b]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda slab: work(*slab), slabs))
