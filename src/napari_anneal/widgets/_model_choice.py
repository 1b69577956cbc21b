"""Combo boxes of models: those of this session, those that are shipped, and one from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.errors import InputError
from napari_anneal.widgets._form import shrinkable
from napari_anneal.widgets._path_field import PathField
from napari_anneal.widgets._session_models import session_models

__all__ = ["ModelChoice", "StartChoice"]

SESSION, SHIPPED, DISK, IMAGENET, SCRATCH = "session", "shipped", "disk", "imagenet", "scratch"


class ModelChoice(QWidget):
    """Choose a model; ``fill()`` once the core is loaded, after which the list follows the session's models."""

    tip = "A model of this session, a shipped one, or a bundle from disk (a folder, a .zip or its bundle.json)."
    pattern = "Model bundle (bundle.json *.zip)"
    from_disk = "from disk …"

    def __init__(self) -> None:
        super().__init__()
        self.combo = shrinkable(QComboBox())
        self.path = PathField("", "open", self.pattern, "bundle folder, .zip or bundle.json")
        self.path.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.combo)
        layout.addWidget(self.path)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.combo.currentIndexChanged.connect(self._on_index)
        session_models().changed.connect(self._on_session)
        self._filled = False

    def fill(self) -> None:
        """List what there is, and keep the choice where it is still there."""
        chosen = self.combo.currentData()
        self.combo.blockSignals(True)
        self.combo.clear()
        for text, data in self.entries():
            self.combo.addItem(text, data)
        self.combo.setCurrentIndex(max(0, self.index_of(chosen)))
        self.combo.blockSignals(False)
        self._filled = True
        self._on_index()

    def entries(self) -> list[tuple[str, tuple[str, str]]]:
        """Texts and what they stand for."""
        from napari_anneal.inference import shipped_models

        session = [(name, (SESSION, name)) for name in session_models().names()]
        shipped = [(f"{name} (shipped)", (SHIPPED, name)) for name in shipped_models()]
        return [*session, *shipped, (self.from_disk, (DISK, ""))]

    def index_of(self, data: Any) -> int:
        """Where an entry is (by value: Qt compares tuples by identity), or -1."""
        return next((i for i in range(self.combo.count()) if self.combo.itemData(i) == data), -1)

    def setToolTip(self, text: str) -> None:
        """Put the tooltip on the parts."""
        self.combo.setToolTip(text)
        self.path.setToolTip(text)

    def value(self) -> Any:
        """A ``Model``, or what ``load_model`` takes (a shipped name, a path).

        Raises
        ------
        InputError
            Nothing is chosen.
        """
        kind, name = self.combo.currentData() or ("", "")
        if kind == SESSION:
            return session_models().get(name)
        if kind == DISK:
            text = self.path.text()
            if not text:
                raise InputError("No file is chosen: type the path of the model bundle, or browse for it with “…”.")
            path = Path(text).expanduser()
            return str(path.parent if path.name == "bundle.json" else path)
        if kind == SHIPPED:
            return name
        raise InputError("There is no model to choose yet; fine-tune one, or drop a model bundle on the viewer.")

    def _on_index(self, index: int = 0) -> None:
        self.path.setVisible((self.combo.currentData() or ("", ""))[0] == DISK)

    def _on_session(self, name: str) -> None:
        if not self._filled:
            return
        self.fill()
        self.newest(name)

    def newest(self, name: str) -> None:
        """Choose the model that has just come."""
        if name:
            self.combo.setCurrentIndex(self.index_of((SESSION, name)))


class StartChoice(ModelChoice):
    """Choose what a run starts from: a model, ImageNet weights, a weights file, or fresh weights."""

    tip = (
        "Weights to begin with. A shipped or earlier model needs the fewest painted pixels; ImageNet is the general "
        "start; scratch (fresh weights) is the control."
    )
    pattern = "Model bundle or weights (bundle.json *.zip *.safetensors *.pth *.pt)"
    from_disk = "bundle or weights file …"

    def entries(self) -> list[tuple[str, tuple[str, str]]]:
        """Models first, then ImageNet, a file, and scratch."""
        models = super().entries()
        shipped_first = sorted(models[:-1], key=lambda entry: entry[1][0] != SHIPPED)
        return [
            *shipped_first,
            ("ImageNet weights", (IMAGENET, "")),
            models[-1],
            ("scratch (fresh weights)", (SCRATCH, "")),
        ]

    def value(self) -> Any:
        """What ``fine_tune`` takes as ``start``."""
        kind = (self.combo.currentData() or (SCRATCH, ""))[0]
        if kind == SCRATCH:
            return None
        return "imagenet" if kind == IMAGENET else super().value()

    @property
    def value_is_scratch(self) -> bool:
        """Whether fresh weights are chosen."""
        return (self.combo.currentData() or ("", ""))[0] == SCRATCH

    def newest(self, name: str) -> None:
        """Leave the choice: the next run starts where this one did, not from its result."""
