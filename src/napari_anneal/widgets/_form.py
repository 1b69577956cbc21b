"""What all forms are made of: fields in a scrolling column, folded extras, and the run bar at the foot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QLabel,
    QLayout,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_anneal.errors import AnnealError, InputError
from napari_anneal.widgets._status import RunBar
from napari_anneal.widgets._worker import Job, sentence, stop_with_application

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["Form", "WrappedLabel", "empty", "fold", "form_layout", "shrinkable"]

EDGE = 9
# The greatest height that Qt knows.
UNLIMITED = (1 << 24) - 1
BUSY = "This form is busy; wait for its end or press Cancel, then press again."


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """Label and field side by side, or below each other where the dock is too narrow for both."""
    layout = QFormLayout(parent) if parent is not None else QFormLayout()
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(6)
    return layout


def fold(title: str, content: QWidget, tip: str = "") -> QCollapsible:
    """A titled section, closed at first."""
    section = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
    section.layout().setContentsMargins(0, 0, 0, 0)
    section.addWidget(content)
    section.collapse(animate=False)
    section.setDuration(0)
    # An open section would be held at the height its content wished for then: wrapped text and rows that appear later
    # would be cut off, and what takes the height that is left squeezed.
    content.removeEventFilter(section)
    section.toggled.connect(lambda is_open: section.content().setMaximumHeight(UNLIMITED if is_open else 0))
    section.toggleButton().setToolTip(tip)
    return section


class WrappedLabel(QLabel):
    """Text that wraps, as high as it is at the width it has.

    A plain label tells a layout that its height follows from its width; inside folds in a scroll area such layouts then
    ask for too little, and neighbours such as the axis of a plot are covered.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def setText(self, text: str) -> None:
        """Show another text."""
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        height = self.heightForWidth(max(1, self.width()))
        if height > 0:
            self.setFixedHeight(height)


def shrinkable(combo: QComboBox) -> QComboBox:
    """A combo box that a long layer name cannot make wider than the dock."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def empty(layout: QLayout) -> None:
    """Take everything out of a layout, for good."""
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.hide()  # deleted only later, and seen until then
            widget.deleteLater()


class Form(QWidget):
    """Base of the six forms.

    A subclass fills ``self.fields`` (and ``self.body`` below it), connects ``self.bar.started``, and calls
    :meth:`launch` with the work to do; the base keeps the buttons, the progress and the status line right whatever
    happens, and stops the work when the form goes away.
    """

    def __init__(self, viewer: napari.viewer.Viewer, label: str, tip: str) -> None:
        super().__init__()
        self.viewer = viewer
        self.bar = RunBar(label, tip)
        self.job = Job(self)
        self._on_done: Callable[[Any], None] = lambda value: None
        self.job.done.connect(self._finish)
        self.job.failed.connect(lambda text: self.bar.say(text, "bad"))
        self.job.ended.connect(self._over)
        self.bar.cancelled.connect(self.job.cancel)
        inner = QWidget()
        inner.setObjectName("form body")
        self.body = QVBoxLayout(inner)
        self.body.setContentsMargins(EDGE, EDGE, EDGE, 0)
        self.fields = form_layout()
        # The few fields in view have short labels; only the folded ones need to wrap in a narrow dock.
        self.fields.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        self.body.addLayout(self.fields)
        self.scroll = scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        # The form may be narrower than its parts like: they wrap or shrink, nothing scrolls sideways.
        scroll.setMinimumWidth(260)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll, 1)
        self.bar.setContentsMargins(EDGE, 0, EDGE, EDGE)
        layout.addWidget(self.bar)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        stop_with_application()

    def sizeHint(self) -> QSize:
        """About 400 pixels wide, as a dock beside the canvas is."""
        return QSize(400, 620)

    def row(self, label: str, field: Any, tip: str) -> None:
        """Add one labelled field with its tooltip on both the label and the field."""
        caption = QLabel(label)
        caption.setToolTip(tip)
        caption.setWordWrap(False)
        if isinstance(field, QWidget):
            field.setToolTip(tip)
        self.fields.addRow(caption, field)

    def launch(
        self,
        work: Callable[[Callable[[Any], None], threading.Event], Any],
        on_done: Callable[[Any], None],
        saying: str,
    ) -> None:
        """Run ``work(report, cancel)`` off the GUI thread, then ``on_done(value)`` on it.

        Raises
        ------
        InputError
            A job of this form is running: its end still belongs to whoever started it.
        """
        if self.job.running:
            raise InputError(BUSY)
        self._on_done = on_done
        self.bar.begin(saying)
        self.job.start(work, type(self).__name__)

    def guarded(self, action: Callable[[], None]) -> None:
        """Do something on the GUI thread; an error becomes the status line, and the form stays usable."""
        try:
            action()
        except AnnealError as error:
            self.bar.say(str(error), "bad")
        except Exception as error:
            self.bar.say(sentence(error), "bad")

    def _finish(self, value: Any) -> None:
        self.guarded(lambda: self._on_done(value))

    def _over(self) -> None:
        self._on_done = lambda value: None
        self.bar.end()

    def event(self, event: QEvent) -> bool:
        """Cancel the work when the form is taken out of its dock (the ✕ of the dock, or the viewer closing)."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.stop()
        return bool(super().event(event))

    def stop(self) -> None:
        """Cancel the work, and wait for its thread: the form is going."""
        self.job.stop()
