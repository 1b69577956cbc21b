"""The rows of *Fine-tune*: an Image layer, the Labels layer painted on it, and the specimen both come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import group_of, is_made

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image, Labels

__all__ = ["Pair", "Pairs", "matching_image", "painted_pairs"]

GROUP_TIP = (
    "Specimen, microscope day or batch the image comes from. Images of one group never end up on both sides of the "
    "split between training and validation. Taken from Grouped split where it was assigned there."
)


@dataclass(frozen=True)
class Pair:
    """What one row says now."""

    image: Any
    labels: Any
    group: str


def spatial_shape(layer: Any) -> tuple[int, ...]:
    """Shape of a layer at its finest level, without the colour axis."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return tuple(data.shape[:-1] if getattr(layer, "rgb", False) else data.shape)


def matching_image(viewer: napari.viewer.Viewer, labels: Labels) -> Image | None:
    """The Image layer that a Labels layer was most likely painted on.

    Of the images of the same shape the one whose name the labels' name begins with, else the nearest one below.
    """
    from napari.layers import Image

    layers = list(viewer.layers)
    place = layers.index(labels)
    images = [a for a in layers if isinstance(a, Image) and not is_made(a)]
    fitting = [a for a in images if spatial_shape(a) == tuple(labels.data.shape)]
    named = [a for a in fitting if labels.name.startswith(a.name) or a.name.startswith(labels.name)]
    below = [a for a in fitting if layers.index(a) < place]
    candidates = sorted(named, key=lambda a: -len(a.name)) or below[::-1] or fitting
    return candidates[0] if candidates else None


def painted_pairs(viewer: napari.viewer.Viewer) -> list[Pair]:
    """Every Labels layer that a person painted, with its image, from the lowest up."""
    from napari.layers import Labels

    painted = [layer for layer in viewer.layers if isinstance(layer, Labels) and not is_made(layer)]
    found = [(matching_image(viewer, labels), labels) for labels in painted]
    return [Pair(image, labels, group_of(image)) for image, labels in found if image is not None]


class Row(QWidget):
    """One pair: two layer choices, a group, and a button that removes the row."""

    changed = Signal()
    removed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Image, Labels

        super().__init__()
        self.image = LayerChoice(viewer, (Image,))
        self.image.setToolTip("The image, 2D or a stack.")
        self.labels = LayerChoice(viewer, (Labels,))
        self.labels.setToolTip("What was painted on it: 0 is not painted and ignored, 1, 2, … are the classes.")
        self.group = QLineEdit()
        self.group.setPlaceholderText("group")
        self.group.setToolTip(GROUP_TIP)
        self.group.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.group.setMinimumWidth(48)
        self.group.setMaximumWidth(110)
        remove = QPushButton("✕")
        remove.setFixedWidth(24)
        remove.setToolTip("Take this pair out of the list (the layers stay).")
        remove.clicked.connect(self.removed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for widget, stretch in ((self.image, 4), (self.labels, 4), (self.group, 2), (remove, 0)):
            layout.addWidget(widget, stretch)
        self._group_edited = False
        self.group.textEdited.connect(self._on_group_edited)
        self.group.editingFinished.connect(self.changed)
        self.image.layer_changed.connect(self._on_image)
        self.labels.layer_changed.connect(self._on_labels)
        self._on_labels()
        self._on_image()

    @property
    def pair(self) -> Pair:
        """What the row says."""
        return Pair(self.image.layer, self.labels.layer, self.group.text().strip())

    def take_group_from_layer(self) -> None:
        """Show the group that was assigned to the image, unless another one was typed here."""
        layer = self.image.layer
        if layer is not None and not self._group_edited:
            self.group.setText(group_of(layer))

    def _on_group_edited(self) -> None:
        self._group_edited = bool(self.group.text())

    def _on_image(self) -> None:
        self.take_group_from_layer()
        self.changed.emit()

    def _on_labels(self) -> None:
        labels = self.labels.layer
        image = None if labels is None else matching_image(self.image._viewer, labels)
        if image is not None:
            self.image.choose(image)
        self.changed.emit()


class Pairs(QWidget):
    """A list of rows with buttons to add one, or one for each Labels layer of the viewer.

    Signals
    -------
    changed
        A row came or went, or another layer was chosen in one.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.rows: list[Row] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        caption = QLabel("Image  ·  painted labels  ·  group")
        caption.setToolTip("Several pairs train together; the model sees patches of all of them.")
        layout.addWidget(caption)
        self._list = QVBoxLayout()
        self._list.setSpacing(3)
        layout.addLayout(self._list)
        buttons = QHBoxLayout()
        for text, tip, action in (
            ("+ pair", "Add another image with labels.", self.add),
            ("+ all labels layers", "One row for each Labels layer that has an image of its shape.", self.add_all),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, action=action: action())
            buttons.addWidget(button)
        layout.addLayout(buttons)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.add()

    @property
    def pairs(self) -> list[Pair]:
        """What the rows say, top to bottom."""
        return [row.pair for row in self.rows]

    def add(self, labels: Labels | None = None) -> Row:
        """Add a row, for ``labels`` or for the first Labels layer that no row has yet."""
        from napari.layers import Labels

        taken = [row.labels.layer for row in self.rows]
        row = Row(self._viewer)
        free = [a for a in reversed(self._viewer.layers) if isinstance(a, Labels) and a not in taken and not is_made(a)]
        row.labels.choose(labels or (free[0] if free else None))
        row.changed.connect(self.changed)
        row.removed.connect(lambda: self.remove(row))
        self.rows.append(row)
        self._list.addWidget(row)
        self.changed.emit()
        return row

    def add_all(self) -> None:
        """One row for each Labels layer with a matching image; rows without layers go."""
        wanted = [pair.labels for pair in painted_pairs(self._viewer)]
        for row in list(self.rows):
            if row.labels.layer is None or row.image.layer is None:
                self.remove(row)
        for labels in wanted:
            if all(row.labels.layer is not labels for row in self.rows):
                self.add(labels)
        if not self.rows:
            self.add()

    def show_only(self, pairs: Sequence[tuple[Image, Labels]]) -> None:
        """One row for each of these pairs, and no other."""
        for row in list(self.rows):
            self.remove(row)
        for image, labels in pairs:
            row = self.add(labels)
            row.image.choose(image)

    def remove(self, row: Row) -> None:
        """Take a row out."""
        self.rows.remove(row)
        self._list.removeWidget(row)
        row.setParent(None)
        row.deleteLater()
        self.changed.emit()

    def refresh_groups(self) -> None:
        """Look again which groups the layers remember."""
        for row in self.rows:
            row.take_group_from_layer()
