"""Going on with a run that was stopped or killed: only the very same one, and only from what the disk still holds."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from napari_anneal.errors import OutputError
from napari_anneal.inference.layout import Layout
from napari_anneal.inference.output import LabelSink
from napari_anneal.inference.planes import Planes
from napari_anneal.inference.predictor import Predictor
from napari_anneal.models.card import software_versions
from napari_anneal.models.lineage import weights_digest

__all__ = ["earlier_layout", "run_header"]

# What a journal begins with, and what is said where it is not the same.
ENTRIES = {
    "model": "another model",
    "image": "another image, or the image has changed since",
    "settings": "other settings",
    "precision": "another precision or device",
    "labels": "another kind of labels",
    "software": "other versions of this package or of torch",
}


def run_header(
    predictor: Predictor, planes: Planes, layout: Layout, dtype: str, asked: dict[str, Any]
) -> dict[str, Any]:
    """What a result depends on, as JSON values; ``asked`` are the settings as the caller gave them."""
    network = predictor.network
    header = {
        "model": [weights_digest(network), *(str(getattr(network, name, "")) for name in ("temperatures", "views"))],
        "image": [planes.fingerprint, planes.state()],
        "settings": {**asked, "limits": list(layout.limits)},
        "precision": [str(predictor.dtype), predictor.device.type],
        "labels": [dtype, list(planes.shape)],
        "software": [software_versions()[name] for name in ("napari-anneal", "torch")],
        "layout": layout.model_dump(mode="json"),
    }
    return dict(json.loads(json.dumps(header)))


def earlier_layout(sink: LabelSink, header: dict[str, Any]) -> Layout | None:
    """Layout of the run to go on with, its file opened; ``None``: there is none, and a run begins anew.

    Raises
    ------
    OutputError
        What lies there is of another run: of another model, image or settings.
    """
    earlier = sink.journal.read()
    if earlier is None:
        return None
    for entry, what in ENTRIES.items():
        if earlier.get(entry) != header[entry]:
            raise OutputError(
                f"{sink.partial} was begun with {what}, so it cannot be gone on with; segment anew without resume, or "
                "give what it was begun with."
            )
    try:
        layout = Layout.model_validate(earlier["layout"])
    except (KeyError, ValidationError):
        return None
    return layout if sink.go_on() else None
