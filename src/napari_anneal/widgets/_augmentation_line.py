"""The augmentation of a run in one line: what *Augmentation preview* shows is what *Fine-tune* trains with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy import compat
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_anneal.widgets._open_form import open_form
from napari_anneal.widgets._pairs import Pair
from napari_anneal.widgets._sample_choice import KINDS
from napari_anneal.widgets._session_augmentation import session_augmentation
from napari_anneal.widgets._transform_rows import words

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.augmentation import AugmentationRecipe

__all__ = ["AugmentationLine", "open_preview"]


class AugmentationLine(QWidget):
    """Says which recipe the session has, and opens the preview of it.

    Signals
    -------
    changed
        Another recipe.
    looked_at
        *Augmentation preview* is to be opened.
    """

    changed = Signal()
    looked_at = Signal()
    tip = (
        "How training images are varied, on the fly; images that judge are never touched. Say in Augmentation preview "
        "what the sample is, so that no transform makes what the microscope could not."
    )

    def __init__(self) -> None:
        super().__init__()
        self._session = session_augmentation()
        self.text = ""
        self.says = QLabel()
        self.says.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.look = QPushButton("Preview …")
        self.look.setToolTip("Open Augmentation preview with this recipe; what is changed there holds here at once.")
        self.look.clicked.connect(self.looked_at)
        self.reset = QPushButton("↺")
        self.reset.setFixedWidth(28)
        self.reset.setToolTip("Go back to the default recipe: a gentle one for isotropic samples.")
        self.reset.clicked.connect(self._session.reset)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.says, 1)
        row.addWidget(self.reset)
        row.addWidget(self.look)
        self._session.changed.connect(self._on_change)
        self._show()

    @property
    def recipe(self) -> AugmentationRecipe:
        """What a run would be augmented with."""
        return self._session.recipe

    def _on_change(self) -> None:
        if compat.isalive(self):
            self._show()
            self.changed.emit()

    def _show(self) -> None:
        recipe: Any = self._session.recipe
        count = len(recipe.active)
        kinds = " + ".join(KINDS[kind][1] if kind in KINDS else kind for kind in recipe.kinds)
        self.text = f"{count} transform{'s' * (count != 1)}, {kinds}" if count else "none"
        said = f"{self.text}: {', '.join(map(words, recipe.active))}.\n\n" if count else ""
        self.says.setToolTip(f"{said}{self.tip}")
        self.reset.setVisible(recipe != type(recipe)())
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten the text to the room there is."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = max(self.says.width(), 60)
        self.says.setText(self.says.fontMetrics().elidedText(self.text, Qt.TextElideMode.ElideRight, room))


def open_preview(viewer: napari.viewer.Viewer, pairs: Sequence[Pair]) -> None:
    """Open *Augmentation preview* in the viewer, or find it there, and show it the first of some pairs.

    Raises
    ------
    InputError
        The viewer has no window to open a form in.
    """
    form = open_form(viewer, "Augmentation preview", "set augmentation=…")
    pair = next((pair for pair in pairs if pair.image is not None), None)
    if pair is not None:
        form.labels.choose(pair.labels)
        form.image.choose(pair.image)
