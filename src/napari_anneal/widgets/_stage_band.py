"""A band over the curves: the stages of the recipe side by side, as long as they take, the current one lit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

__all__ = ["STAGE_COLOURS", "Span", "StageBand"]

STAGE_COLOURS = ("#5b8ff9", "#f6bd16", "#5ad8a6", "#e8684a", "#9270ca")
HEIGHT = 18
GREY = "#9a9a9a"


@dataclass
class Span:
    """One stage: optimizer steps ``first`` to ``last``."""

    name: str
    first: float
    last: float


class StageBand(QWidget):
    """Stages over the same axis as the curves below.

    Parameters
    ----------
    to_pixel
        Where an optimizer step lies, in pixels from the left edge.
    """

    def __init__(self, to_pixel: Callable[[float], float]) -> None:
        super().__init__()
        self._to_pixel = to_pixel
        self.spans: list[Span] = []
        self.current = -1
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As high as a line of small text."""
        return QSize(100, HEIGHT)

    def reset(self, spans: list[Span]) -> None:
        """Show the stages as planned, none of them current."""
        self.spans, self.current = spans, -1
        self.update()

    def enter(self, index: int, name: str, first: float, last: float) -> None:
        """A stage begins: it is the current one, the one before ended there, and those to come follow it."""
        if index < len(self.spans):
            later = last - self.spans[index].last
            for span in self.spans[index + 1 :]:
                span.first += later
                span.last += later
            self.spans[index] = Span(name, first, last)
        else:
            self.spans.append(Span(name, first, last))
        if index > 0:
            self.spans[index - 1].last = first
        self.current = index
        self.update()

    def finish(self, last: float) -> None:
        """The run is over at this step: no stage is current any more."""
        if self.spans:
            self.spans[max(self.current, 0)].last = last
            del self.spans[max(self.current, 0) + 1 :]
        self.current = -1
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the spans, each with its name if there is room for it."""
        painter = QPainter(self)
        font = painter.font()
        font.setPointSizeF(8)
        for index, span in enumerate(self.spans):
            box = self._box(span)
            lit = index == self.current
            colour = QColor(STAGE_COLOURS[index % len(STAGE_COLOURS)])
            colour.setAlphaF(0.85 if lit else 0.28)
            painter.fillRect(box, colour)
            font.setBold(lit)
            painter.setFont(font)
            painter.setPen(QColor("#101010" if lit else GREY))
            inside = box.adjusted(3, 0, -2, 0)
            text = painter.fontMetrics().elidedText(span.name, Qt.TextElideMode.ElideRight, int(inside.width()))
            if len(text) > 1 or text == span.name:
                painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.end()

    def event(self, event: QEvent) -> bool:
        """Say the whole name of the stage under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            for index, span in enumerate(self.spans):
                if self._box(span).contains(event.pos().x(), HEIGHT / 2):
                    now = " (now)" if index == self.current else ""
                    text = f"Stage {index + 1}: {span.name}{now}, steps {span.first:.0f} to {span.last:.0f}"
                    QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def _box(self, span: Span) -> QRectF:
        left, right = self._to_pixel(span.first), self._to_pixel(span.last)
        return QRectF(left, 0, max(1.0, right - left - 1), HEIGHT)
