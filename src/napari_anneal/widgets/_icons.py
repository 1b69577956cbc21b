"""Small icons for what can be done to a run, or is wrong, drawn here: signs of fonts may be missing, or coloured."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF

__all__ = ["run_icon"]

SIDE = 32  # drawn at twice the size that buttons show, for screens of high density
# Legible on the dark and on the light theme.
BLUE, GREEN, ORANGE = "#6fa8ff", "#4caf7d", "#ff8a65"


def run_icon(name: str) -> QIcon:
    """Icon called ``"pause"``, ``"go on"``, ``"finish"``, ``"cancel"`` or ``"warning"``; grey where a button is off."""
    colour, draw = SIGNS[name]
    pixmap = QPixmap(SIDE, SIDE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    draw(painter, QColor(colour))
    painter.end()
    return QIcon(pixmap)


def _pause(painter: QPainter, colour: QColor) -> None:
    for left in (7, 19):
        painter.drawRect(QRectF(left, 5, 6, 22))


def _go_on(painter: QPainter, colour: QColor) -> None:
    painter.drawPolygon(QPolygonF([QPointF(8, 4), QPointF(27, 16), QPointF(8, 28)]))


def _finish(painter: QPainter, colour: QColor) -> None:
    """A flag: the end, reached early."""
    painter.drawRect(QRectF(6, 4, 3, 25))
    painter.drawPolygon(QPolygonF([QPointF(9, 4), QPointF(28, 10), QPointF(9, 17)]))


def _cancel(painter: QPainter, colour: QColor) -> None:
    painter.setPen(QPen(colour, 5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawLine(QPointF(7, 7), QPointF(25, 25))
    painter.drawLine(QPointF(25, 7), QPointF(7, 25))


def _warning(painter: QPainter, colour: QColor) -> None:
    painter.drawPolygon(QPolygonF([QPointF(16, 3), QPointF(30, 28), QPointF(2, 28)]))
    painter.setBrush(QColor("#26272b"))
    painter.drawRect(QRectF(14.5, 12, 3, 8))
    painter.drawRect(QRectF(14.5, 22, 3, 3))


SIGNS: dict[str, tuple[str, Callable[[QPainter, QColor], None]]] = {
    "pause": (BLUE, _pause),
    "go on": (GREEN, _go_on),
    "finish": (GREEN, _finish),
    "cancel": (ORANGE, _cancel),
    "warning": (ORANGE, _warning),
}
