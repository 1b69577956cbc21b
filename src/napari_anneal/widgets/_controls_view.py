"""A run and its controls: three curves in one plot, drawn as they are trained, and the figures of their best epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_anneal.widgets._compare_plot import RUN_COLOURS, ComparedCurves

if TYPE_CHECKING:
    from napari_anneal.training import ControlledRun
    from napari_anneal.training.control_runs import ControlScore

__all__ = ["ControlsView", "run_in_words"]


def run_in_words(name: str) -> str:
    """How people call a run of the comparison."""
    return {"main": "this run"}.get(name, name.replace("_", " "))


class ControlsView(QWidget):
    """Fills as the runs go; the table and a sentence come at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.curves = ComparedCurves("optimizer step")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.curves, 1)
        self.table = QLabel()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.table.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.said = QLabel()
        self.said.setWordWrap(True)
        for label in (self.table, self.said):
            label.setVisible(False)
            layout.addWidget(label)
        self._current = ""

    def clear(self) -> None:
        """No runs."""
        self.curves.clear()
        self.table.setVisible(False)
        self.said.setVisible(False)
        self._current = ""

    def begin(self, name: str) -> None:
        """A run of the comparison begins."""
        self._current = run_in_words(name)
        self.curves.show_run(self._current, [])

    def add_epoch(self, step: int, val_loss: float, val_dice: Sequence[float]) -> None:
        """What the run that goes was found to do after an epoch."""
        seen = [dice for dice in val_dice if not math.isnan(dice)]
        point = (float(step), val_loss, sum(seen) / len(seen) if seen else math.nan)
        self.curves.show_run(self._current, [*self.curves.points(self._current), point])

    def show_result(self, done: ControlledRun) -> None:
        """All are over: their curves from beginning to end, and a table of their best epochs, and what they say."""
        self.clear()
        for name, curve in done.curves().items():
            self.curves.show_run(run_in_words(name), [tuple(point) for point in curve.tolist()])
        self.table.setText(table_of_scores(done))
        self.table.setVisible(True)
        self.said.setText(done.sentence)
        self.said.setVisible(bool(done.sentence))


def table_of_scores(done: ControlledRun) -> str:
    """The best epoch of every run as an HTML table, each run in the colour of its curve."""
    rows = "".join(
        f"<tr><td style='color: {RUN_COLOURS[number]}'>{run_in_words(name)}&nbsp;</td>"
        + "".join(f"<td align='right'>&nbsp;&nbsp;{figure}</td>" for figure in figures(done.scores.get(name)))
        + "</tr>"
        for number, name in enumerate(done.runs)
    )
    heads = "".join(f"<td align='right'>&nbsp;&nbsp;{head}</td>" for head in ("mean Dice", "val. loss", "best epoch"))
    return f"<table><tr><td></td>{heads}</tr>{rows}</table>"


def figures(score: ControlScore | None) -> tuple[str, ...]:
    """Mean Dice, validation loss and number of the best epoch."""
    if score is None:
        return ("–", "–", "–")
    return ("–" if math.isnan(score.dice) else f"{score.dice:.3f}", f"{score.val_loss:.4f}", str(score.epoch))
