"""From *Grouped split* to *Fine-tune*: one press, and the form has the images of the split and the fold that judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_anneal.widgets._form import empty, shrinkable
from napari_anneal.widgets._open_form import open_form
from napari_anneal.widgets._split_choice import ALL_FOLDS, ONE_FOLD

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["MOST_OPENED", "FoldButtons", "set_up_finetune"]

# As many folds have a button each; of more one is chosen from a list.
MOST_BUTTONS = 8
# More layers than this make a viewer slow; a data set of that size is trained from a terminal.
MOST_OPENED = 60


class FoldButtons(QWidget):
    """A button for every fold, and one for all of them in turn; hidden while there is no split.

    Signals
    -------
    pressed
        Number of the fold that is to judge a run, from 1; 0: all of them in turn.
    """

    pressed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.buttons: dict[int, QPushButton] = {}
        self.choice: QComboBox | None = None
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(3)
        self.setVisible(False)

    def show_folds(self, count: int) -> None:
        """Offer folds 1 to ``count``; 0: none."""
        empty(self._row)
        self.buttons, self.choice = {}, None
        self._row.addWidget(QLabel("Fine-tune on"))
        if count <= MOST_BUTTONS:
            for fold in range(1, count + 1):
                self._add(fold, str(fold), f"Open Fine-tune with these images; fold {fold} judges, the others train.")
        else:
            self.choice = shrinkable(QComboBox())
            self.choice.addItems([f"fold {fold}" for fold in range(1, count + 1)])
            self.choice.setToolTip("Open Fine-tune with these images; the fold chosen judges, the others train.")
            self.choice.activated.connect(lambda index: self.pressed.emit(index + 1))
            self._row.addWidget(self.choice, 1)
        if count > 1:
            self._add(0, "all folds", "Open Fine-tune with these images, to be trained once a fold: cross-validation.")
        self.setVisible(count > 0)

    def _add(self, fold: int, text: str, tip: str) -> None:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setMinimumWidth(26)
        button.clicked.connect(lambda _=False, fold=fold: self.pressed.emit(fold))
        self._row.addWidget(button, 1 if fold else 2)
        self.buttons[fold] = button


def set_up_finetune(viewer: napari.viewer.Viewer, pairs: Sequence[tuple[Any, Any]], fold: int) -> Any:
    """Open *Fine-tune*, or find it, with these pairs of layers, judged by a fold (0: by each in turn).

    Raises
    ------
    InputError
        The viewer has no window to open a form in, or the form is busy.
    """
    form = open_form(viewer, "Fine-tune", "call fine_tune or cross_validate")
    form.take_split(pairs, ALL_FOLDS if fold == 0 else ONE_FOLD, fold)
    return form
