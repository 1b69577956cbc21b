"""A run and its controls: three curves in one plot, drawn as they are trained, and the figures of their best epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_anneal.widgets._compare_plot import ComparedCurves
from napari_anneal.widgets._compare_window import table_of

if TYPE_CHECKING:
    from napari_anneal.training import ControlledRun

__all__ = ["ControlsView", "run_in_words"]


def run_in_words(name: str) -> str:
    """How people call a run of the comparison."""
    return {"main": "this run"}.get(name, name.replace("_", " "))


class ControlsView(QWidget):
    """Fills as the runs go; the table comes at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.curves = ComparedCurves("optimizer step")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.curves, 1)
        self.table: QWidget | None = None
        self._current = ""

    def clear(self) -> None:
        """No runs."""
        self.curves.clear()
        if self.table is not None:
            self.table.hide()
            self.table.deleteLater()
            self.table = None
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
        """All are over: their curves from beginning to end, and a table of their best epochs."""
        self.clear()
        for name, curve in done.curves().items():
            self.curves.show_run(run_in_words(name), [tuple(point) for point in curve.tolist()])
        scores = [done.scores.get(name) for name in done.runs]
        figures = (("mean Dice", "dice"), ("validation loss", "val_loss"), ("best epoch", "epoch"), ("steps", "steps"))
        rows = [(text, [getattr(score, figure, None) for score in scores]) for text, figure in figures]
        self.table = table_of([run_in_words(name) for name in done.runs], rows)
        self.table.setFixedHeight(
            self.table.horizontalHeader().sizeHint().height()
            + sum(self.table.rowHeight(row) for row in range(self.table.rowCount()))
            + 4
        )
        self.layout().addWidget(self.table)
