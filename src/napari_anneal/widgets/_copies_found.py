"""Copies of one image in different groups, two by two: the same place outlined in both, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.samples.sample import Sample

__all__ = ["CopiesFound", "CopyPicture", "copy_pictures"]

SIDE_PX = 150
MOST = 50
OUTLINE = QColor("#ffd54f")


@dataclass(frozen=True)
class CopyPicture:
    """Two thumbnails, grey uint8; ``windows`` are what they have in common, (top, left, height, width) in 0…1."""

    pictures: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
    windows: tuple[tuple[float, float, float, float], tuple[float, float, float, float]]
    names: tuple[str, str]
    sentence: str


def copy_pictures(samples: Sequence[Sample], copies: Sequence[Any]) -> list[CopyPicture]:
    """Draw the copies of different groups (at most 50); the first image is turned as the second one is."""
    from napari_anneal.validation.leakage import group_key
    from napari_anneal.validation.leakage.motion import windows
    from napari_anneal.validation.leakage.planes import Plane, grey
    from napari_anneal.validation.leakage.symmetry import transform

    names = [sample.name or f"image {i}" for i, sample in enumerate(samples, start=1)]
    found = []
    apart = [c for c in copies if group_key(samples, c.first) != group_key(samples, c.second)]
    for copy in apart[:MOST]:
        first, second = (
            grey(samples[i], Plane(i, z)) for i, z in zip((copy.first, copy.second), copy.slices, strict=True)
        )
        first = transform(first, copy.symmetry)
        places = windows(first.shape, second.shape, copy.shift)
        found.append(
            CopyPicture(
                (_thumbnail(first), _thumbnail(second)),
                (_share(places[0], first.shape), _share(places[1], second.shape)),
                (names[copy.first], names[copy.second]),
                copy.sentence(names),
            )
        )
    return found


class CopiesFound(QWidget):
    """Shows one pair at a time; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[CopyPicture] = []
        self.at = 0
        self.title, self.says = QLabel(), QLabel()
        self.says.setWordWrap(True)
        for label in (self.title, self.says):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.back, self.on = QPushButton("‹"), QPushButton("›")
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        for button, step, tip in ((self.back, -1, "The pair before"), (self.on, 1, "The next pair")):
            button.setFixedWidth(28)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, step=step: self.show_pair(self.at + step))
            head.addWidget(button)
        self.sides, self.captions = (QLabel(), QLabel()), (QLabel(), QLabel())
        pair = QGridLayout()
        for column, (side, caption) in enumerate(zip(self.sides, self.captions, strict=True)):
            for row, label in enumerate((side, caption)):
                label.setAlignment(Qt.AlignmentFlag.AlignCenter)
                label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                pair.addWidget(label, row, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addLayout(head)
        layout.addLayout(pair)
        layout.addWidget(self.says)
        self.setVisible(False)

    def show_copies(self, pictures: list[CopyPicture]) -> None:
        """Show these pairs, the first one first."""
        self.pictures = pictures
        self.setVisible(bool(pictures))
        if pictures:
            self.show_pair(0)

    def show_pair(self, number: int) -> None:
        """Show pair ``number``."""
        self.at = max(0, min(number, len(self.pictures) - 1))
        shown = self.pictures[self.at]
        many = f" ({self.at + 1} of {len(self.pictures)})" if len(self.pictures) > 1 else ""
        self.title.setText(f"The same place in two groups{many}")
        self.says.setText(shown.sentence)
        self.back.setEnabled(self.at > 0)
        self.on.setEnabled(self.at < len(self.pictures) - 1)
        for number, (side, caption) in enumerate(zip(self.sides, self.captions, strict=True)):
            side.setPixmap(_drawn(shown.pictures[number], shown.windows[number]))
            side.setToolTip(shown.names[number])
            room = max(SIDE_PX, self.width() // 2 - 12)
            caption.setText(caption.fontMetrics().elidedText(shown.names[number], Qt.TextElideMode.ElideMiddle, room))


def _thumbnail(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    import cv2

    low, high = np.percentile(image[:: max(1, image.shape[0] // 512), :: max(1, image.shape[1] // 512)], (2, 98))
    scale = SIDE_PX / max(image.shape)
    size = tuple(max(1, round(n * scale)) for n in image.shape[::-1])
    small = cv2.resize(
        np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    return np.clip(255 * (small - low) / max(high - low, 1e-12), 0, 255).astype(np.uint8)


def _share(place: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    (rows, columns), (height, width) = place, shape
    return (
        rows.start / height,
        columns.start / width,
        (rows.stop - rows.start) / height,
        (columns.stop - columns.start) / width,
    )


def _drawn(picture: npt.NDArray[np.uint8], window: tuple[float, float, float, float]) -> QPixmap:
    height, width = picture.shape
    data = np.ascontiguousarray(picture)
    pixmap = QPixmap.fromImage(QImage(data.data, width, height, width, QImage.Format.Format_Grayscale8).copy())
    painter = QPainter(pixmap)
    painter.setPen(QPen(OUTLINE, 2))
    top, left, tall, wide = window
    painter.drawRect(
        QRect(round(left * width) + 1, round(top * height) + 1, round(wide * width) - 2, round(tall * height) - 2)
    )
    painter.end()
    return pixmap
