"""One number for one grain through a stack that was divided slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference.blocks import Block
from napari_anneal.inference.instances.table import as_volume, matching
from napari_anneal.synthesis.statistics.label_maps import numbered

__all__ = ["SliceLinks", "link_slices"]

Labels = npt.NDArray[np.int32]


class SliceLinks:
    """Renumbers the slices of a stack one after the other.

    Parameters
    ----------
    overlap
        Least intersection over union of an instance and the one in the slice before that it goes on.
    """

    def __init__(self, overlap: float) -> None:
        if not 0 < overlap <= 1:
            raise InputError(f"overlap = {overlap} must be above 0 and at most 1.")
        self._overlap = overlap
        self._before: Labels | None = None
        self._count = 0

    def renumber(self, plane: npt.NDArray[Any]) -> Labels:
        """The next slice ``(Y, X)`` with the numbers of the stack, int32; 0 stays 0.

        Pairs of overlapping instances are taken from the greatest intersection over union downwards, each instance
        once; above one half no two pairs can compete for an instance, below it the better pair wins. What goes nothing
        on gets the next number, in scan order.
        """
        ids, index = numbered(plane)
        number = np.zeros(len(ids) + 1, np.int64)
        if self._before is not None and len(ids):
            self._carry_on(index, self._before, number)
        # First pixels: written last to first, so that the earliest stays.
        first = np.zeros(len(ids) + 1, np.int64)
        flat = index.ravel()
        first[flat[::-1]] = np.arange(flat.size)[::-1]
        new = np.flatnonzero(number[1:] == 0) + 1
        new = new[np.argsort(first[new], kind="stable")]
        number[new] = self._count + 1 + np.arange(len(new))
        self._count += len(new)
        self._before = number.astype(np.int32)[index]
        return self._before

    def _carry_on(self, index: Labels, before: Labels, number: npt.NDArray[np.int64]) -> None:
        """Give instances of this slice the numbers of those they overlap most."""
        old, earlier = numbered(before)
        both = (index > 0) & (earlier > 0)
        pairs, shared = np.unique(
            index[both].astype(np.int64) * (len(old) + 1) + earlier[both], return_counts=True
        )  # fmt: skip
        here, there = np.divmod(pairs, len(old) + 1)
        union = np.bincount(index.ravel())[here] + np.bincount(earlier.ravel())[there] - shared
        iou = shared / union
        taken = np.zeros(len(old) + 1, bool)
        for k in np.argsort(-iou, kind="stable"):
            if iou[k] < self._overlap:
                break
            if not number[here[k]] and not taken[there[k]]:
                number[here[k]] = old[there[k] - 1]
                taken[there[k]] = True


def link_slices(
    labels: Any,
    *,
    overlap: float = 0.3,
    out: Any = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> Any:
    """Link the instances of slices that were divided one by one, so that a grain keeps its number through the stack.

    Parameters
    ----------
    labels
        Whole numbers ``(Z, Y, X)``, 0 for no instance; numbers of different slices have nothing to do with each other.
        Anything that reads when it is indexed; two slices are in memory at a time.
    overlap
        Least intersection over union of the cross-sections of one instance in neighbouring slices.
    out
        Array to write to, which may be ``labels`` itself; ``None``: a new int32 array.
    progress, cancel
        Called with (slices done, all slices); asked before every slice, and ``None`` is returned when it is set.

    Returns
    -------
    array or None
        1, 2 … in the order of first pixels.

    Raises
    ------
    InputError
        Not a stack of whole numbers ≥ 0, or an overlap that is no share.
    """
    stack = as_volume(labels, "the stack to link")
    if stack.ndim != 3 or stack.dtype.kind not in "bui":
        raise InputError(
            f"a stack of label maps (Z, Y, X) is needed, not {stack.dtype} of shape {stack.shape[3 - stack.ndim :]}."
        )
    if out is None:
        out = np.zeros(stack.shape, np.int32)
    matching(out, "the array to write to", stack)
    links = SliceLinks(overlap)
    depth, height, width = stack.shape
    for z in range(depth):
        if cancel is not None and cancel.is_set():
            return None
        plane = stack.read(Block(z, (z, 0, 0), (z + 1, height, width)))[0]
        if plane.dtype.kind == "i" and plane.min() < 0:
            raise InputError(f"slice {z} holds negative labels (there is {plane.min()}); use 0 for none.")
        out[z] = links.renumber(plane).astype(out.dtype)
        if progress is not None:
            progress(z + 1, depth)
    return out
