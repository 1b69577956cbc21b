"""The runs in the folder where models are saved: what came of each, compared, run again, gone on with, used."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_anneal.errors import AnnealError, InputError
from napari_anneal.widgets._compare_window import CompareWindow
from napari_anneal.widgets._outcome import open_path
from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._worker import Job

if TYPE_CHECKING:
    from napari_anneal.training.runs import RunRecord

__all__ = ["RunsPanel"]

COLUMNS = ("run", "Dice", "ended", "when", "min", "recipe", "start")
ROWS_IN_VIEW = 6


class RunsPanel(QWidget):
    """A table of runs, newest first, and what can be done with those that are selected.

    Parameters
    ----------
    folder
        Gives the folder whose runs are listed.

    Signals
    -------
    again : object
        A ``RunRecord`` is to be run again with its own recipe, on the images of the form.
    resumed : object
        A ``RunRecord`` that was interrupted is to be gone on with.
    """

    again = Signal(object)
    resumed = Signal(object)

    def __init__(self, folder: Callable[[], Path]) -> None:
        super().__init__()
        self._folder = folder
        self.records: list[RunRecord] = []
        self._job = Job(self)
        self._on_done: Callable[[Any], None] = self._show
        self._job.done.connect(lambda value: self._on_done(value))
        self._job.failed.connect(self._say)
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().setVisible(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setMinimumHeight(self.table.verticalHeader().defaultSectionSize() * ROWS_IN_VIEW)
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.said = QLabel()
        self.said.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addWidget(self.said)
        self.buttons = {name: QPushButton(name) for name in ACTIONS}
        grid = QGridLayout()
        for place, (name, button) in enumerate(self.buttons.items()):
            button.setToolTip(ACTIONS[name])
            grid.addWidget(button, place // 3, place % 3)
        layout.addLayout(grid)
        for name, action in (
            ("Compare", self._compare),
            ("Open report", self._open_report),
            ("Use in Segment", self._use),
            ("Run again", lambda: self.again.emit(self._one())),
            ("Go on", lambda: self.resumed.emit(self._one())),
            ("Show folder", lambda: open_path(self._one().path)),
        ):
            self.buttons[name].clicked.connect(lambda _=False, action=action: self._guarded(action))
        self._on_selection()

    def refresh(self) -> None:
        """Read the folder anew, off the GUI thread."""
        if self._job.running:
            return
        folder = self._folder()

        def read(report: Any, cancel: Any) -> list[RunRecord]:
            from napari_anneal.training.runs import list_runs

            return list_runs(folder) if folder.is_dir() else []

        self._on_done = self._show
        self._job.start(read, "list of runs")

    @property
    def selected(self) -> list[RunRecord]:
        """Records of the selected rows, top to bottom."""
        return [self.records[row] for row in sorted({index.row() for index in self.table.selectedIndexes()})]

    def _show(self, records: Sequence[RunRecord]) -> None:
        """Fill the table, and keep the selection where its runs are still there."""
        chosen = {record.path for record in self.selected}
        self.records = list(records)
        self.table.blockSignals(True)
        self.table.clearSelection()
        self.table.setRowCount(len(records))
        for row, record in enumerate(records):
            for column, text in enumerate(cells(record)):
                item = QTableWidgetItem(text)
                item.setToolTip(record.fault or str(record.path))
                if column in (1, 4):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.MultiSelection)
        for row, record in enumerate(records):
            if record.path in chosen:
                self.table.selectRow(row)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.blockSignals(False)
        self._on_selection()
        if not records:
            self._say(f"No runs in {self._folder()} yet.")

    def _on_selection(self) -> None:
        """Offer what can be done with what is selected."""
        chosen = self.selected
        one = chosen[0] if len(chosen) == 1 else None
        self.buttons["Compare"].setEnabled(len(chosen) > 1)
        self.buttons["Open report"].setEnabled(one is not None and one.facts is not None)
        self.buttons["Use in Segment"].setEnabled(one is not None and one.model is not None)
        self.buttons["Run again"].setEnabled(one is not None and one.recipe is not None)
        self.buttons["Go on"].setEnabled(one is not None and one.resumable)
        self.buttons["Show folder"].setEnabled(one is not None)
        self._say(one.fault if one is not None else "")

    def _one(self) -> RunRecord:
        chosen = self.selected
        if len(chosen) != 1:
            raise InputError("Select one run in the table first.")
        return chosen[0]

    def _compare(self) -> None:
        from napari_anneal.training.run_comparison import compare_runs

        window = CompareWindow(compare_runs(self.selected), self.window())
        window.setObjectName("compared runs")
        window.show()

    def _open_report(self) -> None:
        """Open the report; of a run that was killed before it could write one, what its files tell."""
        from napari_anneal.training.report import write_report

        record = self._one()
        open_path(record.report or write_report(record.path))

    def _use(self) -> None:
        """Open the model, which is verified first, off the GUI thread."""
        record = self._one()
        if self._job.running:
            return

        def load(report: Any, cancel: Any) -> Any:
            from napari_anneal.inference import load_model

            return load_model(record.path / "model")

        def offer(model: Any) -> None:
            self._say(f"“{session_models().add(record.name, model)}” is offered in Segment.")

        self._on_done = offer
        self._say("Opening the model …")
        self._job.start(load, "model of a run")

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except AnnealError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self.said.setText(text)
        self.said.setVisible(bool(text))


ACTIONS = {
    "Compare": "Two runs or more: their curves in one plot, and only the settings in which they differ.",
    "Open report": "The run as a page in the browser: curves, worst images, recipe, versions.",
    "Use in Segment": "Offer the model of this run in Segment.",
    "Run again": "A new run with this very recipe, start and split, on the images that the form lists.",
    "Go on": "Go on with a run that was cancelled or interrupted, from its last checkpoint, as if it had not been.",
    "Show folder": "The folder of the run, with its model, history, recipe and report.",
}


def cells(record: RunRecord) -> tuple[str, ...]:
    """One row of the table."""
    dice = "–" if record.mean_dice is None else f"{record.mean_dice:.3f}"
    when = "–"
    if record.when:
        when = datetime.datetime.fromisoformat(record.when).astimezone().strftime("%d %b %H:%M")
    ended = record.reason or "damaged"
    minutes = f"{record.seconds / 60:.1f}"
    return (record.name, dice, ended, when, minutes, record.preset.replace("_", " "), record.start)
