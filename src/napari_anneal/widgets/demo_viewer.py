"""The end of ``napari-anneal demo``: the viewer with the stack, its strokes and labels, and an unseen specimen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari
import numpy as np

from napari_anneal.inference import Model
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._layers import add_class_labels, snapshot
from napari_anneal.widgets._sample_layers import pair
from napari_anneal.widgets._session_models import session_models

if TYPE_CHECKING:
    from napari_anneal.demo import DemoResult

__all__ = ["load_demo", "show_demo"]


def show_demo(result: DemoResult) -> None:
    """Open napari with all of the demo loaded and stay until it is closed."""
    load_demo(napari.Viewer(title="napari-anneal demo"), result)
    napari.run()


def load_demo(viewer: napari.viewer.Viewer, result: DemoResult) -> None:
    """Add the demo's layers, offer its models in *Segment*, and open that form."""
    scored, stack = result.comparison.held_out[0], result.stack
    superalloy, cement = result.comparison.run.model, stack.run.model
    session_models().add("demo superalloy", superalloy)
    session_models().add("demo cement", cement)
    # The stack first, for the view fits the first layer; the larger, unseen specimen goes hidden under it.
    _add(viewer, stack.sample, "strokes", np.asarray(stack.segmentation.labels), cement, visible=True)
    ours = superalloy.segment(scored.image, axes=scored.axes).labels
    _add(viewer, scored, "hand labels", ours, superalloy, visible=False)
    viewer.layers.move_multiple([3, 4, 5], 0)
    viewer.layers.selection.active = viewer.layers[-1]
    viewer.dims.set_point(0, stack.sample.spatial_shape[0] // 2)
    viewer.window.add_plugin_dock_widget("napari-anneal", "Segment")


def _add(
    viewer: napari.viewer.Viewer, sample: Sample, suffix: str, labels: Any, model: Model, *, visible: bool
) -> None:
    """Add an image, what was painted on it, and what the model says, in the model's colours."""
    (image, about_image, _), (paint, about_paint, _) = pair(sample, model.classes, model.colours, suffix, visible)
    layer = viewer.add_image(image, **about_image)
    viewer.add_labels(paint, **about_paint)
    like = snapshot(layer, copy=False)
    name = f"{sample.name} segmented"
    add_class_labels(viewer, labels, name, like, model.classes, model.colours, visible=visible, opacity=0.5)
