"""The offer to go on with the last run of a folder, where that run was interrupted and left a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QSizePolicy

from napari_anneal.widgets._worker import Job

if TYPE_CHECKING:
    from napari_anneal.training.runs import RunRecord

__all__ = ["ResumeOffer", "last_run"]


class ResumeOffer(QPushButton):
    """A button that is seen only while there is a run to go on with.

    Signals
    -------
    accepted : RunRecord
        Go on with it.
    """

    accepted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.record: RunRecord | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "The last run in the folder of models was interrupted. Go on from its checkpoint, with its own recipe, "
            "start and split, on the pairs of this form; if the images or the paint were changed since, it says so."
        )
        self.clicked.connect(lambda: self.accepted.emit(self.record))
        self._job = Job(self)
        self._job.done.connect(self._show)
        self.setVisible(False)

    def look(self, folder: Path) -> None:
        """Look at the runs in a folder, in the background."""
        if not self._job.running:
            self._job.start(lambda report, cancel: last_run(folder), "resume offer")

    def withdraw(self) -> None:
        """A run begins."""
        self.setVisible(False)

    def _show(self, record: Any) -> None:
        self.record = record
        self.setVisible(record is not None)
        if record is not None:
            self.setText(f"Go on with “{record.name}”, which was {record.reason}")


def last_run(folder: Path) -> RunRecord | None:
    """The newest run in a folder if it can be gone on with, else ``None``."""
    from napari_anneal.training.runs import list_runs

    if not folder.is_dir():
        return None
    runs = [record for record in list_runs(folder) if record.facts is not None]
    newest = max(runs, key=lambda record: record.when, default=None)
    return newest if newest is not None and newest.resumable else None
