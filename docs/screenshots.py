"""Real screenshots of the viewer with each form, made by driving the forms: ``python docs/screenshots.py [NAME …]``.

Needs a display (``xvfb-run -a python docs/screenshots.py`` on a machine without one). Each picture is taken after the
form has done its real work on the shipped images; nothing is painted in afterwards. PNGs go to ``docs/images``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from superqt import QCollapsible

IMAGES = Path(__file__).parent / "images"
NARROW, WIDE = 400, 560
# GitHub shows images of a readme about 900 px wide; more pixels only make them heavier.
WINDOW = (1360, 860)
LARGEST = 240_000


def settle(seconds: float = 0.4) -> None:
    """Let Qt draw."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def finish(form: Any, limit: float = 900) -> None:
    """Wait for a form's job, drawing all the while."""
    end = time.monotonic() + limit
    while form.job.running and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)
    settle()
    print(f"    {form.bar.text}")


def new_viewer() -> napari.Viewer:
    """An empty viewer of the window size of all pictures."""
    viewer = napari.Viewer(title="napari", show=True)
    viewer.window._qt_window.resize(*WINDOW)
    settle()
    return viewer


def dock(viewer: napari.Viewer, form: Any, name: str, width: int = NARROW) -> None:
    """Put a form into a dock of this width."""
    widget = viewer.window.add_dock_widget(form, name=name, area="right")
    viewer.window._qt_window.resizeDocks([widget], [width], Qt.Orientation.Horizontal)
    settle()
    finish(form)


def take(viewer: napari.Viewer, name: str) -> None:
    """Save the window."""
    settle(0.8)
    save(viewer.screenshot(canvas_only=False, flash=False)[..., :3], name)


def save(pixels: Any, name: str) -> None:
    """Save a picture as a small PNG."""
    from io import BytesIO

    from PIL import Image

    path = IMAGES / f"{name}.png"
    for colours in (256, 160, 96):
        buffer = BytesIO()
        picture = Image.fromarray(pixels).quantize(colours, dither=Image.Dither.NONE)
        picture.save(buffer, "PNG", optimize=True)
        if len(buffer.getvalue()) < LARGEST:
            break
    path.write_bytes(buffer.getvalue())
    print(f"  {path.name}: {len(buffer.getvalue()) / 1000:.0f} kB")


def pixels_of(window: Any) -> Any:
    """What a window shows, (Y, X, 3)."""
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        window.grab().save(f"{folder}/window.png")
        return np.asarray(Image.open(f"{folder}/window.png").convert("RGB"))


def open_sample(viewer: napari.Viewer, key: str) -> None:
    """File › Open Sample › Anneal."""
    viewer.open_sample("napari-anneal", key)
    settle()


def synthesis() -> None:
    """An etched steel with its labels; and its five rungs side by side."""
    from napari_anneal.widgets.synthesis import SynthesisWidget

    viewer = new_viewer()
    form = SynthesisWidget(viewer)
    dock(viewer, form, "Synthetic microstructure")
    form.settings.preset.setCurrentIndex(form.settings.preset.findData("sem_se_etched"))
    # Sizes with a target to be seen beside.
    form.settings.forms[""].set_values({"size_dispersion": 0.0, "size_cv": 0.6})
    settle(8)  # for the preview, on a slow machine
    sizes = next(part for part in form.findChildren(QCollapsible) if part.text() == "Size distribution")
    sizes.expand(animate=False)
    form.rungs.click()
    finish(form)
    take(viewer, "synthesis-rungs")
    viewer.layers.clear()
    form.bar.start.click()
    finish(form)
    take(viewer, "synthesis")
    viewer.close()


def augmentation() -> None:
    """Every transform alone beside the image, with the reasons of those that are not legal; and the measured noise."""
    from napari_anneal.widgets._show_choice import ALONE
    from napari_anneal.widgets.augmentation import AugmentationWidget

    viewer = new_viewer()
    open_sample(viewer, "superalloy")
    form = AugmentationWidget(viewer)
    dock(viewer, form, "Augmentation preview")
    form.labels.choose(viewer.layers[1])

    def drawn() -> None:
        settle()
        while not form.drawing.idle:
            settle(0.1)
        print(f"    {form.bar.text}")

    drawn()  # what it needs is loaded
    form.sample.set_values({"sample": "textured", "also": ("shadowed",)})
    form.shown.combo.setCurrentIndex(form.shown.combo.findData(ALONE))
    form.bar.start.click()
    drawn()
    form.transforms.folds["Turns and flips"].expand(animate=False)
    take(viewer, "augmentation")
    form.transforms.folds["Turns and flips"].collapse(animate=False)
    form.sample.set_values({"sample": "isotropic", "also": ()})
    noise = next(part for part in form.findChildren(QCollapsible) if part.text() == "Noise of your detector")
    noise.expand(animate=False)
    form.noise.measure.click()
    finish(form)
    form.shown.combo.setCurrentIndex(0)
    drawn()
    form.scroll.ensureWidgetVisible(form.noise)
    take(viewer, "augmentation-noise")
    viewer.close()


def split() -> None:
    """Seven spots in three folds, one of them gold."""
    from napari_anneal.widgets._group_table import GOLD
    from napari_anneal.widgets.split import SplitWidget

    viewer = new_viewer()
    open_sample(viewer, "superalloy")
    form = SplitWidget(viewer)
    dock(viewer, form, "Grouped split", WIDE)
    form.folds.setValue(3)
    form.table.item(6, GOLD).setCheckState(Qt.CheckState.Checked)
    form.bar.start.click()
    finish(form)
    take(viewer, "split")
    viewer.close()


def plan() -> None:
    """What a run would do and take, before it starts, measured on this machine."""
    from napari_anneal.widgets.finetune import FineTuneWidget

    viewer = new_viewer()
    open_sample(viewer, "cement")
    viewer.dims.set_current_step(0, 32)
    form = FineTuneWidget(viewer)
    dock(viewer, form, "Fine-tune")
    form.plan.section.expand(animate=False)

    def planned() -> None:
        settle()
        while not form.planning.idle:
            settle(0.1)

    planned()
    form.plan.measure.click()
    planned()
    form.plan.tree.topLevelItem(0).setExpanded(True)
    settle()
    form.scroll.verticalScrollBar().setValue(form.plan.y() - 4)
    take(viewer, "finetune-plan")
    viewer.close()


def finetune_and_segment() -> None:
    """Strokes on two slices of a CT volume, a run on them, and the whole stack segmented."""
    from napari_anneal.widgets.finetune import FineTuneWidget
    from napari_anneal.widgets.segment import SegmentWidget

    viewer = new_viewer()
    open_sample(viewer, "cement")
    viewer.dims.set_current_step(0, 32)
    form = FineTuneWidget(viewer)
    dock(viewer, form, "Fine-tune")
    settle(1)
    take(viewer, "finetune-before")
    with tempfile.TemporaryDirectory() as folder:
        form.folder.setText(folder)
        form.name.setText("cement")
        form.epochs.setValue(EPOCHS)
        if not any("shipped" in form.start.combo.itemText(i) for i in range(form.start.combo.count())):
            form.start.combo.setCurrentIndex(form.start.combo.count() - 1)
        form.recipe.set_values({"patch": 128, "batch_size": 4})
        form.bar.start.click()
        while form.job.running and len(form.view.curves._epochs) < EPOCHS // 2:
            QApplication.processEvents()
            time.sleep(0.02)
        take(viewer, "finetune-running")
        finish(form)
        # The picture names the folder a user would see, not this script's.
        form.folder.setText("~/napari-anneal/runs")
        form.bar.say(form.bar.text.replace(folder, "~/napari-anneal/runs"), "good")
        take(viewer, "finetune")
        compare_runs(viewer, form, folder)
        form.hide()
        viewer.window.remove_dock_widget(form)
        segment = SegmentWidget(viewer)
        dock(viewer, segment, "Segment")
        segment.model.combo.setCurrentIndex(segment.model.index_of(("session", "cement")))
        segment.slice.click()
        finish(segment)
        viewer.layers[-1].visible = False
        segment.uncertainty.setChecked(True)
        segment.bar.start.click()
        finish(segment)
        unsure, result = viewer.layers["cement · uncertainty"], viewer.layers["cement · cement segmentation"]
        viewer.layers["cement strokes"].visible = unsure.visible = False
        result.opacity = 0.55
        viewer.layers.selection.active = result
        viewer.dims.set_current_step(0, 64)
        take(viewer, "segment")
        result.visible, unsure.visible = False, True
        viewer.layers.selection.active = unsure
        segment.findChild(QCollapsible).expand(animate=False)
        take(viewer, "segment-uncertainty")
    viewer.close()


def label_next() -> None:
    """Where in a CT volume the shipped model is least sure, and the first of these places."""
    from napari_anneal.widgets.segment import SegmentWidget

    viewer = new_viewer()
    open_sample(viewer, "cement")
    form = SegmentWidget(viewer)
    dock(viewer, form, "Segment")
    settle(1)
    for section in form.findChildren(QCollapsible):
        if section.isAncestorOf(form.ranking):
            section.expand(animate=False)
    form.ranking.tile.setValue(64)
    form.ranking.looks.setCurrentIndex(form.ranking.looks.findData("entropy"))
    form.ranking.ask.click()
    finish(form)
    take(viewer, "segment-label-next")
    viewer.close()


def compare_runs(viewer: napari.Viewer, form: Any, folder: str) -> None:
    """A second run with its controls, and both runs side by side."""
    from qtpy.QtWidgets import QDialog

    form.folder.setText(folder)
    form.name.setText("cement seed 1")
    form.recipe.set_values({"seed": 1})
    form.controls.setChecked(True)
    form.bar.start.click()
    finish(form)
    form.bar.say(form.bar.text.replace(folder, "~/napari-anneal/runs"), "good")
    take(viewer, "finetune-controls")
    form.controls.setChecked(False)
    form.runs_fold.expand(animate=False)
    settle(2)
    form.runs.table.selectAll()
    form.scroll.ensureWidgetVisible(form.runs)
    take(viewer, "finetune-runs")
    form.runs.buttons["Compare"].click()
    window = form.window().findChild(QDialog, "compared runs")
    settle()
    save(pixels_of(window), "finetune-compared")
    window.close()
    form.runs_fold.collapse(animate=False)


def grain_size() -> None:
    """The grains of the shipped example, with the lines and intersections that were counted."""
    from napari_anneal.widgets.grain_size import GrainSizeWidget

    viewer = new_viewer()
    open_sample(viewer, "synthetic")
    for layer in viewer.layers:
        layer.scale, layer.units = (0.44, 0.44), ("um", "um")
    viewer.reset_view()
    form = GrainSizeWidget(viewer)
    dock(viewer, form, "Grain size")
    form.bar.start.click()
    finish(form)
    take(viewer, "grain-size")


EPOCHS = 20
PICTURES: dict[str, Callable[[], None]] = {
    "synthesis": synthesis,
    "augmentation": augmentation,
    "split": split,
    "grain-size": grain_size,
    "plan": plan,
    "finetune": finetune_and_segment,
    "label-next": label_next,
}


def main() -> None:
    """Take the pictures named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PICTURES, []], help="which pictures; none: all")
    names = parser.parse_args().names or list(PICTURES)
    IMAGES.mkdir(exist_ok=True)
    for name in names:
        print(name)
        PICTURES[name]()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # Qt and OpenGL libraries of some systems crash while the interpreter is torn down; everything is written by now.
    os._exit(0)
