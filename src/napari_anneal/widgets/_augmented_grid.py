"""The grid of *Augmentation preview*, without a widget: a cell cut from an image once, and what recipes make of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.widgets._mosaic import crop_window, tiled

if TYPE_CHECKING:
    from napari_anneal.augmentation import AugmentationRecipe

__all__ = ["Cell", "CellOrder", "Grid", "GridOrder", "Tile", "alone", "draws"]

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[Any]]
# Room above each cell for its caption, as a part of the cell's side, and at least so many pixels.
HEAD, LEAST_HEAD = 0.12, 8


class Tile(NamedTuple):
    """One cell of the grid: its caption, the recipe and the seed it is drawn by; ``None``: as it is."""

    caption: str
    recipe: AugmentationRecipe | None
    seed: int


@dataclass(frozen=True)
class Cell:
    """The pair that is augmented: image ``(C, Y, X)`` float32 in unit range, labels ``(Y, X)``; what to say of it."""

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    note: str = ""

    @property
    def head(self) -> int:
        """Pixels above it that are kept free for its caption."""
        return max(LEAST_HEAD, round(HEAD * self.image.shape[1]))


@dataclass(frozen=True)
class CellOrder:
    """Where to cut: the grey limits are those of the whole image or stack, ``z`` the slice, ``side`` in pixels.

    ``labels`` is the paint on that slice or ``None``; the square with the most of it is taken.
    """

    name: str
    image: Any
    axes: str
    labels: Any
    z: int | None
    side: int

    def cut(self) -> Cell:
        """Cut it out.

        Raises
        ------
        InputError
            A constant image, NaN or infinite pixels, negative labels.
        """
        from napari_anneal.samples.normalisation import intensity_range

        limits = intensity_range(self.image, self.axes, f"Image {self.name!r}")
        at = slice(None) if self.z is None else self.z
        plane = np.asarray(self.image[at])
        shape = plane.shape[:2]
        labels = np.zeros(shape, np.int64) if self.labels is None else np.asarray(self.labels)
        if labels.min() < 0:
            raise InputError("The labels hold negative numbers; use 0 for not painted and 1, 2, … for classes.")
        window = crop_window(labels, min(self.side, *shape))
        unit = limits.apply(plane[window], f"Image {self.name!r}")
        image = np.moveaxis(unit[..., :3], -1, 0) if "C" in self.axes else unit[np.newaxis]
        return Cell(np.ascontiguousarray(image), _small(labels[window]), self._note(shape, labels))

    def _note(self, shape: tuple[int, ...], labels: npt.NDArray[Any]) -> str:
        notes = []
        if min(shape) < self.side:
            notes.append(
                f"The image is {shape[0]} × {shape[1]} px, smaller than a cell of {self.side} px, so the cells are "
                f"{min(shape)} px."
            )
        if self.labels is not None and not labels.any():
            here = "" if self.z is None else f" on slice {self.z}"
            notes.append(f"Nothing is painted{here}, so the cells are from the middle and show the image alone.")
        return " ".join(notes)


@dataclass(frozen=True)
class Grid:
    """The cells as two pictures of one size, image ``(Y, X)`` or ``(Y, X, 3)`` in [0, 1] and labels ``(Y, X)``.

    ``pairs`` are the cells by what they were drawn by, for the next grid to take over those that stay.
    """

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    cell: Cell
    tiles: tuple[Tile, ...]
    columns: int
    pairs: Mapping[tuple[Any, int], Pair]


@dataclass(frozen=True)
class GridOrder:
    """Which cells to draw, of a cell that was cut already or of one to cut; ``kept`` are those of the grid before."""

    source: Cell | CellOrder
    tiles: tuple[Tile, ...]
    columns: int
    kept: Mapping[tuple[Any, int], Pair] = field(default_factory=dict)

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> Grid | None:
        """Draw, on the worker's thread; ``None`` where it was cancelled."""
        from napari_anneal.augmentation import Augmenter

        cell = self.source.cut() if isinstance(self.source, CellOrder) else self.source
        augmenters: dict[Any, Augmenter] = {}
        pairs: dict[tuple[Any, int], Pair] = {}
        shown: list[Pair] = []
        for number, tile in enumerate(self.tiles, start=1):
            if cancel.is_set():
                return None
            key = (tile.recipe, tile.seed)
            pair: Pair | None = self.kept.get(key)
            if tile.recipe is None:
                pair = (cell.image, cell.labels)
            elif pair is None:
                augment = augmenters.get(tile.recipe) or augmenters.setdefault(tile.recipe, Augmenter(tile.recipe))
                pair = augment(cell.image, cell.labels, tile.seed)
            pairs[key] = pair
            shown.append(pair)
            report((number, len(self.tiles)))
        above = ((cell.head, 0), (0, 0))
        images = [np.pad(np.moveaxis(image, 0, -1), (*above, (0, 0))) for image, _ in shown]
        labels = [np.pad(paint, above) for _, paint in shown]
        mosaics = tiled(images, self.columns), tiled(labels, self.columns)
        return Grid(*mosaics, cell, self.tiles, self.columns, pairs)


def _small(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels in the fewest bytes that hold them: the viewer draws 8 bits without a detour."""
    return np.ascontiguousarray(labels, dtype=np.min_scalar_type(int(labels.max(initial=0))))


def draws(recipe: AugmentationRecipe, count: int, seed: int, caption: str) -> tuple[Tile, ...]:
    """The original, and ``count - 1`` draws of one recipe, from ``seed`` on: another seed has no draw in common."""
    made = (Tile(f"{caption} {number}", recipe, seed * 1000 + number) for number in range(1, count))
    return (Tile("original", None, 0), *made)


def alone(recipe: AugmentationRecipe, names: Sequence[str], seed: int, words: Callable[[str], str]) -> tuple[Tile, ...]:
    """The original, and every one of ``names`` alone, as strong as in the recipe; "off": it is not in the recipe."""
    made = [
        Tile(words(name) + ("" if name in recipe.active else " (off)"), one(recipe, name), seed * 1000 + 1)
        for name in names
    ]
    return (Tile("original", None, 0), *made)


def one(recipe: AugmentationRecipe, name: str) -> AugmentationRecipe:
    """The recipe with nothing but one transform, which always happens."""
    from napari_anneal.augmentation.recipe import TRANSFORMS

    return recipe.model_copy(update={**dict.fromkeys(TRANSFORMS, 0.0), name: 1.0})
