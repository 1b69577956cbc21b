"""What the run would do and cost, before it starts: one line; unfolded, the rates as a plot and layers as a tree."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_anneal.samples.placing import readable_bytes
from napari_anneal.widgets._form import WrappedLabel, fold
from napari_anneal.widgets._group_tree import GroupTree
from napari_anneal.widgets._planning import Planned
from napari_anneal.widgets._rate_plot import RatePlot
from napari_anneal.widgets._status import COLOURS
from napari_anneal.widgets._sweep_panel import SweepPanel

__all__ = ["PlanPanel"]


class PlanPanel(QWidget):
    """Shows a ``Planned``, or why there is none.

    Signals
    -------
    measure_pressed
        A few real steps are to be timed.
    sweep_pressed
        Learning rates are to be tried.
    edited : int, str, object
        Stage (from 0), layer group and its new peak rate (``None``: frozen).
    reset_pressed
        The rates are to be those of the preset again.
    """

    measure_pressed = Signal()
    sweep_pressed = Signal()
    edited = Signal(int, str, object)
    reset_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.summary = _text("What the run takes, from its settings and the paint as they are now.")
        self.plot = RatePlot()
        self.tree = GroupTree()
        self.notices = _text("What the run would say when it starts.")
        self.measure = QPushButton("Measure the time")
        self.measure.setToolTip(
            "Time a few real steps of this network and batch on this machine; the minutes of the whole run follow from "
            "them, as an estimate: a stage may end early, and the machine may be busier then."
        )
        self.measure.clicked.connect(self.measure_pressed)
        self.find = QPushButton("Find the rate")
        self.find.setToolTip(
            "Learning-rate sweep (Smith 2017): up to 100 steps on a network that is thrown away, the rate growing from "
            "1e-6 to 1. It suggests the rate at which the loss falls fastest."
        )
        self.find.clicked.connect(self.sweep_pressed)
        self.sweep = SweepPanel()
        self.reset = QPushButton("Preset’s rates")
        self.reset.setToolTip("Take back the rates that were changed by hand or by the sweep.")
        self.reset.setVisible(False)
        self.reset.clicked.connect(self.reset_pressed)
        self.tree.edited.connect(self.edited)
        self.tree.refused.connect(lambda text: self._say(text, "bad"))
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.measure)
        self.buttons.addWidget(self.find)
        self.buttons.addWidget(self.reset)
        inside = QWidget()
        self.inside = QVBoxLayout(inside)
        self.inside.setContentsMargins(0, 0, 0, 0)
        self.inside.addWidget(self.plot)
        self.inside.addWidget(self.tree)
        self.inside.addLayout(self.buttons)
        self.inside.addWidget(self.sweep)
        self.inside.addWidget(self.notices)
        self.section = fold(
            "Plan: learning rates and layers", inside, "Every group's rate at every step, and its size."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.summary)
        layout.addWidget(self.section)
        self.shown: Planned | None = None
        self._say("")

    def show_plan(self, planned: Planned) -> None:
        """Show a plan."""
        self.shown = planned
        plan, recipe = planned.plan, planned.recipe
        time = "" if plan.minutes is None else f" · about {_minutes(plan.minutes * planned.runs)}"
        # Stages are told apart by their names here; the plot shows how long each takes.
        said = f"{plan.steps} steps ({plan.steps_per_epoch} an epoch){time} · about {readable_bytes(plan.memory_bytes)}"
        if planned.runs > 1:
            said = f"{planned.runs} runs, one a fold, each of {said}"
        if planned.why:
            said = f"{planned.why}\n{said}"
        self._say(f"{said} of memory on {plan.device}")
        self.summary.setToolTip(_memory_in_words(planned))
        self.plot.show_stages(plan.stages)
        self.tree.show_plan(plan.parameters, [(stage.name, stage.rates) for stage in recipe.stages])
        self.reset.setVisible(recipe.preset == "custom")
        scaled = recipe.rate_scale != 1
        notices = [f"All rates × {recipe.rate_scale:g} for a batch of {recipe.batch_size}."] if scaled else []
        self.notices.setText("\n".join([*notices, *plan.notices]))
        self.notices.setVisible(bool(self.notices.text()))

    def show_refusal(self, text: str) -> None:
        """The run could not start, and this is why; the last plan stays in view."""
        self.shown = None
        self._say(text, "bad")
        self.summary.setToolTip(text)

    def show_running(self, busy: bool) -> None:
        """A run or a sweep begins or ends: nothing else can be tried meanwhile."""
        for button in (self.measure, self.find, self.reset, self.sweep.accept):
            button.setEnabled(not busy)
        self.tree.setEnabled(not busy)

    def show_measuring(self, busy: bool) -> None:
        """A measurement begins or ends."""
        self.measure.setEnabled(not busy)
        self.find.setEnabled(not busy)
        self.measure.setText("Measuring …" if busy else "Measure the time")

    def show_progress(self, done: int, total: int) -> None:
        """So many steps of the measurement are done."""
        self.measure.setText(f"Measuring … step {done} of {total}")

    def _say(self, text: str, mood: str = "plain") -> None:
        colour = COLOURS[mood]
        self.summary.setStyleSheet(f"color: {colour};" if colour else "")
        self.summary.setText(text)
        self.summary.setVisible(bool(text))


def _text(tip: str) -> WrappedLabel:
    label = WrappedLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setToolTip(tip)
    return label


def _minutes(minutes: float) -> str:
    """As precise as an estimate is."""
    if minutes < 1.5:
        return f"{max(1, round(minutes * 60))} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h"


def _memory_in_words(planned: Planned) -> str:
    """Where the memory goes."""
    memory: Any = planned.plan.memory
    parts = (
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("optimizer state", memory.optimizer),
        ("activations", memory.activations),
        ("copies kept (best weights, last good state)", memory.copies),
    )
    lines = [f"{name}: {readable_bytes(size)}" for name, size in parts if size]
    return "\n".join(["Expected memory beside the images and PyTorch itself:", *lines])
