"""Closed cells out of a boundary mask or probability: gaps bridged where that is plausible, loose ends taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.statistics.flooding import find_basins, grow_cells

__all__ = ["ClosedCells", "as_boundary", "close_cells", "loose_parts", "thin_lines"]

Mask = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
# A wall is bridged towards a loose end no farther than this from it, px.
REACH = 2
# Basins of a distance map on a pixel grid differ by less than this (px) for no reason but the grid.
GRID_NOISE = 1.0
# Each round bridges gaps that earlier bridges left; more than a few are never needed, and each adds a cell.
MOST_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class ClosedCells:
    """What `close_cells` returns; arrays have the shape of its input.

    Attributes
    ----------
    boundary
        bool, lines (walls in 3D) one pixel thick.
    labels
        int32, cells 1 … N connected through pixel faces, 0 on the lines.
    """

    boundary: Mask
    labels: Labels

    @property
    def grains(self) -> Labels:
        """int32, the cells with the lines given to the nearest of them: what `grain_statistics` takes."""
        from scipy import ndimage

        if not self.boundary.any():
            return self.labels
        nearest = ndimage.distance_transform_edt(self.boundary, return_distances=False, return_indices=True)
        return np.asarray(self.labels[tuple(nearest)], dtype=np.int32)


def close_cells(
    boundary: npt.NDArray[Any], *, max_gap: float = 12.0, threshold: float = 0.5, smallest: int = 9
) -> ClosedCells:
    """Make a network of closed cells out of a boundary mask or a boundary probability.

    A gap is bridged along the crest of the surface that falls with the distance from the boundary (and rises with
    the probability, where there is one), provided that it leads to a loose end of the network, or along a boundary
    that is faint, not absent (half the threshold or more on average), and that both sides are wider than the gap.
    Loose ends that lead nowhere are taken away, and so is all that separates nothing, along the edge of the image
    too. Lines are then thinned to one pixel along their middle, or along the crest of the probability.

    The result has no loose ends; every pixel of its lines has two cells or more among the pixels around it
    (8 in 2D, 26 in 3D); closing it again changes nothing. A closed network is only thinned.

    Parameters
    ----------
    boundary
        bool, or whole numbers of which all but 0 are boundary, or float probabilities in [0, 1]; ``(Y, X)`` or
        ``(Z, Y, X)``.
    max_gap
        Widest gap (px) that is bridged; 0 bridges none.
    threshold
        Probability from which a pixel counts as boundary.
    smallest
        Pixels of the smallest cell: smaller ones are taken for holes in the boundary.

    Raises
    ------
    InputError
        Not a mask or a probability in two or three dimensions, or a setting out of range.
    """
    mask, probability = as_boundary(boundary, threshold)
    if not max_gap >= 0 or not smallest >= 1:
        raise InputError(f"max_gap = {max_gap} and smallest = {smallest} must be at least 0 and 1 pixels.")
    mask = _fill_holes(mask, smallest)
    labels = thin_lines(mask, probability)
    for _ in range(MOST_ROUNDS):
        loose = loose_parts(mask, labels)
        bridge = _find_bridges(mask, loose, probability, threshold, max_gap, smallest) if max_gap > 0 else loose & False
        if not bridge.any():
            break
        bridged = thin_lines(_fill_holes(mask | bridge, smallest), probability)
        # A bridge that closes no cell is thinned away again: nothing more will come of it.
        if bridged.max() <= labels.max():
            break
        mask, labels = _fill_holes(mask | bridge, smallest), bridged
    lines = labels == 0
    return ClosedCells(lines, _cells_of(lines)[0])


def as_boundary(boundary: Any, threshold: float) -> tuple[Mask, FloatImage | None]:
    """Mask, and probabilities where the input has them."""
    given = np.asarray(boundary)
    if given.ndim not in (2, 3) or given.size == 0 or given.dtype.kind not in "buif":
        raise InputError(
            f"a boundary mask or probability, (Y, X) or (Z, Y, X), is needed, not {given.dtype} of shape {given.shape}."
        )
    if given.dtype.kind != "f":
        return given != 0, None
    if not (given.min() >= 0 and given.max() <= 1):
        raise InputError("boundary probabilities must lie in 0 … 1; some do not, or are NaN.")
    if not 0 < threshold <= 1:
        raise InputError(f"threshold = {threshold} must be above 0 and at most 1.")
    return given >= threshold, given.astype(np.float32)


def _cells_of(mask: Mask) -> tuple[Labels, int]:
    """Cells between the lines, connected through faces, and their number."""
    from scipy import ndimage

    labels, count = ndimage.label(~mask, output=np.int32)
    return labels, int(count)


def _fill_holes(mask: Mask, smallest: int) -> Mask:
    """Mask with cells below so many pixels filled."""
    labels, _ = _cells_of(mask)
    small = np.bincount(labels.ravel()) < smallest
    small[0] = False
    return np.asarray(mask | small[labels], dtype=np.bool_)


def thin_lines(mask: Mask, probability: FloatImage | None = None) -> Labels:
    """Cells between the lines of a mask, grown until they meet; 0 where they do (int32, 1 … N)."""
    from scipy import ndimage

    labels, count = _cells_of(mask)
    if count == 0:
        return np.ones(mask.shape, dtype=np.int32)
    key = ndimage.distance_transform_edt(mask).astype(np.float32) if probability is None else probability
    full = labels.reshape((1,) * (3 - mask.ndim) + mask.shape)
    key = np.ascontiguousarray(key, dtype=np.float32).reshape(full.shape)
    grow_cells(full, key)
    # Where many cells meet, lines may wall in a pixel that sees one cell or none, at its corners only (once in ten
    # thousand cells of noise): it becomes a cell.
    while (walled := _walled_in(full)).any():
        new, _ = ndimage.label(walled)
        full[walled] = full.max() + new[walled]
        grow_cells(full, key)
    return full.reshape(mask.shape)


def _walled_in(cells: Labels) -> Mask:
    """Line pixels with no cell across a face and fewer than two different ones around them; ``(Z, Y, X)``."""
    from scipy import ndimage

    walled = ~ndimage.binary_dilation(cells > 0)
    place = np.argwhere(walled)
    z, y, x = (place.T + 1)[:, :, None] + (np.indices((3, 3, 3)) - 1).reshape(3, 1, 27)
    around = np.pad(cells, 1)[z, y, x]
    least = np.where(around > 0, around, np.iinfo(np.int32).max).min(axis=1)
    walled[walled] = around.max(axis=1) <= least
    return np.asarray(walled, dtype=np.bool_)


def loose_parts(mask: Mask, labels: Labels) -> Mask:
    """Pixels of the mask that belong to no line between two cells: they reach beyond the width of all of those."""
    from scipy import ndimage

    if mask.all():
        return np.zeros(mask.shape, dtype=np.bool_)
    # A wall may run along the edge of the image and show one side only, so the edge counts as a line.
    lines = np.pad(labels == 0, 1, constant_values=True)
    half = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))
    away, nearest = ndimage.distance_transform_edt(~lines, return_indices=True)
    beyond = np.where(mask, (away - half[tuple(nearest)])[(slice(1, -1),) * mask.ndim], 0.0)
    # What sticks out by two pixels somewhere is loose down to its foot; the rest is a rough edge.
    piece, count = ndimage.label(beyond > 1.0, structure=np.ones((3,) * mask.ndim))
    reach = ndimage.maximum(beyond, piece, np.arange(count + 1)) if count else np.zeros(1)
    return np.asarray((reach > 2.0)[piece] & (piece > 0), dtype=np.bool_)


def _find_bridges(
    mask: Mask, loose: Mask, probability: FloatImage | None, threshold: float, max_gap: float, smallest: int
) -> Mask:
    """Pixels off the mask where plausible walls run, see `close_cells`."""
    from scipy import ndimage

    # Height in px: 0 next to the boundary, and flat where no gap could be near.
    surface = -np.minimum(ndimage.distance_transform_edt(~mask), max_gap / 2).astype(np.float32)
    if probability is not None:
        # One pixel of blur, so that the noise of a network's output makes no basins of its own.
        crest = ndimage.gaussian_filter(probability, 1.0)
        surface = np.maximum(surface, np.minimum(crest / np.float32(threshold) - 1, 0) * np.float32(max_gap / 2))
    open_pixels = np.flatnonzero(~mask)
    order = open_pixels[np.argsort(surface.ravel()[open_pixels], kind="stable")]
    basins = np.zeros(mask.shape, dtype=np.int32)
    full = (1,) * (3 - mask.ndim) + mask.shape
    find_basins(surface.reshape(full), order, GRID_NOISE, smallest, basins.reshape(full))
    place, pair = _walls(basins, surface)
    if len(place) == 0:
        return np.zeros(mask.shape, dtype=np.bool_)
    which = np.unique(pair, axis=0, return_inverse=True)[1].reshape(-1)
    near = ndimage.distance_transform_cdt(~loose, metric="chessboard") if loose.any() else np.full(mask.shape, 99)
    kept = np.bincount(which, near.ravel()[place] <= REACH) > 0
    if probability is not None:
        kept |= np.bincount(which, probability.ravel()[place]) / np.bincount(which) >= threshold / 2
    bridge = np.zeros(mask.shape, dtype=np.bool_)
    bridge.ravel()[place[kept[which]]] = True
    return bridge


def _walls(basins: Labels, surface: FloatImage) -> tuple[npt.NDArray[np.int64], Labels]:
    """Flat indices of the pixels on the higher side of every face between two basins, and the pair of basins."""
    places, pairs = [], []
    index = np.arange(basins.size).reshape(basins.shape)
    for axis in range(basins.ndim):
        first = (slice(None),) * axis + (slice(None, -1),)
        second = (slice(None),) * axis + (slice(1, None),)
        a, b = basins[first], basins[second]
        meet = (a != b) & (a > 0) & (b > 0)
        higher = np.where(surface[first] >= surface[second], index[first], index[second])
        places.append(higher[meet])
        pairs.append(np.column_stack([np.minimum(a, b)[meet], np.maximum(a, b)[meet]]))
    return np.concatenate(places), np.concatenate(pairs)
