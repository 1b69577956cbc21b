"""What *Grouped split* splits: pairs of layers, or samples of a folder, which become layers when they are to train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anneal.samples.gold import is_locked
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._group_table import GroupRow
from napari_anneal.widgets._layers import is_gold, remember, specimen_of

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.validation import SplitPlan
    from napari_anneal.validation.leakage import MergedGroups

__all__ = ["Entry", "opened", "place_in", "shown_groups"]


@dataclass(frozen=True)
class Entry:
    """One row: a pair of layers, or a sample read from a folder."""

    name: str
    image: Any = None
    labels: Any = None
    sample: Sample | None = None

    def row(self) -> GroupRow:
        """What the table begins with."""
        if self.sample is not None:
            return GroupRow(self.name, self.sample.group, locked=is_locked(self.sample))
        return GroupRow(self.name, specimen_of(self.image), is_gold(self.image))


def opened(viewer: napari.viewer.Viewer, entry: Entry, group: str, fold: tuple[int, int] | None) -> tuple[Any, Any]:
    """The layers of an entry; a sample of a folder is opened, unless it was before, and remembers group and fold."""
    if entry.sample is None:
        return entry.image, entry.labels
    by_name = {layer.name: layer for layer in viewer.layers}
    names = entry.name, f"{entry.name} labels"
    if not set(names) <= set(by_name):
        sample = entry.sample
        scale = sample.spacing or (1.0,) * len(sample.spatial_shape)
        by_name[names[0]] = viewer.add_image(sample.image, name=names[0], scale=scale, rgb="C" in sample.axes)
        by_name[names[1]] = viewer.add_labels(sample.labels, name=names[1], scale=scale)
    for name in names:
        remember(by_name[name], group=group, fold=fold)
    return by_name[names[0]], by_name[names[1]]


def place_in(plan: SplitPlan, index: int) -> tuple[int, int] | None:
    """The fold in which a sample validates, from 1, and the number of folds."""
    place = next((k for k, part in enumerate(plan.folds, start=1) if index in part.val), None)
    return None if place is None else (place, len(plan.folds))


def shown_groups(samples: Sequence[Sample], merged: MergedGroups) -> list[str]:
    """What to call the group of each sample: the user's name, or the names of groups that count as one."""
    own = [sample.group.strip() or f"({sample.name})" for sample in samples]
    by_key: dict[str, dict[str, None]] = {}
    for key, name in zip(merged.keys, own, strict=True):
        by_key.setdefault(key, {})[name] = None
    return [" + ".join(by_key[key]) for key in merged.keys]
