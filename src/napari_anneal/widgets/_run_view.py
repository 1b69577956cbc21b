"""What is seen of a run while it goes: its curves, and sentences about it; it listens to the events of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_anneal.widgets._plots import Curves
from napari_anneal.widgets._status import RunBar

__all__ = ["RunView"]


class RunView(QWidget):
    """Curves and read-outs of the run that goes, or of the last one.

    Parameters
    ----------
    bar
        Gets the progress and says how far the run is.
    """

    def __init__(self, bar: RunBar) -> None:
        super().__init__()
        self._bar = bar
        self.curves = Curves()
        self.curves.setVisible(False)
        self.advice = QLabel()
        self.advice.setWordWrap(True)
        self.advice.setVisible(False)
        self.advice.setToolTip("How noisy the gradients are, read off now and then (McCandlish et al. 2018).")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        # The curves take the height that is left, an empty stretch takes it while there are none.
        layout.addWidget(self.curves, 100)
        layout.addWidget(self.advice)
        layout.addStretch(1)
        self.notices: list[str] = []
        self._colours: tuple[str, ...] = ()
        self._synthetic = False

    def begin(self, colours: Sequence[str], synthetic: bool, notices: Sequence[str] = ()) -> None:
        """A run has been ordered: its class colours, whether it learns from a stream, and what is known already."""
        self._colours, self._synthetic, self.notices = tuple(colours), synthetic, list(notices)

    def listen(self, events: Sequence[Any]) -> None:
        """Show what the run told since the last time; all steps of a batch in one redraw."""
        steps = [e for e in events if type(e).__name__ == "StepDone"]
        for event in events:
            kind = type(event).__name__
            if kind == "RunStarted":
                self._started(event)
            elif kind == "StageStarted":
                self.curves.add_stage(event.name, event.first_step)
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

    def finish(self, run: Any) -> None:
        """The run is over."""
        self.curves.finish(run.history[-1]["step"] if run.history else 1)

    def _started(self, event: Any) -> None:
        self.curves.setVisible(True)
        self.advice.setVisible(False)
        self.curves.reset(event.classes, self._colours[: len(event.classes)], event.total_steps)
        painted = f"{event.train_slices} painted slice(s), {event.validation_slices} held out"
        if self._synthetic:
            painted = f"the synthetic stream, validated on {event.validation_slices} images held out"
        self._bar.say(f"Training on {painted}, on {event.device} …")

    def _epoch(self, event: Any) -> None:
        self.curves.add_epoch(event.step, event.val_loss, event.val_dice, event.best)
        scores = [d for d in event.val_dice if d == d]
        dice = f" · mean Dice {sum(scores) / len(scores):.2f}" if scores else ""
        self._bar.say(
            f"{event.stage}: epoch {event.epoch} of {event.total_epochs} · validation loss {event.val_loss:.3f}{dice}"
        )
