"""From what a person has, painted grains or a class map with boundaries, to grains that fill the image.

A boundary between two grains has no thickness; drawn or predicted ones do, and counting grains between them would make
every grain too small. So each boundary pixel is given to the nearest grain before anything is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.statistics.label_maps import as_label_map

__all__ = ["Boundary", "GrainMap", "Zero", "make_grain_map"]

Boundary = int | Literal["auto"] | None
Zero = Literal["boundary", "ignore"]
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

# A class map has few values, each in many pieces; an instance map has a value a grain.
MOST_CLASSES = 8
PIECES_A_CLASS = 3
# Boundaries are at most this deep (distance to their edge) beside the grains; lines of a few pixels may be deeper, for
# grains are small there.
THIN = 0.35
LINE_DEPTH, THIN_LINE = 3.0, 0.65


@dataclass(frozen=True, eq=False)
class GrainMap:
    """Grains of a field.

    Attributes
    ----------
    grains
        int32, 1 … N, 0 where nothing is known.
    drawn
        Boundaries had a thickness in what was given.
    notes
        What to say about how the grains were got.
    """

    grains: Labels
    drawn: bool = False
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> Mask:
        """Pixels of the field."""
        return self.grains > 0


def make_grain_map(
    labels: Any,
    *,
    boundary: Boundary = "auto",
    zero: Zero = "boundary",
    ignore: Any = None,
    close_gaps: float = 0.0,
    smallest: int = 9,
    name: str = "the label map",
) -> GrainMap:
    """Give every pixel of the field to a grain.

    Parameters
    ----------
    labels
        Whole numbers, ``(Y, X)`` or ``(Z, Y, X)``: an instance map (a number a grain) or a class map.
    boundary
        The class that is the boundary (0: a class map where 0 is); ``None``: an instance map; ``"auto"``: few values
        in many pieces are taken for a class map, and the class that is thin for the boundary (a note says so).
    zero
        What 0 is: ``"boundary"``, as in watershed lines, given to the nearest grain; or ``"ignore"``.
    ignore
        bool, True where there is no micrograph (scale bar, legend, tear); ``None``: nowhere.
    close_gaps
        Bridge gaps in the boundaries of a class map up to this wide (px) first; see `synthesis.close_cells`.
    smallest
        Regions of a class map below this size (px) are specks of boundary, not grains.
    name
        How errors call it.

    Raises
    ------
    InputError
        No such map; a mask of another shape; no grain in it.
    """
    given = as_label_map(labels)
    if zero not in ("boundary", "ignore"):
        raise InputError(f"zero={zero!r} is not known; 0 is 'boundary' or 'ignore'.")
    left_out = np.zeros(given.shape, dtype=bool) if ignore is None else np.asarray(ignore).astype(bool)
    if left_out.shape != given.shape:
        raise InputError(f"the mask to ignore {left_out.shape} and {name} {given.shape} differ in shape.")
    if zero == "ignore":
        left_out = left_out | (given == 0)
    if boundary == "auto":
        regions, line, notes = _guess(given, left_out)
    else:
        regions, line, notes = boundary is not None, boundary or 0, ()
    if not regions:
        grains = given.astype(np.int64)
    elif line and not ((given == line) & ~left_out).any():
        raise InputError(
            f"{name} has no pixel of the boundary class {line}; its values are "
            f"{', '.join(map(str, np.unique(given)[:9]))}."
        )
    else:
        grains = _regions(given, (given == line) | (given == 0), left_out, close_gaps, smallest)
    filled = _given_to_nearest(grains, left_out)
    if not filled.any():
        raise InputError(f"{name} holds no grain; every pixel is boundary, 0 or left out.")
    return GrainMap(filled, regions and line > 0, notes)


def _regions(
    labels: npt.NDArray[Any], lines: Mask, left_out: Mask, close_gaps: float, smallest: int
) -> npt.NDArray[np.int64]:
    """Connected regions of each class between the lines, numbered; 0 on lines."""
    from skimage.measure import label

    if close_gaps > 0:
        from napari_anneal.synthesis.statistics.closing import close_cells

        return close_cells(lines, max_gap=close_gaps, smallest=max(smallest, 1)).labels.astype(np.int64)
    regions = label(np.where(lines | left_out, 0, labels), background=0, connectivity=1)
    small = np.bincount(regions.ravel()) < smallest
    small[0] = False
    regions[small[regions]] = 0
    return np.asarray(regions, dtype=np.int64)


def _given_to_nearest(grains: npt.NDArray[np.int64], left_out: Mask) -> Labels:
    """Fill 0 with the nearest grain, and number the grains from 1 within what is not left out."""
    from scipy import ndimage

    if (grains == 0).any() and grains.any():
        nearest = ndimage.distance_transform_edt(grains == 0, return_distances=False, return_indices=True)
        grains = grains[tuple(nearest)]
    grains = np.where(left_out, 0, grains)
    used, index = np.unique(grains, return_inverse=True)
    return np.asarray(index.reshape(grains.shape) + int(used[0] != 0), dtype=np.int32)


def _guess(labels: npt.NDArray[Any], left_out: Mask) -> tuple[bool, int, tuple[str, ...]]:
    """Whether this is a class map, its boundary class (0: none but 0 itself), and what to say about it."""
    from scipy import ndimage
    from skimage.measure import label

    kept = np.where(left_out, 0, labels)
    values = [int(v) for v in np.unique(kept) if v]
    if not values or len(values) > MOST_CLASSES:
        return False, 0, ()
    if int(label(kept, background=0, connectivity=1).max()) < PIECES_A_CLASS * len(values):
        return False, 0, ()
    depth = {v: float(np.quantile(ndimage.distance_transform_edt(kept == v)[kept == v], 0.95)) for v in values}
    thin, *others = sorted(values, key=lambda v: depth[v])
    share = depth[thin] / depth[others[-1]] if others else 1.0
    if share <= THIN or (depth[thin] <= LINE_DEPTH and share <= THIN_LINE):
        return True, thin, (f"taken for a class map with boundary class {thin}; name the boundary if it is another.",)
    return True, 0, ("taken for a class map without a boundary class: every connected region is one grain.",)
