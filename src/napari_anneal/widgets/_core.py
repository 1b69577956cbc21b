"""Load the part of the core that needs torch in the background: a form opens at once and fills in when ready."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_anneal.widgets._form import Form
from napari_anneal.widgets._layers import class_colormap
from napari_anneal.widgets._torch_beside_gl import load_triton_apart

__all__ = ["when_loaded"]

# The last three are what a run would import at its first step, with the viewer standing still 0.1 s for each.
HEAVY = (
    "napari_anneal.training",
    "napari_anneal.inference",
    "napari_anneal.models",
    "timm",
    "segmentation_models_pytorch",
    "albumentations",
)


def when_loaded(form: Form, then: Callable[[], None]) -> None:
    """Call ``then()`` once the modules that need torch can be used: now, or after a job of the form has loaded them."""
    if all(name in sys.modules for name in HEAVY):
        form.guarded(then)
        return

    def load(report: Any, cancel: Any) -> None:
        load_triton_apart()
        for name in HEAVY:
            importlib.import_module(name)
        # napari compiles this at the first label map in the colours of classes: half a second without a viewer.
        class_colormap(("#000000",)).map(np.ones((2, 2), np.uint8))

    def ready(value: None) -> None:
        form.bar.say("")
        then()

    form.launch(load, ready, "Loading PyTorch … (once a session)")
