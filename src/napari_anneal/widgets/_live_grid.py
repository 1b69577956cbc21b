"""The grid drawn off the GUI thread while sliders are dragged: the newest settings win, and stale work is given up."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_anneal.widgets._augmented_grid import Cell, CellOrder, Grid, GridOrder, Pair, Tile
from napari_anneal.widgets._worker import Job

__all__ = ["LiveGrid"]

# Edits within this time are drawn as one; it counts from the first of them, so that dragging draws all the way.
DEBOUNCE_MS = 15
# How often the GUI thread looks whether the drawing is there.
LOOK_MS = 5
# A drawing that nobody wants any more is given up after this time; a shorter one is shown, or a drag would show none.
STALE_S = 0.25
# After this time the bar shows how far it is.
SLOW_S = 0.6


class LiveGrid(QObject):
    """Draw what ``order()`` says after every call of `ask`; cells that stay as they were are not drawn again.

    ``order()`` gives where to cut the cell (its ``key`` tells whether the one before still holds), the tiles, and the
    number of columns.

    Signals
    -------
    shown : Grid, float
        A grid, and the seconds that it took.
    failed : str
        Why there is none.
    slow : int, int
        Cells drawn, of how many; told only where it takes so long that somebody may want to know.
    """

    shown = Signal(object, float)
    failed = Signal(str)
    slow = Signal(int, int)

    def __init__(
        self,
        owner: QWidget,
        order: Callable[[], tuple[Any, CellOrder, tuple[Tile, ...], int]],
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        super().__init__(owner)
        self._order, self._guarded = order, guarded
        self._key: Any = None
        self._cell: Cell | None = None
        self._kept: Mapping[tuple[Any, int], Pair] = {}
        self._again, self._dropped, self._began = False, False, 0.0
        self.job = Job(owner, LOOK_MS)
        self.job.done.connect(self._take)
        self.job.failed.connect(self.failed)
        self.job.events.connect(self._tell)
        self.job.ended.connect(self._next)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(lambda: guarded(self._draw))

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for that is not shown."""
        return not (self.job.running or self._again or self._timer.isActive())

    def warm_up(self) -> None:
        """Load what the first drawing needs while nobody waits for it: seconds, once a session."""
        if "albumentations" not in sys.modules:
            self.job.start(_load, "augmentation")

    def ask(self) -> None:
        """Draw soon."""
        if not self._timer.isActive():
            self._timer.start()

    def forget(self) -> None:
        """Cut and draw everything anew the next time."""
        self._key, self._cell, self._kept = None, None, {}

    def drop(self) -> None:
        """Draw nothing that was asked for; what is being drawn is not shown. Does not wait."""
        self._again, self._dropped = False, True
        self._timer.stop()
        self.job.cancel()

    def stop(self) -> None:
        """Draw nothing more, and wait for the thread: the form is going."""
        self.drop()
        self.job.stop()

    def _draw(self) -> None:
        if self.job.running:
            self._again = True
            if time.perf_counter() - self._began > STALE_S:
                self.job.cancel()
            return
        key, place, tiles, columns = self._order()
        if key != self._key or self._cell is None:
            self.forget()
            self._key = key
        self._began, self._dropped = time.perf_counter(), False
        order = GridOrder(self._cell or place, tiles, columns, self._kept)
        self.job.start(order.carry_out, "augmentation preview")

    def _tell(self, events: list[tuple[int, int]]) -> None:
        if not self._dropped and time.perf_counter() - self._began > SLOW_S:
            self.slow.emit(*events[-1])

    def _take(self, grid: Grid | None) -> None:
        if grid is None or self._dropped:  # given up for newer settings, or cancelled
            return
        self._cell, self._kept = grid.cell, grid.pairs
        self._guarded(lambda: self.shown.emit(grid, time.perf_counter() - self._began))

    def _next(self) -> None:
        if self._again:
            self._again = False
            self._guarded(self._draw)


def _load(report: Callable[[Any], None], cancel: threading.Event) -> None:
    from napari_anneal.augmentation import Augmenter

    Augmenter()(np.zeros((1, 32, 32), np.float32), np.zeros((32, 32), np.uint8), 0)
