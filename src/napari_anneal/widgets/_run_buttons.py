"""What can be done to a run that goes: pause it, let it go on, finish it now, or cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QPushButton

from napari_anneal.widgets._icons import run_icon
from napari_anneal.widgets._status import RunBar

if TYPE_CHECKING:
    from napari_anneal.training import RunControl

__all__ = ["RunButtons"]

PAUSE_TIP = "Stand still before the next step; nothing is lost, and the run goes on exactly where it was."
GO_ON_TIP = "Go on from the very step where the run was paused."
FINISH_TIP = "End after this step with a last validation. Keeps the best model, as at the end of a full run."
CANCEL_TIP = "Stop at the next step. Keeps the best model so far, and a checkpoint from which the run can go on later."
PAUSED = "Paused; all of it is kept in memory. Go on, finish now (a last validation, best model kept), or cancel."


class RunButtons(QObject):
    """Puts *Pause* and *Finish now* beside *Cancel* in the place of the start button while a run goes."""

    def __init__(self, bar: RunBar) -> None:
        super().__init__(bar)
        self._bar = bar
        self._control: RunControl | None = None
        self._before = ""
        self._asked = False
        self.pause = QPushButton("Pause")
        self.finish = QPushButton(run_icon("finish"), "Finish now")
        for place, (button, tip, action) in enumerate(
            ((self.pause, PAUSE_TIP, self._on_pause), (self.finish, FINISH_TIP, self._on_finish)), start=1
        ):
            button.setToolTip(tip)
            button.clicked.connect(action)
            button.setVisible(False)
            bar.buttons.insertWidget(place, button, 1)
        bar.cancel.setIcon(run_icon("cancel"))
        bar.cancel.setToolTip(CANCEL_TIP)
        bar.cancelled.connect(self._no_more)

    @property
    def paused(self) -> bool:
        """Whether the run stands still."""
        return self._control is not None and self._control.paused

    @property
    def steered(self) -> bool:
        """Whether the status line says what the user has just asked for, which an epoch must not overwrite."""
        return self._asked or self.paused

    def begin(self, control: RunControl) -> None:
        """A run starts that is steered by ``control``: show the buttons."""
        self._control, self._asked = control, False
        self._show_pause()
        self._visible(True)
        for button in (self.pause, self.finish):
            button.setEnabled(True)

    def end(self) -> None:
        """The run is over: the start button is back."""
        self._control = None
        self._visible(False)

    def _visible(self, running: bool) -> None:
        self.pause.setVisible(running)
        self.finish.setVisible(running)
        self._bar.start.setVisible(not running)

    def _show_pause(self) -> None:
        paused = self.paused
        self.pause.setText("Go on" if paused else "Pause")
        self.pause.setIcon(run_icon("go on" if paused else "pause"))
        self.pause.setToolTip(GO_ON_TIP if paused else PAUSE_TIP)

    def _on_pause(self) -> None:
        if self._control is None:
            return
        if self._control.paused:
            self._control.go_on()
            self._bar.say(self._before)
        else:
            self._control.pause()
            self._before = self._bar.text
            self._bar.say(PAUSED)
        self._show_pause()

    def _on_finish(self) -> None:
        if self._control is None:
            return
        self._control.finish()
        self._no_more()
        self._bar.say("Finishing: the last validation …")

    def _no_more(self) -> None:
        """It is ending: at most cancel is left."""
        self._asked = True
        self.pause.setEnabled(False)
        self.finish.setEnabled(False)
