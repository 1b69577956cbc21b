"""What segmenting an image gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

if TYPE_CHECKING:
    from napari_anneal.inference.instances import InstanceRecipe

__all__ = ["Segmentation", "class_to_divide", "label_dtype", "normalised_entropy"]

# Classes that are not the objects of an image.
_GROUNDS = ("ground", "matrix", "boundar", "substrate")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result of ``Model.segment``.

    Attributes
    ----------
    labels
        uint8 (uint16 for more than 255 classes) ``(Y, X)`` or ``(Z, Y, X)``: label k is ``classes[k - 1]``. 0
        appears only where a cancelled run never got to. A NumPy array; for a run with ``out`` an array that
        reads from disk.
    probabilities
        float32 ``(K, Y, X)`` or ``(K, Z, Y, X)``, or ``None`` where not asked for.
    uncertainty
        float32 0…1, shaped as ``labels``: the entropy of the probabilities over its maximum; ``None`` where
        not asked for. Both read from disk where they were written to files.
    classes, colours
        Names and ``#rrggbb`` colours, in order.
    spacing
        Pixel size along the axes of ``labels``; ``None``: unknown.
    path
        File or folder with the labels (``None``: in memory only). After a cancelled run the ``.partial`` one.
    unit
        Symbol of the unit of ``spacing``; ``None``: none was named.
    done, total
        Slices finished, and slices in all (1 for a 2D image).
    """

    labels: Any
    probabilities: Any
    uncertainty: Any
    classes: tuple[str, ...]
    colours: tuple[str, ...] = ()
    spacing: tuple[float, ...] | None = None
    path: Path | None = None
    done: int = 1
    total: int = 1
    unit: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every slice was segmented (``False``: the run was cancelled)."""
        return self.done == self.total

    def instances(self, recipe: InstanceRecipe | None = None, *, of: str | None = None, **options: Any) -> Any:
        """Divide the segmentation into grains between the boundaries, or into objects of a class.

        Probabilities are divided where they were kept, else labels. The table is in µm where the spacing is known.

        Parameters
        ----------
        recipe
            Settings; ``None``: the defaults, for grains between boundaries.
        of
            Name of the boundary class, or of the objects' class; ``None``: the class that is called a boundary, and for
            objects the only class besides the ground where there are two.
        options
            As for `find_instances`: ``seeds``, ``intensity``, ``out``, ``block``, ``progress``, ``cancel`` …

        Returns
        -------
        Instances or None
            See `find_instances`.

        Raises
        ------
        InputError
            The class is not there or not said, the run was cancelled, or see `find_instances`.
        """
        from napari_anneal.inference.instances import InstanceRecipe, find_instances
        from napari_anneal.inference.instances.channel import Channel
        from napari_anneal.samples.tiff_spacing import MICROMETRES

        recipe = recipe or InstanceRecipe()
        if not self.complete:
            raise InputError("the segmentation was cancelled before its end; segment all of it, then divide it.")
        k = class_to_divide(self.classes, recipe.kind, of)
        # Tables are in µm; a spacing without a unit is taken for µm, as everywhere.
        step = 1.0 if self.unit is None else MICROMETRES[self.unit.lower()]
        given: dict[str, Any] = {"spacing": self.spacing and tuple(step * s for s in self.spacing)}
        given["class_name"] = class_of_instances(self.classes, recipe.kind, k)
        source = self.labels if self.probabilities is None else Channel(self.probabilities, k)
        value = k + 1 if self.probabilities is None else None
        return find_instances(source, recipe, value=value, **(given | options))


def class_of_instances(classes: Sequence[str], kind: str, divided: int) -> str:
    """Class of what is found where class ``divided`` is the boundary, or the objects; empty where it is not known."""
    if kind == "objects":
        return classes[divided]
    return classes[1 - divided] if len(classes) == 2 else ""


def class_to_divide(classes: Sequence[str], kind: str, of: str | None = None) -> int:
    """Index of the class that is the boundary, or the objects.

    Raises
    ------
    InputError
        No class has that name, or there is more than one that it could be.
    """
    names = [name.lower() for name in classes]
    listed = ", ".join(classes)
    if of is not None:
        if of.lower() not in names:
            raise InputError(f"there is no class {of!r}; the classes are {listed}.")
        return names.index(of.lower())
    edges = [k for k, name in enumerate(names) if "boundar" in name]
    if kind == "boundaries":
        if len(edges) != 1:
            raise InputError(
                f"which class is the boundary cannot be told from the classes {listed}; name it, or divide objects "
                "(kind='objects')."
            )
        return edges[0]
    objects = [k for k, name in enumerate(names) if not any(word in name for word in _GROUNDS)]
    if len(objects) != 1:
        raise InputError(f"the classes are {listed}; say which of them the objects are.")
    return objects[0]


def label_dtype(n_classes: int) -> np.dtype[Any]:
    """Smallest of uint8 and uint16 that holds labels 1…K."""
    return np.dtype(np.uint8 if n_classes <= 255 else np.uint16)


def normalised_entropy(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Entropy over classes divided by ``log K``: 0 where one class is certain, 1 where all are equally likely.

    Parameters
    ----------
    probabilities
        float32 ``(K, …)``, K ≥ 2.
    """
    positive = np.maximum(probabilities, np.finfo(np.float32).tiny)
    entropy = -(probabilities * np.log(positive)).sum(axis=0) / np.float32(np.log(len(probabilities)))
    return np.asarray(np.clip(entropy, 0, 1), dtype=np.float32)
