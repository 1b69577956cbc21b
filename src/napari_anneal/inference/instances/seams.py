"""The edges across the faces of blocks: what lies just behind the block at work is remembered, and no more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.blocks import Block
from napari_anneal.inference.instances.neighbours import flat_jumps
from napari_anneal.inference.instances.regions import Edges
from napari_anneal.synthesis.compiled import compiled

__all__ = ["Seams"]

Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]
Heights = npt.NDArray[np.uint16]


class Seams:
    """Edges between each block and those before it; blocks come in scan order.

    Parameters
    ----------
    shape
        Of the volume.
    steps
        Forward half of the neighbours, see `forward_steps`.
    """

    def __init__(self, shape: tuple[int, int, int], steps: Ints) -> None:
        self._shape, self._steps = shape, steps
        # Regions (from 1) of the last plane of the layer of blocks behind, the last row, and the last column.
        self._plane, self._next_plane = np.zeros((2, *shape[1:]), np.int64)
        self._row, self._next_row = np.zeros((2, 1, shape[2]), np.int64)
        self._column = np.zeros((1, 1), np.int64)

    def edges(self, block: Block, labels: Labels, offset: int, heights: Heights | None) -> Edges:
        """Edges from a block to those before it, the first of each pair of regions.

        Parameters
        ----------
        block
            The next in scan order.
        labels
            int32, the block's regions from 1, 0 for none.
        offset
            Number of the block's first region in the volume.
        heights
            With a frame of one pixel; ``None``: all alike.
        """
        (z, y, x), (end_z, end_y, end_x) = block.start, block.stop
        if y == 0 and x == 0:
            self._plane, self._next_plane = self._next_plane, self._plane
            self._next_row = np.zeros((end_z - z, self._shape[2]), np.int64)
        if x == 0:
            self._row, self._next_row = self._next_row, np.zeros((end_z - z, self._shape[2]), np.int64)
        around = np.zeros([n + 2 for n in labels.shape], np.int64)
        low_x, high_x = max(x - 1, 0), min(end_x + 1, self._shape[2])
        columns = slice(low_x - x + 1, high_x - x + 1)
        if z > 0:
            low, high = max(y - 1, 0), min(end_y + 1, self._shape[1])
            around[0, low - y + 1 : high - y + 1, columns] = self._plane[low:high, low_x:high_x]
        if y > 0:
            around[1:-1, 0, columns] = self._row[:, low_x:high_x]
        if x > 0:
            around[1:-1, 1:-1, 0] = self._column
        self._next_plane[y:end_y, x:end_x] = _in_volume(labels[-1], offset)
        self._next_row[:, x:end_x] = _in_volume(labels[:, -1], offset)
        self._column = _in_volume(labels[:, :, -1], offset)
        if heights is None:
            heights = np.zeros((1, 1, 1), np.uint16)
        jumps = flat_jumps(self._steps, around.shape)
        place = np.array([*block.start, *self._shape], np.int64)
        fields = np.empty((4, 0), np.int64)
        fields = np.empty((4, _across(labels, offset, around, heights, jumps, place, fields)), np.int64)
        _across(labels, offset, around, heights, jumps, place, fields)
        return Edges(*fields).first_of_each_pair()

    def reachable(self) -> Ints:
        """Regions (from 0) at the last plane of the layer of blocks that was just finished."""
        found = np.unique(self._next_plane)
        return found[found > 0] - 1


def _in_volume(face: Labels, offset: int) -> Ints:
    """Numbers of a block's regions as those of the volume, from 1."""
    return np.where(face > 0, face.astype(np.int64) + offset, 0)


@compiled
def _across(labels: Labels, offset: int, around: Ints, heights: Heights, jumps: Ints, place: Ints, out: Ints) -> int:
    """Count the edges from the frame to the block, and write as many as there is room for: a, b, weight, tie."""
    layers, height, width = around.shape
    frame, h, n = around.ravel(), heights.ravel(), len(jumps)
    room, count = out.shape[1], 0
    # Where all heights are alike, so are the edges between two regions: of those in a row the first will do.
    flat, other, this = h.size == 1, np.int64(0), np.int32(0)
    for z in range(1, layers - 1):
        for y in range(1, height - 1):
            whole = (place[3] > 1 and (z == 1 or z == layers - 2)) or y == 1 or y == height - 2
            # Rows in the middle of the block have a first and a last pixel beside the frame.
            for x in range(1, width - 1, 1 if whole else max(width - 3, 1)):
                own = labels[z - 1, y - 1, x - 1]
                if own == 0:
                    continue
                p = (z * height + y) * width + x
                for k in range(n):
                    for q, end in ((p - jumps[k], p - jumps[k]), (p + jumps[k], p)):
                        if frame[q] == 0 or (flat and frame[q] == other and own == this):
                            continue
                        other, this = frame[q], own
                        if count < room:
                            out[0, count], out[1, count] = frame[q] - 1, own - 1 + offset
                            out[2, count], out[3, count] = 0, 0
                            if not flat:
                                high, low = np.int64(max(h[p], h[q])), np.int64(min(h[p], h[q]))
                                out[2, count] = (high << 16) | low
                                c = end // (height * width) + place[0] - 1
                                b = end // width % height + place[1] - 1
                                out[3, count] = ((c * place[4] + b) * place[5] + end % width + place[2] - 1) * n + k
                        count += 1
    return count
