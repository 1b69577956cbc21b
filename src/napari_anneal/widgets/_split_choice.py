"""What a run is validated on: a fifth held out, one fold, or every fold in turn; folds as *Grouped split* made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSpinBox, QWidget

from napari_anneal.errors import InputError
from napari_anneal.widgets._form import shrinkable
from napari_anneal.widgets._layers import GROUP_KEY
from napari_anneal.widgets._recipe_form import calm

if TYPE_CHECKING:
    from napari_anneal.samples.sample import Sample
    from napari_anneal.validation import SplitPlan

__all__ = ["ALL_FOLDS", "HELD_OUT", "ONE_FOLD", "SplitChoice", "SplitOrder", "fold_of"]

HELD_OUT, ONE_FOLD, ALL_FOLDS = "held out", "one fold", "all folds"
CHOICES = {
    HELD_OUT: ("a fifth, held out", "A fifth of the groups, or of the paint where there is one group only."),
    ONE_FOLD: ("one fold", "The groups of one fold; the others train."),
    ALL_FOLDS: (
        "every fold in turn",
        "Cross-validation: one run a fold from the same start; the figures are mean ± standard deviation over the "
        "folds, which say more than those of one split. Every model is offered in Segment.",
    ),
}
TIP = (
    "Images that judge the run and never train it. Groups never end up on both sides; gold images are in no fold. The "
    "folds are those that Grouped split showed last for these images, else they are made here."
)
DEFAULT_FOLDS = 5


@dataclass(frozen=True)
class SplitOrder:
    """How to split samples; ``remembered``: fold (from 1) and number of folds of each, ``None`` where unknown."""

    kind: str
    fold: int
    folds: int
    remembered: tuple[tuple[int, int] | None, ...]
    seed: int

    def plan(self, samples: Sequence[Sample]) -> SplitPlan | None:
        """Plan of the folds to run; ``None``: a fifth is held out by the run itself.

        Raises
        ------
        InputError
            Too few groups for so many folds, no such fold, or folds that no longer fit the groups.
        """
        if self.kind == HELD_OUT:
            return None
        from napari_anneal.validation import SplitPlan, group_split

        whole = self._remembered(samples) if any(self.remembered) else group_split(samples, self.folds, seed=self.seed)
        if self.kind == ALL_FOLDS:
            return whole
        if self.fold > len(whole.folds):
            raise InputError(f"There is no fold {self.fold}: the split has {len(whole.folds)}.")
        return SplitPlan((whole.folds[self.fold - 1],), whole.gold, whole.report)

    def _remembered(self, samples: Sequence[Sample]) -> SplitPlan:
        """The folds that the layers remember, checked against the groups that they have now."""
        from napari_anneal.validation import Fold, SplitPlan
        from napari_anneal.validation.leakage.merging import merge_copies
        from napari_anneal.validation.splits import report_of

        again = "press “Show the split” in Grouped split again"
        places: list[int] = []
        for sample, place in zip(samples, self.remembered, strict=True):
            if place is None or place[1] != self.folds:
                raise InputError(f"Image {sample.name!r} is not in the split that Grouped split showed; {again}.")
            places.append(place[0])
        of_group: dict[str, int] = {}
        for sample, place in zip(samples, places, strict=True):
            if sample.group and of_group.setdefault(sample.group, place) != place:
                raise InputError(
                    f"Group {sample.group!r} is in two folds of the split that Grouped split showed, because the "
                    f"groups were changed since; {again}."
                )
        folds = tuple(
            Fold(tuple(i for i, p in enumerate(places) if p != k), tuple(i for i, p in enumerate(places) if p == k))
            for k in range(1, self.folds + 1)
            if k in places
        )
        if len(folds) < 2:
            raise InputError("All images are in one fold, so nothing is left to train on; add images of other folds.")
        return SplitPlan(folds, (), report_of(samples, folds, (), merge_copies(samples, ())))


class SplitChoice(QWidget):
    """Choose what validates.

    Parameters
    ----------
    images
        The images that train or validate now.

    Signals
    -------
    changed
        Something else validates.
    """

    changed = Signal()
    tip = TIP

    def __init__(self, images: Callable[[], Sequence[Any]]) -> None:
        super().__init__()
        self._images = images
        self.kind = shrinkable(QComboBox())
        self.kind.setToolTip(TIP)
        for index, (name, (text, tip)) in enumerate(CHOICES.items()):
            self.kind.addItem(text, name)
            self.kind.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
        self.fold, self.folds = QSpinBox(), QSpinBox()
        self.fold.setRange(1, DEFAULT_FOLDS)
        self.fold.setToolTip("Number of the fold that validates.")
        self.folds.setRange(2, 50)
        self.folds.setValue(DEFAULT_FOLDS)
        self.folds.setToolTip("Number of folds; given by Grouped split where it has shown a split of these images.")
        self._of = QLabel("of")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.kind, 1)
        for part in (self.fold, self._of, self.folds):
            row.addWidget(part)
        for spin in (self.fold, self.folds):
            spin.setMaximumWidth(76)
            spin.setKeyboardTracking(False)
            calm(spin)
            spin.valueChanged.connect(self._on_change)
        self.kind.currentIndexChanged.connect(self._on_change)
        self.refresh()

    def choose(self, kind: str, fold: int = 0) -> None:
        """Take another way to validate; ``fold``: the one that judges, from 1."""
        self.refresh()
        self.kind.setCurrentIndex(self.kind.findData(kind))
        if fold:
            self.fold.setValue(fold)

    def refresh(self) -> None:
        """Look again what the images remember of a split."""
        found = [place for image in self._images() if (place := fold_of(image)) is not None]
        if found:
            self.folds.blockSignals(True)
            self.folds.setValue(found[0][1])
            self.folds.blockSignals(False)
        self.folds.setEnabled(not found)
        self._show()

    def ordered(self, images: Sequence[Any], seed: int) -> SplitOrder:
        """What is chosen now, for these images."""
        places = tuple(fold_of(image) for image in images)
        return SplitOrder(str(self.kind.currentData()), self.fold.value(), self.folds.value(), places, seed)

    def _on_change(self, value: int = 0) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        kind = self.kind.currentData()
        self.fold.setMaximum(self.folds.value())
        self.fold.setVisible(kind == ONE_FOLD)
        self._of.setVisible(kind == ONE_FOLD)
        self.folds.setVisible(kind != HELD_OUT)


def fold_of(image: Any) -> tuple[int, int] | None:
    """Fold (from 1) in which an image validates and number of folds, as *Grouped split* showed them last."""
    remembered = image.metadata.get(GROUP_KEY) if image is not None else None
    place = remembered.get("fold") if isinstance(remembered, dict) else None
    return (int(place[0]), int(place[1])) if place else None
