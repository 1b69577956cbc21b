"""The settings of a recipe that a form folds away, sorted by subject; a new field finds a place by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_anneal.widgets._form import fold
from napari_anneal.widgets._recipe_form import RecipeForm

__all__ = ["CAPTIONS", "SECTIONS", "RecipeSettings"]

SECTIONS: dict[str, tuple[str, ...]] = {
    "Length and rates": ("steps_per_epoch", "rates_for_batch", "max_gradient"),
    "Loss": (
        "cross_entropy", "dice", "balance_classes", "focal", "focal_gamma", "boundary_weight", "boundary_radius",
        "cldice", "cldice_class",
    ),
    "Batch and memory": ("patch", "batch_size", "micro_batch", "precision", "batch_norm", "compile", "device"),
    "Stopping, averaging, seed": ("patience", "validation_patches", "ema_decay", "noise_scale_every", "seed"),
    "Network (from scratch or ImageNet)": ("encoder", "decoder", "encoder_depth"),
}  # fmt: skip
# Fields that a form has elsewhere or takes from the layers; several processes are started from a terminal.
ELSEWHERE = ("preset", "stages", "classes", "colours", "augmentation", "decoder_channels", "devices", "nodes")
OTHER = "Other"
# Where the field's own name says too little.
CAPTIONS = {
    "rates_for_batch": "rates are for batch",
    "max_gradient": "clip gradients at",
    "dice": "Dice",
    "cldice": "clDice",
    "cldice_class": "clDice of label",
    "focal_gamma": "focal γ",
    "balance_classes": "balance classes",
    "batch_size": "batch",
    "micro_batch": "patches at once",
    "batch_norm": "normalisation",
    "compile": "compile network",
    "validation_patches": "validate on patches",
    "ema_decay": "average weights",
    "noise_scale_every": "read noise every",
}
# Settings that change nothing while another one is 0.
IDLE = {"focal_gamma": "focal", "boundary_radius": "boundary_weight", "cldice_class": "cldice"}


class RecipeSettings(QWidget):
    """One folded section a subject, each a form of recipe fields; together they behave as one `RecipeForm`.

    Signals
    -------
    changed
        A value was edited.
    """

    changed = Signal()

    def __init__(self, recipe: BaseModel) -> None:
        super().__init__()
        listed = {name for names in SECTIONS.values() for name in names}
        rest = tuple(n for n in type(recipe).model_fields if n not in listed and n not in ELSEWHERE)
        self.forms: dict[str, RecipeForm] = {}
        self.sections: dict[str, Any] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for title, names in ({**SECTIONS, OTHER: rest} if rest else SECTIONS).items():
            form = RecipeForm(recipe, names, captions=CAPTIONS)
            form.changed.connect(self._on_change)
            self.forms[title] = form
            self.sections[title] = fold(title, form, ", ".join(CAPTIONS.get(n, n.replace("_", " ")) for n in names))
            layout.addWidget(self.sections[title])
        self._leave_out_idle()

    def put_first(self, title: str, widget: QWidget, caption: str) -> None:
        """Put an editor of something else above the fields of a section."""
        label = QLabel(caption)
        label.setToolTip(widget.toolTip())
        self.forms[title].layout().insertRow(0, label, widget)

    def values(self) -> dict[str, Any]:
        """Field name → value as edited."""
        return {name: value for form in self.forms.values() for name, value in form.values().items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values (fields that are not shown are passed over); tells ``changed`` once."""
        self.blockSignals(True)
        for form in self.forms.values():
            form.set_values(values)
        self.blockSignals(False)
        self._on_change()

    def _on_change(self) -> None:
        self._leave_out_idle()
        self.changed.emit()

    def _leave_out_idle(self) -> None:
        values = self.values()
        idle: Sequence[str] = [name for name, switch in IDLE.items() if not values.get(switch)]
        for form in self.forms.values():
            form.leave_out(idle)
