"""*Noise of your detector*: measure it, see a real patch beside a simulated one, take its ranges over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.widgets._chosen_pairs import free_images
from napari_anneal.widgets._form import WrappedLabel, shrinkable
from napari_anneal.widgets._layers import slice_in_view, snapshot
from napari_anneal.widgets._noise_match import SIDE, Measured, NoiseOrder, Picture, Plane
from napari_anneal.widgets._status import COLOURS

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["THIS", "NoisePanel", "noise_order"]

THIS, ALL = "this", "all"
# Screen pixels for a pixel of the patches: noise is a matter of single pixels.
ZOOM = 2
MOST_LINES = 4


class NoisePanel(QWidget):
    """A button that asks for the measurement, and what was found.

    Signals
    -------
    asked
        Measure the noise of the images chosen.
    accepted : dict
        Fields of the recipe to take over, and what they are called.
    """

    asked = Signal()
    accepted = Signal(dict)

    def __init__(self) -> None:
        super().__init__()
        self.which = shrinkable(QComboBox())
        self.which.addItem("this image", THIS)
        self.which.addItem("all images", ALL)
        self.which.setToolTip("The image chosen above, or every image of the viewer but gold; of a stack, one slice.")
        self.measure = QPushButton("Measure")
        self.measure.setToolTip(
            "Shot and read noise from the flat places (photon-transfer curve), the blur from the edges. Best on images "
            "as they came from the detector, not filtered or resized."
        )
        self.measure.clicked.connect(self.asked)
        head = QHBoxLayout()
        head.addWidget(self.which, 1)
        head.addWidget(self.measure, 1)
        self.says, self.remarks, self.suggestion = WrappedLabel(), WrappedLabel(), WrappedLabel()
        self.suggestion.setStyleSheet(f"color: {COLOURS['bad']};")
        self.sides = (QLabel(), QLabel())
        patches = QGridLayout()
        for column, (side, text) in enumerate(zip(self.sides, ("your image", "simulated"), strict=True)):
            caption = QLabel(text)
            for row, label in enumerate((side, caption)):
                label.setAlignment(Qt.AlignmentFlag.AlignLeft if column else Qt.AlignmentFlag.AlignRight)
                label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                patches.addWidget(label, row, column)
            side.setToolTip(
                f"{SIDE} px of the image, and the same place with its noise taken off and the measured noise put on; "
                "both on one grey scale. They should be hard to tell apart."
            )
        self.accept = QPushButton("Use this noise in the recipe")
        self.accept.setToolTip("Set read noise, shot noise and blur of the recipe to the ranges measured.")
        self.accept.clicked.connect(lambda: self._take(self.found and self.found.noise.settings))
        self.switch_on = QPushButton("Switch on Poisson noise")
        self.switch_on.setToolTip("Set shot noise of the recipe to what the suggestion says, and leave all else.")
        self.switch_on.clicked.connect(self._take_low_dose)
        self._shown = QWidget()
        column = QVBoxLayout(self._shown)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.says)
        column.addLayout(patches)
        for part in (self.suggestion, self.switch_on, self.remarks, self.accept):
            column.addWidget(part)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(head)
        layout.addWidget(self._shown)
        self.found: Measured | None = None
        self._shown.setVisible(False)

    def offer(self, count: int) -> None:
        """Say how many images there are."""
        self.which.setItemText(1, f"all {count} images" if count > 1 else "all images")

    def show_measured(self, found: Measured) -> None:
        """Show what was found."""
        self.found = found
        noise = found.noise
        more = len(found.lines) - MOST_LINES
        lines = [*found.lines[:MOST_LINES], *([f"… and {more} more."] if more > 0 else [])]
        blur = next((b.sentence for b in noise.blurs if b.sigma_px is not None), "")
        spread = [f"Blur: {blur}."] if blur else []
        self.says.setText("\n".join([*lines, *spread, f"To draw from: {noise}."]))
        low, high = (float(n) for n in np.percentile(found.real, (0.5, 99.5)))
        for side, picture in zip(self.sides, (found.real, found.simulated), strict=True):
            side.setPixmap(pixmap(picture, low, high))
        self.suggestion.setText(noise.suggestion or "")
        for part in (self.suggestion, self.switch_on):
            part.setVisible(noise.suggestion is not None)
        self.remarks.setText("\n".join(noise.remarks))
        self.remarks.setVisible(bool(noise.remarks))
        self._shown.setVisible(True)

    def _take(self, settings: dict[str, Any] | None) -> None:
        if settings:
            self.accepted.emit(settings)

    def _take_low_dose(self) -> None:
        from napari_anneal.augmentation import low_dose

        low = None if self.found is None else low_dose(self.found.noise.measured)
        self._take(None if low is None else low.settings)


def noise_order(viewer: napari.viewer.Viewer, image: Any, labels: Any, every: bool) -> NoiseOrder:
    """What to measure: an image, or every one of the viewer but gold, that one first; of a stack one slice.

    Raises
    ------
    InputError
        There is no image, or it is gold: what is measured decides what a network is trained on.
    """
    planes = []
    for layer in free_images(viewer, image, every):
        shot = snapshot(layer, copy=False)
        z = slice_in_view(viewer, layer) if shot.is_stack else None
        paint = labels.data if layer is image and labels is not None and not getattr(labels, "multiscale", 0) else None
        if paint is not None and tuple(paint.shape) != tuple(shot.data.shape[: len(shot.spacing)]):
            paint = None
        pixels = shot.data if z is None else shot.data[z]
        planes.append(Plane(shot.name, pixels, paint if z is None or paint is None else paint[z]))
    return NoiseOrder(tuple(planes))


def pixmap(picture: Picture, low: float, high: float) -> QPixmap:
    """A patch ``(Y, X)`` or ``(Y, X, 3)``, black at ``low`` and white at ``high``, enlarged without smoothing."""
    span = max(high - low, 1e-6)
    grey = np.clip(255 * (picture - low) / span, 0, 255).astype(np.uint8)
    pixels = np.ascontiguousarray(grey if grey.ndim == 3 else np.repeat(grey[..., np.newaxis], 3, axis=2))
    height, width = pixels.shape[:2]
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    return QPixmap.fromImage(image).scaled(QSize(ZOOM * width, ZOOM * height))
