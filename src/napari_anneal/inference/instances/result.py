"""What finding instances gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_anneal.inference.instances.recipe import InstanceRecipe
from napari_anneal.inference.instances.table import InstanceTable

__all__ = ["Instances"]


@dataclass(frozen=True, eq=False)
class Instances:
    """The result of `find_instances`.

    Attributes
    ----------
    labels
        ``(Y, X)`` or ``(Z, Y, X)``: 1, 2 … in the order of their first pixels, 0 for none. int32, or the array that was
        given to write to.
    table
        One row an instance.
    recipe
        How they were found.
    spacing
        Pixel size along the axes of ``labels``, µm; ``None``: not known.
    path
        File with the labels; ``None``: in memory only.
    """

    labels: Any
    table: InstanceTable
    recipe: InstanceRecipe
    spacing: tuple[float, ...] | None = None
    path: Path | None = None

    @property
    def count(self) -> int:
        """Number of instances."""
        return len(self.table)
