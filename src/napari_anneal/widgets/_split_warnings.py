"""What is wrong with a split, where it is wrong: sentences under the folds, and the rows that each of them concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._form import WrappedLabel, empty
from napari_anneal.widgets._status import COLOURS

if TYPE_CHECKING:
    from napari_anneal.validation import Copy, SplitReport

__all__ = ["SplitWarnings", "row_sentences"]


def row_sentences(samples: Sequence[Sample], copies: Sequence[Copy], report: SplitReport) -> dict[int, list[str]]:
    """What is wrong with single samples, by their number: copies and parts in other groups, no paint, lone classes.

    Parameters
    ----------
    samples, copies
        What was split, and what `find_copies` found among it.
    report
        Of the plan.
    """
    import numpy as np

    from napari_anneal.samples.gold import is_locked
    from napari_anneal.validation.leakage import group_key, sample_name
    from napari_anneal.validation.leakage.merging import part_sentence
    from napari_anneal.validation.leakage.parts import parts_of_one

    found: dict[int, list[str]] = {}
    names = [sample_name(samples, i) for i in range(len(samples))]
    pairs = [(copy.first, copy.second, copy.sentence(names)) for copy in copies]
    pairs += [(a, b, part_sentence(names, a, b, image)) for a, b, image in parts_of_one(names)]
    for first, second, why in pairs:
        if group_key(samples, first) != group_key(samples, second):
            for index in (first, second):
                found.setdefault(index, []).append(why[:1].upper() + why[1:])
    where: dict[int, dict[str, list[int]]] = {}
    for index, sample in enumerate(samples):
        if names[index] in report.unpainted:
            found.setdefault(index, []).append("Nothing is painted on it, so it is in no fold.")
        for part in () if is_locked(sample) else sample.painted_slices():
            for k in np.unique(part.labels[part.labels > 0]).tolist():
                where.setdefault(k, {}).setdefault(group_key(samples, index), []).append(index)
    groups = {group for painted in where.values() for group in painted}
    for k, painted in where.items():
        if len(painted) == 1 and len(groups) > 1:
            for index in dict.fromkeys(next(iter(painted.values()))):
                found.setdefault(index, []).append(f"Label {k} is painted in this group only.")
    return found


class SplitWarnings(QWidget):
    """Sentences, one below the other; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: tuple[str, ...] = ()
        self._list = QVBoxLayout(self)
        self._list.setContentsMargins(0, 4, 0, 0)
        self._list.setSpacing(3)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        self.setVisible(False)

    def show_sentences(self, sentences: Sequence[str]) -> None:
        """Show these."""
        self.sentences = tuple(f"{text[:1].upper()}{text[1:]}" for text in sentences)
        empty(self._list)
        for text in self.sentences:
            label = WrappedLabel(f"• {text}")
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setStyleSheet(f"color: {COLOURS['bad']};")
            self._list.addWidget(label)
        self._list.addStretch(1)
        self.setVisible(bool(self.sentences))

    @property
    def text(self) -> str:
        """All of them, a line each."""
        return "\n".join(self.sentences)
