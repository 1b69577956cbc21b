"""*Write augmented pairs*: for programs that cannot augment on the fly; groups, seeds and the recipe go with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QPushButton, QSpinBox, QWidget

from napari_anneal.errors import InputError
from napari_anneal.samples.placing import unused
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._chosen_pairs import chosen_pairs
from napari_anneal.widgets._form import form_layout, shrinkable
from napari_anneal.widgets._layers import group_of, sample_from_layers
from napari_anneal.widgets._pairs import Pair, painted_pairs
from napari_anneal.widgets._path_field import PathField
from napari_anneal.widgets._recipe_form import calm

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.augmentation import AugmentationRecipe
    from napari_anneal.augmentation.export import Exported

__all__ = ["ExportOrder", "ExportPanel"]

FOLDER = "~/napari-anneal/augmented"
THIS, ALL = "this", "all"


class ExportPanel(QWidget):
    """What to write and where to.

    Signals
    -------
    asked
        Write.
    """

    asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.which = shrinkable(QComboBox())
        self.which.addItem("the pair above", THIS)
        self.which.addItem("all painted pairs", ALL)
        self.copies = QSpinBox()
        self.copies.setRange(1, 1000)
        self.copies.setValue(5)
        calm(self.copies)
        self.originals = QCheckBox("originals too")
        self.originals.setChecked(True)
        self.folder = PathField(str(unused(Path(FOLDER))), "folder")
        self.write = QPushButton("Write augmented pairs")
        self.write.setToolTip("Cancel leaves nothing behind; training here needs none of it, it augments on the fly.")
        self.write.clicked.connect(self.asked)
        layout = form_layout(self)
        for label, widget, tip in (
            ("pairs", self.which, "The image and labels above, or all that are painted; gold is left out."),
            ("copies", self.copies, "Augmented copies of every painted image or slice, drawn from the seed above on."),
            ("", self.originals, "Without the originals nothing in the folder may judge a model."),
            ("new folder", self.folder, "Gets images, labels, groups.csv and recipe.json; it must not exist yet."),
        ):
            widget.setToolTip(tip)
            layout.addRow(label, widget)
            if label:
                layout.labelForField(widget).setToolTip(tip)
        layout.addRow(self.write)

    def order(
        self, viewer: napari.viewer.Viewer, image: Any, labels: Any, recipe: AugmentationRecipe, seed: int
    ) -> ExportOrder:
        """What is to be written now.

        Raises
        ------
        InputError
            There is no such pair, or all are gold.
        """
        if self.which.currentData() == THIS:
            if labels is None:
                raise InputError("Choose the labels of the image above: a pair without labels trains nothing.")
            pairs = [Pair(image, labels, "" if image is None else group_of(image))]
        else:
            pairs = painted_pairs(viewer)
        chosen, gold = chosen_pairs(viewer, pairs)
        samples = [sample_from_layers(pair.image, pair.labels, pair.group) for pair in chosen]
        folder = Path(self.folder.text() or FOLDER).expanduser()
        return ExportOrder(
            samples, recipe, folder, self.copies.value(), seed, self.originals.isChecked(), tuple(gold)
        )  # fmt: skip

    def next_folder(self) -> None:
        """Offer a folder that does not exist yet."""
        self.folder.setText(str(unused(Path(self.folder.text() or FOLDER))))


@dataclass(frozen=True)
class ExportOrder:
    """Copies of the layers' content, so that painting on changes nothing; ``gold``: names of what was left out."""

    samples: list[Sample]
    recipe: AugmentationRecipe
    folder: Path
    copies: int
    seed: int
    originals: bool
    gold: tuple[str, ...]

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> Exported:
        """Write, on the worker's thread."""
        from napari_anneal.augmentation import export_augmented

        return export_augmented(
            self.samples, self.recipe, self.folder, copies=self.copies, seed=self.seed, originals=self.originals,
            progress=lambda done, total: report((done, total)), cancel=cancel,
        )  # fmt: skip
