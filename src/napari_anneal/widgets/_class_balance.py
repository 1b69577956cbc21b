"""How the classes are shared out: for every fold, a bar for what trains and one for what validates."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QRect, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_anneal.widgets._fold_matrix import GROUP_COLOURS

__all__ = ["ClassBalance"]

ROW_PX, HEAD_PX, LABEL_PX, GAP_PX = 18, 20, 30, 8
LACKING = QColor("#ff8a65")


class ClassBalance(QWidget):
    """Bars of painted pixels by class, each class in its colour; a frame marks a bar that lacks a class."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels: tuple[Any, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def show_report(self, report: Any) -> None:
        """Show what the folds of a split's report hold."""
        self.pixels = report.pixels
        self.setVisible(bool(self.pixels))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as there is room, a row a fold."""
        return QSize(300, HEAD_PX + ROW_PX * len(self.pixels) + 4)

    def lacking(self, fold: int, side: int) -> tuple[int, ...]:
        """Classes (from 1) that are painted somewhere but not on this side (0 train, 1 validation) of a fold."""
        row = self.pixels[fold]
        return tuple(k + 1 for k in range(len(row[0])) if not row[side][k] and row[1 - side][k])

    def _bars(self) -> list[tuple[QRect, int, int]]:
        width = (self.width() - LABEL_PX - GAP_PX) // 2
        return [
            (
                QRect(LABEL_PX + side * (width + GAP_PX), HEAD_PX + fold * ROW_PX, width, ROW_PX - 5),
                fold,
                side,
            )
            for fold in range(len(self.pixels))
            for side in (0, 1)
        ]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars."""
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        for bar, fold, side in self._bars():
            if fold == 0:
                head = "trains" if side == 0 else "validates"
                painter.drawText(bar.translated(0, -HEAD_PX), Qt.AlignmentFlag.AlignLeft, head)
            if side == 0:
                place = QRect(0, bar.top() - 1, LABEL_PX - 4, bar.height() + 2)
                painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, str(fold + 1))
            counts = self.pixels[fold][side]
            total, left = sum(counts) or 1, 0
            for k, count in enumerate(counts):
                right = round(sum(counts[: k + 1]) / total * bar.width())
                if count:
                    # A rare class is still seen: one pixel at least.
                    painter.fillRect(
                        QRect(bar.left() + left, bar.top(), max(1, right - left), bar.height()),
                        QColor(GROUP_COLOURS[k % len(GROUP_COLOURS)]),
                    )
                left = right
            if self.lacking(fold, side):
                pen = painter.pen()
                painter.setPen(QPen(LACKING, 2))
                painter.drawRect(bar)
                painter.setPen(pen)
        painter.end()

    def told(self, fold: int, side: int) -> str:
        """The numbers of a bar in words."""
        counts = self.pixels[fold][side]
        total = sum(counts) or 1
        parts = ", ".join(f"class {k}: {count} px ({count / total:.1%})" for k, count in enumerate(counts, start=1))
        return f"Fold {fold + 1}, {'validation' if side else 'training'}: {parts}"

    def event(self, event: QEvent) -> bool:
        """The numbers of a bar in its tooltip."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            for bar, fold, side in self._bars():
                if bar.contains(event.pos()):
                    QToolTip.showText(event.globalPos(), self.told(fold, side), self)
                    return True
            QToolTip.hideText()
            return True
        return bool(super().event(event))
