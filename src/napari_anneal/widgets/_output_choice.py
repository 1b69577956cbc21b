"""Where *Fine-tune* puts a model, and what it is called."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit, QWidget

from napari_anneal.widgets._form import form_layout
from napari_anneal.widgets._path_field import PathField

__all__ = ["RUNS", "OutputChoice"]

# Where models are saved unless another folder is chosen.
RUNS = "~/napari-anneal/runs"


class OutputChoice(QWidget):
    """Name of the model, and the folder that gets a folder for each run."""

    def __init__(self) -> None:
        super().__init__()
        layout = form_layout(self)
        self.name = QLineEdit()
        self.name.setPlaceholderText("made from the image's name")
        self.folder = PathField(RUNS, "folder")
        for label, widget, tip in (
            ("model name", self.name, "How lists call the model, and its folder on disk."),
            ("save in", self.folder, "Folder that gets a folder for each run: the model bundle, history and recipe."),
        ):
            widget.setToolTip(tip)
            layout.addRow(label, widget)
            layout.labelForField(widget).setToolTip(tip)
