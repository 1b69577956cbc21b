"""What holds for every form: it opens at once and without torch, explains itself, and fits a narrow dock."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLineEdit, QPushButton, QWidget

FORMS = {
    "synthesis": "SynthesisWidget",
    "augmentation": "AugmentationWidget",
    "split": "SplitWidget",
    "finetune": "FineTuneWidget",
    "segment": "SegmentWidget",
    "grain_size": "GrainSizeWidget",
}


def form_class(name: str) -> type:
    return getattr(importlib.import_module(f"napari_anneal.widgets.{name}"), FORMS[name])


def test_importing_every_form_loads_no_torch() -> None:
    code = "import sys\n" + "".join(f"import napari_anneal.widgets.{name}\n" for name in FORMS)
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_torch_can_be_loaded_after_the_canvas_was_drawn() -> None:
    """Mesa's LLVM and triton's in one process end in a segmentation fault unless they are kept apart."""
    code = (
        "import os, napari, numpy, time\n"
        "from qtpy.QtWidgets import QApplication\n"
        "v = napari.Viewer(); v.add_image(numpy.eye(8))\n"
        "for _ in range(10): QApplication.processEvents(); time.sleep(0.02)\n"
        "from napari_anneal.widgets.segment import SegmentWidget\n"
        "w = SegmentWidget(v)\n"
        "while w.job.running: QApplication.processEvents(); time.sleep(0.02)\n"
        "import torch\n"
        "print('alive', w.model.combo.count(), flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "alive" in done.stdout


@pytest.mark.parametrize("name", FORMS)
def test_a_form_opens_in_under_a_second_once_torch_is_loaded(make_napari_viewer, tiny_model, wait_for, name) -> None:
    viewer = make_napari_viewer()
    kind = form_class(name)
    began = time.perf_counter()
    form = kind(viewer)
    viewer.window.add_dock_widget(form, name=name)
    assert time.perf_counter() - began < 1
    wait_for(form)


@pytest.mark.parametrize("name", FORMS)
def test_every_control_has_a_tooltip_and_the_form_fits_400_pixels(make_napari_viewer, wait_for, name) -> None:
    viewer = make_napari_viewer()
    form = form_class(name)(viewer)
    viewer.window.add_dock_widget(form, name=name)
    wait_for(form)
    mute = [
        w
        for kind in (QComboBox, QAbstractSpinBox, QCheckBox, QPushButton, QLineEdit)
        for w in form.findChildren(kind)
        if not w.toolTip() and not isinstance(w.parent(), (QAbstractSpinBox, QComboBox))
    ]
    assert mute == []
    assert form.minimumSizeHint().width() <= 400
    form.resize(400, 700)
    form.show()
    inside = form.findChild(QWidget, "form body")
    assert inside.minimumSizeHint().width() <= 400 - 14  # the scroll bar


@pytest.mark.parametrize("name", FORMS)
def test_the_status_line_can_be_selected_wraps_and_shows_no_markup(viewer, wait_for, name) -> None:
    form = form_class(name)(viewer)
    wait_for(form)
    assert form.bar.status.wordWrap()
    assert form.bar.status.textFormat() == Qt.TextFormat.PlainText
    assert form.bar.status.textInteractionFlags() & Qt.TextInteractionFlag.TextSelectableByMouse


@pytest.mark.parametrize("name", FORMS)
def test_start_without_any_layer_is_said_in_a_sentence(viewer, wait_for, name) -> None:
    form = form_class(name)(viewer)
    wait_for(form)
    if name == "synthesis":  # needs no layer: a contradiction between its settings instead
        form.settings.n_seeds.setValue(1_000_000)
    form.bar.start.click()
    wait_for(form)
    assert form.bar.text.endswith(".")
    assert "Traceback" not in form.bar.text
    assert form.bar.start.isEnabled()


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), SystemExit(1), KeyboardInterrupt()])
def test_whatever_ends_a_job_enables_the_form_again(viewer, wait_for, error) -> None:
    form = form_class("split")(viewer)

    def work(report, cancel):
        raise error

    form.launch(work, lambda value: None, "Working …")
    assert not form.bar.start.isEnabled()
    wait_for(form)
    assert form.bar.start.isEnabled()
    assert not form.bar.cancel.isEnabled()
    assert form.bar.text not in ("", "Working …")


def test_an_error_while_showing_a_result_is_said_too(viewer, wait_for) -> None:
    form = form_class("split")(viewer)

    def show(value):
        raise RuntimeError("cannot be shown")

    form.launch(lambda report, cancel: 1, show, "Working …")
    wait_for(form)
    assert "cannot be shown" in form.bar.text
    assert form.bar.start.isEnabled()


def test_a_second_launch_is_refused_and_the_first_one_gets_its_value(viewer, wait_for) -> None:
    form = form_class("split")(viewer)
    go, got = threading.Event(), []
    form.launch(lambda report, cancel: go.wait(30) and "first", lambda value: got.append(("first", value)), "First …")
    form.guarded(
        lambda: form.launch(lambda report, cancel: "second", lambda value: got.append(("second", value)), "Second …")
    )
    assert form.bar.text == "This form is busy; wait for its end or press Cancel, then press again."
    assert form.bar.cancel.isEnabled()
    go.set()
    wait_for(form)
    assert got == [("first", "first")]
    assert form.bar.start.isEnabled()
