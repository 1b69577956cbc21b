"""The end of ``napari-anneal demo``: the viewer with the stack, its strokes and labels, and an unseen specimen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
import numpy as np

from napari_anneal.widgets._layers import add_class_labels
from napari_anneal.widgets._sample_layers import pair
from napari_anneal.widgets._session_models import session_models

if TYPE_CHECKING:
    from napari_anneal.demo import DemoResult

__all__ = ["load_demo", "show_demo"]


def show_demo(result: DemoResult) -> None:
    """Open napari with all of the demo loaded and stay until it is closed."""
    load_demo(napari.Viewer(title="napari-anneal demo"), result)
    napari.run()


def load_demo(viewer: napari.Viewer, result: DemoResult) -> None:
    """Add the demo's layers, offer its models in *Segment*, and open that form."""
    comparison, stack = result.comparison, result.stack
    session_models().add("demo superalloy", comparison.run.model)
    session_models().add("demo cement", stack.run.model)
    _add_scored(viewer, result)
    for data, settings, kind in pair(stack.sample, stack.run.model.classes, stack.run.model.colours, "strokes"):
        getattr(viewer, f"add_{kind}")(data, **settings)
    segmented = stack.segmentation
    add_class_labels(viewer, np.asarray(segmented.labels), "cement segmented", segmented.classes, segmented.colours)
    viewer.dims.set_point(0, stack.sample.spatial_shape[0] // 2)
    viewer.window.add_plugin_dock_widget("napari-anneal", "Segment")


def _add_scored(viewer: napari.Viewer, result: DemoResult) -> None:
    """One held-out specimen with its hand labels and ours, hidden under the stack."""
    model, sample = result.comparison.run.model, result.comparison.held_out[0]
    for data, settings, kind in pair(sample, model.classes, model.colours, "hand labels", visible=False):
        getattr(viewer, f"add_{kind}")(data, **settings)
    ours = model.segment(sample.image, axes=sample.axes).labels
    add_class_labels(viewer, ours, f"{sample.name} segmented", model.classes, model.colours).visible = False
