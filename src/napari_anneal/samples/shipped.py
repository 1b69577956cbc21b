"""The real images that come with the package, and a simulation of the few strokes a person would paint on them.

Each folder under ``data/`` carries its SOURCE, its licence and the SHA-256 sums of its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.reading import read_image, read_samples
from napari_anneal.samples.sample import Sample

__all__ = ["SHIPPED", "ShippedSet", "paint_strokes", "shipped_folder", "shipped_samples"]


@dataclass(frozen=True)
class ShippedSet:
    """What a shipped set is: ``classes[k - 1]`` is the name of label k."""

    title: str
    folder: str
    classes: tuple[str, ...]
    colours: tuple[str, ...]


# Directions a hand may take next, radians from where it is going.
TURNS: Final = tuple(np.deg2rad([-30.0, -15.0, 0.0, 15.0, 30.0]))

SHIPPED: Final[dict[str, ShippedSet]] = {
    "superalloy": ShippedSet(
        "Nickel superalloy, gamma-prime precipitates (SEM, 18 images of 7 spots, hand-made masks)",
        "nasa_super",
        ("matrix", "tertiary", "secondary"),
        ("#4477aa", "#ee6677", "#ccbb44"),
    ),
    "cement": ShippedSet(
        "Cement paste (X-ray CT, 128³ voxels, strokes on two slices)",
        "cement_ct",
        ("matrix", "void", "grey inclusion"),
        ("#4477aa", "#ee6677", "#ccbb44"),
    ),
}


def shipped_folder(name: str) -> Path:
    """Folder of a shipped set, with its SOURCE.md and LICENSE.

    Raises
    ------
    InputError
        No set of that name.
    """
    if name not in SHIPPED:
        raise InputError(f"there is no shipped set {name!r}; choose one of {', '.join(SHIPPED)}.")
    return Path(str(resources.files("napari_anneal") / "data" / SHIPPED[name].folder))


def shipped_samples(name: str) -> list[Sample]:
    """Read a shipped set.

    ``superalloy``: 18 images ``(512, 512)`` uint8 with dense labels and the group "spot1" … "spot7".
    ``cement``: one volume ``(128, 128, 128)`` uint8 with strokes on slices 32 and 96.

    Raises
    ------
    InputError
        No set of that name, or a damaged installation.
    """
    folder = shipped_folder(name)
    if name == "cement":
        image, axes, spacing = read_image(folder / "cement.tif")
        strokes, _, _ = read_image(folder / "strokes.tif")
        return [Sample(image, strokes, "cement", spacing, "cement", axes)]
    return read_samples(folder)


def paint_strokes(
    labels_dense: npt.NDArray[Any],
    seed: int,
    strokes_per_class: int | Sequence[int] = 6,
    width_px: int = 3,
    length_px: int = 40,
    margin_px: int = 2,
) -> npt.NDArray[np.uint8]:
    """Simulate brush strokes inside the regions of a dense label map, as a person would paint them.

    A stroke starts somewhere in a region, wanders with an unsteady hand towards the region's middle line, and stops
    at its length or where the region ends. It keeps ``margin_px`` off the edge of the class where the region is wide
    enough, and to the inner half of a region that is not. **The strokes are simulated from the masks**: they hold no
    information that a careful person would not give, but no person painted them.

    Parameters
    ----------
    labels_dense
        ``(Y, X)`` whole numbers, 0 = not painted, 1…K.
    seed
        The same seed gives the same strokes.
    strokes_per_class
        One number for all classes, or one a class. Large regions are more likely to get a stroke.
    width_px, length_px, margin_px
        Width of the brush, greatest length of a stroke, and distance kept from the edge, in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 ``(Y, X)``: 0 nearly everywhere, else the same class as ``labels_dense``.

    Raises
    ------
    InputError
        Not a 2D label map, more than 255 classes, or not one number of strokes for each class.
    """
    labels = np.asarray(labels_dense)
    if labels.ndim != 2 or labels.dtype.kind not in "bui" or labels.size == 0 or not 0 <= int(labels.max()) <= 255:
        raise InputError(
            f"strokes are painted on 2D labels with at most 255 classes, not on {labels.dtype} {labels.shape}."
        )
    n_classes = int(labels.max())
    numbers = [strokes_per_class] * n_classes if isinstance(strokes_per_class, int) else list(strokes_per_class)
    if len(numbers) < n_classes or min(numbers, default=0) < 0:
        raise InputError(
            f"strokes_per_class={strokes_per_class} must be a number, 0 or more, for each of {n_classes} classes."
        )
    painted = np.zeros(labels.shape, np.uint8)
    for k in range(1, n_classes + 1):
        rng = np.random.default_rng([seed, k])
        depth, allowed, regions = _room(labels == k, margin_px)
        for _ in range(numbers[k - 1]):
            start = _start(allowed & (painted == 0), regions, rng)
            if start is None:
                break
            brush = _disc(_walk(start, depth, allowed, length_px, rng), width_px, labels.shape)
            painted[brush] = np.where(allowed[brush], k, painted[brush])
    return painted


def _room(
    here: npt.NDArray[np.bool_], margin_px: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Distance to the edge of the class, the pixels that a careful hand would paint, and the numbered regions."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(here)
    regions, count = ndimage.label(here)
    deepest = np.zeros(count + 1)
    if count:
        deepest[1:] = ndimage.maximum(depth, regions, np.arange(1, count + 1))
    # A pixel next to the edge has depth 1. A region too narrow for the margin is painted in its inner half.
    needed = np.minimum(margin_px + 1.0, np.maximum(1.0, deepest / 2))
    return depth, here & (depth >= needed[regions]), regions


def _start(
    free: npt.NDArray[np.bool_], regions: npt.NDArray[np.int32], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A free pixel of a region drawn by the square root of its area, so that small regions get their strokes too."""
    areas = np.bincount(regions[free])
    if areas.sum() == 0:
        return None
    weights = np.sqrt(areas)
    region = rng.choice(len(areas), p=weights / weights.sum())
    y, x = np.nonzero(free & (regions == region))
    pick = int(rng.integers(len(y)))
    return int(y[pick]), int(x[pick])


def _walk(
    start: tuple[int, int],
    depth: npt.NDArray[np.float64],
    allowed: npt.NDArray[np.bool_],
    length_px: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Pixels under the tip of the brush: of five directions, the deepest and straightest, with an unsteady hand."""
    y, x = float(start[0]), float(start[1])
    heading = rng.uniform(0, 2 * np.pi)
    path = [start]
    for _ in range(length_px - 1):
        options = []
        for turn in TURNS:
            ny, nx = y + np.sin(heading + turn), x + np.cos(heading + turn)
            iy, ix = round(ny), round(nx)
            if 0 <= iy < depth.shape[0] and 0 <= ix < depth.shape[1] and allowed[iy, ix]:
                score = 0.3 * min(depth[iy, ix], 6.0) - 2.0 * abs(turn) + rng.normal(0, 0.5)
                options.append((score, turn, ny, nx))
        if not options:
            break
        _, turn, y, x = max(options)
        heading += turn
        path.append((round(y), round(x)))
    return path


def _disc(path: list[tuple[int, int]], width_px: int, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], ...]:
    """Indices of every pixel within half a brush width of the path."""
    radius = width_px / 2
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    tip = np.argwhere(y**2 + x**2 <= radius**2) - reach
    covered = (np.array(path)[:, np.newaxis] + tip).reshape(-1, 2)
    inside = ((covered >= 0) & (covered < np.array(shape))).all(axis=1)
    return tuple(covered[inside].T)
