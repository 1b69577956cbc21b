"""Refuse shapes that would not fit into memory before anything is allocated."""

from __future__ import annotations

import math
import os
from pathlib import Path

from napari_anneal.errors import InputError
from napari_anneal.samples.placing import readable_bytes

__all__ = ["free_memory", "refuse_more_memory", "refuse_too_large"]

# Peak of a whole pair: labels, distance, phase, image and the temporary fields of the appearance.
BYTES_PER_PIXEL = 44
# The same where boundaries are curved: the shift, the frame around the image, and how distances spread in it.
BYTES_PER_CURVED_PIXEL = 160
# The same for objects: outlines, how distances spread from them, and the segments of lines.
BYTES_PER_OBJECT_PIXEL = 76
# The same where the image is matched to a real one: its spectrum in double precision, and where its boundaries lie.
BYTES_PER_MATCHED_PIXEL = 140
# Seeds, the tree over them, and planes to 6 (2D) or 15.5 (3D) neighbours each.
BYTES_PER_SEED = 2500
# The lists of grains and fields, old and new, that growth keeps at every step of its grid.
BYTES_PER_GRID_STEP = 120


def refuse_too_large(
    shape: tuple[int, ...],
    n_seeds: int,
    curved: bool = False,
    grid: int = 0,
    objects: bool = False,
    matched: bool = False,
) -> None:
    """Raise `InputError`, saying how much memory would be needed, when that is more than the machine has free."""
    per_pixel = BYTES_PER_OBJECT_PIXEL if objects else BYTES_PER_CURVED_PIXEL if curved else BYTES_PER_PIXEL
    if matched:
        # Matching begins when what the geometry needed is free again.
        per_pixel = max(per_pixel, BYTES_PER_MATCHED_PIXEL)
    needed = math.prod(shape) * per_pixel + n_seeds * BYTES_PER_SEED + grid * BYTES_PER_GRID_STEP
    refuse_more_memory(needed, f"a microstructure of shape {shape} with {n_seeds} seeds", "a smaller shape")


def refuse_more_memory(needed: int, what: str, instead: str) -> None:
    """Raise `InputError`, saying how much ``what`` needs and what to use ``instead``, when less memory is free."""
    free = free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"{what} needs about {readable_bytes(needed)} of memory and {readable_bytes(free)} are free; use {instead}."
        )


def free_memory() -> int | None:
    """Bytes that a process may still allocate, or ``None`` where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
