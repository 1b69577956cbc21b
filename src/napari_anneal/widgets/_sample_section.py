"""What the sample is, in *Fine-tune*: the choice of *Augmentation preview* again, for the recipe of this session."""

from __future__ import annotations

from qtpy import compat
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_anneal.widgets._sample_choice import SampleChoice
from napari_anneal.widgets._session_augmentation import session_augmentation
from napari_anneal.widgets._transform_rows import words

__all__ = ["SampleSection"]


class SampleSection(QWidget):
    """Kinds of sample and directions, and what they switch off, with the reason."""

    def __init__(self) -> None:
        super().__init__()
        self._session = session_augmentation()
        self._showing = False
        self.choice = SampleChoice()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choice)
        self.choice.changed.connect(self._on_choice)
        self._session.changed.connect(self._show)
        self._show()

    def _on_choice(self) -> None:
        """Another sample: the session's recipe becomes one that is legal for it."""
        if self._showing:
            return
        told = self.choice.values()
        kinds = (told["sample"], *told["also"])
        recipe = self._session.recipe
        self._session.put(recipe.of_another_sample(kinds, told["direction_deg"], told["light_deg"]))

    def _show(self) -> None:
        """Show the sample of the session's recipe, which another form may have put there."""
        if not compat.isalive(self):
            return
        recipe = self._session.recipe
        shown = {name: getattr(recipe, name) for name in ("sample", "also", "direction_deg", "light_deg")}
        if self.choice.values() != shown:
            self._showing = True
            self.choice.set_values(shown)
            self._showing = False
        self._say()

    def _say(self) -> None:
        by_reason: dict[str, list[str]] = {}
        for name, reason in self._session.recipe.switched_off.items():
            by_reason.setdefault(reason, []).append(words(name))
        self.choice.say("\n".join(f"Off: {', '.join(names)}, because {why}." for why, names in by_reason.items()))
