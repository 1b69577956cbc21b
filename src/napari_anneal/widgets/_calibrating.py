"""*Calibrate*, after a run: temperatures fitted on a thread, kept in the models, and shown as a diagram."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_anneal.errors import InputError
from napari_anneal.widgets._calibration_panel import CalibrationPanel, CalibrationStep
from napari_anneal.widgets._form import Form
from napari_anneal.widgets._session_models import session_models

if TYPE_CHECKING:
    from napari_anneal.training import Run
    from napari_anneal.validation import Calibration
    from napari_anneal.widgets._order import Order

__all__ = ["Calibrating"]

Launch = Callable[[Callable[..., Any], Callable[[Any], None], str], None]


class Calibrating(QObject):
    """Calibrates the models of the last run of a form.

    Parameters
    ----------
    form
        Whose bar says how far it is, and whose scroll area shows ``panel``.
    launch
        Starts work on the form's thread, as ``Form.launch`` does.
    """

    def __init__(self, form: Form, launch: Launch) -> None:
        super().__init__(form)
        self.panel = CalibrationPanel()
        self._form, self._launch = form, launch
        self._order: Order | None = None
        self.models: tuple[tuple[str, Run], ...] = ()

    def begin(self, order: Order) -> None:
        """A run has been ordered; what is shown is of an earlier one."""
        self._order, self.models = order, ()
        self.panel.clear()

    def offer(self, models: Sequence[tuple[str, Run]]) -> None:
        """The run is over: these are the models that can be calibrated, by their names in the session."""
        self.models = tuple(models)

    def run(self) -> None:
        """Fit a temperature for each of them, on what judged it.

        Raises
        ------
        InputError
            Something is going on.
        """
        if self._form.job.running:
            raise InputError("Fine-tune is busy; wait for its end or cancel it, then press again.")
        order, models = self._order, self.models
        if order is not None and models:
            self._launch(lambda report, cancel: order.calibrate(models, report, cancel), self._show, "Calibrating …")

    def listen(self, events: Sequence[Any]) -> None:
        """Show how far it is."""
        steps = [event for event in events if isinstance(event, CalibrationStep)]
        if steps:
            self._form.bar.advance(steps[-1].done, steps[-1].total)

    def _show(self, found: list[tuple[str, Run, Calibration]] | None) -> None:
        if found is None:
            self._form.bar.say("Cancelled; the probabilities stay as they were.")
            return
        for name, run, _ in found:
            session_models().replace(name, run.model)
        self.models = tuple((name, run) for name, run, _ in found)
        self.panel.show_results([(name, calibration) for name, _, calibration in found])
        self._form.bar.say("Calibrated: the diagram is above, and Segment uses the new probabilities.", "good")
        QTimer.singleShot(0, self._come_into_view)

    def _come_into_view(self) -> None:
        self._form.scroll.ensureWidgetVisible(self.panel)
