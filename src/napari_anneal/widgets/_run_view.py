"""What is seen of a run while it goes: stages and curves, one line of figures, and sentences about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_anneal.widgets._controls_view import ControlsView, run_in_words
from napari_anneal.widgets._plots import Curves
from napari_anneal.widgets._run_buttons import RunButtons
from napari_anneal.widgets._status import RunBar, clock

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.widgets._order import Order

__all__ = ["RunView"]

# The line of figures changes this often at most: it is read, not watched.
CALM_S = 1.0


class RunView(QWidget):
    """Curves and read-outs of the run that goes, or of the last one.

    Parameters
    ----------
    viewer
        Where the watched slice is shown.
    bar
        Gets the progress and says how far the run is, and the buttons that steer it.

    Signals
    -------
    shown
        The curves are there to be looked at.
    """

    shown = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, bar: RunBar) -> None:
        super().__init__()
        self._viewer, self._bar = viewer, bar
        self.buttons = RunButtons(bar)
        self.curves = Curves()
        self.controls = ControlsView()
        self.controls.setVisible(False)
        self.figures = _line("Where the run is, how fast it goes (validations and pauses left out), and what it needs.")
        self.advice = _line("How noisy the gradients are, read off now and then (McCandlish et al. 2018).")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        # The curves take the height that is left, an empty stretch takes it while there are none.
        layout.addWidget(self.curves, 100)
        layout.addWidget(self.controls, 100)
        layout.addWidget(self.figures)
        layout.addWidget(self.advice)
        layout.addStretch(1)
        self.curves.setVisible(False)
        self.notices: list[str] = []
        self._order: Order | None = None
        self._classes: tuple[str, ...] = ()
        self._arrow = self._arrow_in_words = ""
        self._stages: tuple[tuple[str, int], ...] = ()
        self._stage = ""
        self._said_at = 0.0
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.shown)

    def begin(self, order: Order, notices: Sequence[str] = ()) -> None:
        """A run has been ordered; ``notices`` are what is known about it already."""
        self._order, self.notices = order, list(notices)
        self._arrow = self._arrow_in_words = ""
        self.controls.setVisible(False)
        self.controls.clear()
        self.buttons.begin(order.control)

    def listen(self, events: Sequence[Any]) -> None:
        """Show what the run told since the last time; all steps of a batch in one redraw."""
        steps = [e for e in events if type(e).__name__ == "StepDone"]
        seen = [e for e in events if type(e).__name__ == "Predicted"]
        for event in events:
            kind = type(event).__name__
            if kind == "PartStarted":
                self._next_run(event)
            elif kind == "RunStarted":
                self._started(event)
            elif kind == "StageStarted":
                self.curves.add_stage(event.name, event.first_step, event.steps)
                number = f"stage {event.index + 1} of {len(self._stages)}: " if len(self._stages) > 1 else ""
                self._stage, self._said_at = f"{number}{event.name}", 0.0
            elif kind == "EpochDone":
                self._epoch(event)
            elif kind == "NoiseScaleRead":
                self.advice.setText(event.sentence)
                self.advice.setVisible(True)
            elif kind == "Notice":
                self.notices.append(event.text)
        if steps:
            self.curves.add_steps([s.step for s in steps], [s.loss for s in steps])
            self._bar.advance(steps[-1].step, steps[-1].total_steps, steps[-1].seconds_left)
            self._say_figures(steps[-1])
        if seen:
            self._show_watched(seen[-1])

    def come_into_view(self) -> None:
        """Ask for being seen, once the form has given everything its place."""
        self._soon.start(0)

    def finish(self, done: Any) -> None:
        """The run, or the last of several, is over; of controls the comparison stays, not the last one's curves."""
        if not self.controls.isHidden():
            self.controls.show_result(done)
            self.curves.setVisible(len(done.runs) < 2)
            self.advice.setVisible(False)
        self.curves.finish()

    def end(self) -> None:
        """The run is over, with or without a result."""
        self.buttons.end()
        self.figures.setVisible(False)

    def _next_run(self, event: Any) -> None:
        """One of several runs begins: an arrow of a cascade, a run to compare with, or a fold."""
        compared = event.of == "comparison"
        self._arrow = event.name
        name = run_in_words(event.name) if compared else event.name
        self._arrow_in_words = f"Run {event.number} of {event.total} ({name}): "
        self.buttons.begin(event.control)
        self._bar.busy()
        self.controls.setVisible(compared)
        if compared:
            self.controls.begin(event.name)

    def _started(self, event: Any) -> None:
        self.curves.setVisible(True)
        self.come_into_view()
        self.figures.setVisible(False)
        self.advice.setVisible(False)
        self._stages, self._classes = event.stages, event.classes
        self.curves.reset(event.classes, self._colours, event.total_steps, event.stages)
        painted = f"{event.train_slices} painted slice(s), {event.validation_slices} held out"
        if self._order is not None and self._order.is_synthetic(self._arrow):
            painted = f"the synthetic stream, validated on {event.validation_slices} images held out"
        self._bar.say(f"{self._arrow_in_words}Training on {painted}, on {event.device} …")

    def _epoch(self, event: Any) -> None:
        self.curves.add_epoch(event.epoch, event.step, event.val_loss, event.val_dice, event.best)
        if not self.controls.isHidden():
            self.controls.add_epoch(event.step, event.val_loss, event.val_dice)
        scores = [d for d in event.val_dice if d == d]
        dice = f" · mean Dice {sum(scores) / len(scores):.2f}" if scores else ""
        if not self.buttons.steered:
            self._bar.say(
                f"{self._arrow_in_words}Epoch {event.epoch} of {event.total_epochs} · validation loss "
                f"{event.val_loss:.3f}{dice}"
            )

    @property
    def _colours(self) -> tuple[str, ...]:
        return self._order.colours_of(self._arrow)[: len(self._classes)] if self._order is not None else ()

    def _show_watched(self, event: Any) -> None:
        """The slice as the network of this epoch sees it; of controls there are only curves."""
        if not self.controls.isHidden() and self._arrow != "main":
            return
        if self._order is not None and self._order.watch is not None:
            self._order.watch.show(self._viewer, event.labels, event.epoch, self._classes, self._colours)

    def _say_figures(self, step: Any) -> None:
        """One line: stage, throughput, time of arrival, GPU memory."""
        now = time.monotonic()
        if now - self._said_at < CALM_S:
            return
        self._said_at = now
        parts = [self._stage, f"{step.patches_per_s:.3g} patches/s", arrival(step.seconds_left)]
        if step.gpu_bytes is not None:
            parts.append(f"GPU {step.gpu_bytes / 2**30:.1f} GiB")
        self.figures.setText("  ·  ".join(part for part in parts if part))
        self.figures.setVisible(True)


def arrival(seconds_left: float) -> str:
    """When the run will be over, if it goes to its end: how long for the next minutes, what time beyond."""
    if seconds_left < 10 * 60:
        return f"{clock(seconds_left)} left"
    return time.strftime("done about %H:%M", time.localtime(time.time() + seconds_left))


def _line(tip: str) -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setVisible(False)
    label.setToolTip(tip)
    return label
