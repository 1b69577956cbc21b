"""*Segment*: a model and an Image layer in, a Labels layer out (and probabilities, uncertainty, a file if wanted)."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QPushButton, QSpinBox, QWidget

from napari_anneal.widgets._core import when_loaded
from napari_anneal.widgets._form import Form, fold, form_layout
from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import add_class_labels, made, remember, slice_in_view, snapshot
from napari_anneal.widgets._live import LARGEST_IN_MEMORY, Job, ModelReady, Outcome, PlaneDone, Progress
from napari_anneal.widgets._model_choice import ModelChoice
from napari_anneal.widgets._path_field import PathField
from napari_anneal.widgets._rank_order import rank_order
from napari_anneal.widgets._rank_panel import RankPanel

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["SegmentWidget"]


class SegmentWidget(Form):
    """Segment a slice to look at it, then the whole stack."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Image

        super().__init__(viewer, "Whole image", "Segment the whole image or stack; slices appear as they are done.")
        self.image = LayerChoice(viewer, (Image,))
        self.row("Image", self.image, "2D, a stack, colour, multiscale or lazy (dask, Zarr): read slice by slice.")
        self.model = ModelChoice()
        self.row("Model", self.model, self.model.tip)
        self.slice = QPushButton("This slice")
        self.slice.setToolTip("Segment only the slice that is shown, to see whether the model is good enough.")
        self.slice.clicked.connect(lambda: self.guarded(lambda: self._run(whole=False)))
        self.bar.buttons.insertWidget(0, self.slice, 2)
        self._build_folded()
        self.ranking = RankPanel(viewer, self.guarded)
        self.ranking.asked.connect(lambda: self.guarded(self._rank))
        tip = "Where the model is unsure of what matters: boxes to paint in, best first"
        self.body.addWidget(fold("What to label next", self.ranking, tip))
        self.body.addStretch()
        self._target: weakref.ref[Any] | None = None
        self._order: Job | None = None
        self.image.layer_changed.connect(self._on_image)
        self.bar.started.connect(lambda: self.guarded(lambda: self._run(whole=True)))
        self.job.events.connect(self._listen)
        self.job.ended.connect(self._on_image)
        self._on_image()
        when_loaded(self, self.model.fill)

    def _build_folded(self) -> None:
        box = QWidget()
        layout = form_layout(box)
        self.probabilities = QCheckBox("probability of each class")
        self.uncertainty = QCheckBox("uncertainty (where to look again)")
        self.tile = QSpinBox()
        self.tile.setRange(0, 8192)
        self.tile.setSingleStep(128)
        self.tile.setSpecialValueText("automatic")
        self.out = PathField("", "save", "OME-Zarr (*.ome.zarr);;TIFF (*.tif)", "no file; or name.ome.zarr, name.tif")
        self.overwrite = QCheckBox("replace an earlier result")
        for label, widget, tip in (
            (
                "Also show",
                self.probabilities,
                "One Image layer a class, 0 to 1; four bytes a pixel and class of memory.",
            ),
            (
                "",
                self.uncertainty,
                "0 where one class is certain, 1 where all are alike. The model looks at every legal flip and turn "
                "of the sample; labels are of the mean, too. Up to 8 times the time.",
            ),
            ("Tile (px)", self.tile, "Side of the tiles; the result is the same, only memory and time differ."),
            ("Save to", self.out, "Also write the labels there while they are made: OME-Zarr with pyramid, or TIFF."),
            ("", self.overwrite, "Replace the file once the new result is complete."),
        ):
            widget.setToolTip(tip)
            layout.addRow(label, widget)
        self.body.addWidget(fold("More results and saving", box, "Probabilities, uncertainty, tiles, file"))

    def _on_image(self) -> None:
        """Name the buttons after what there is to segment."""
        layer = self.image.layer
        stack = layer is not None and layer.ndim > 2
        self.slice.setVisible(stack)
        self.bar.start.setText("Whole stack" if stack else "Segment")
        self.slice.setEnabled(not self.job.running)
        self.ranking.ask.setEnabled(not self.job.running)

    def _run(self, whole: bool) -> None:
        layer = self.image.layer
        image = snapshot(layer)
        z = None
        if not whole and image.is_stack and layer is not None:
            z = slice_in_view(self.viewer, layer)
        text = self.out.text()
        out = Path(text).expanduser() if text and whole else None
        self._order = Job(
            image,
            self.model.value(),
            z,
            self.tile.value() or "auto",
            self.probabilities.isChecked(),
            self.uncertainty.isChecked(),
            out,
            self.overwrite.isChecked(),
        )
        self._target = None
        self.slice.setEnabled(False)
        self.launch(self._order.carry_out, self._show, "Loading the model …")

    def _rank(self) -> None:
        layer, panel = self.image.layer, self.ranking
        order = rank_order(self.viewer, layer, bool(panel.which.currentData()), self.model.value(), panel.settings())
        self._order = None
        self.slice.setEnabled(False)
        panel.ask.setEnabled(False)
        self.launch(order.carry_out, self._show_ranking, "Looking where the model is unsure …")

    def _show_ranking(self, ranking: Any) -> None:
        self.ranking.show_ranking(ranking)
        found = f"{len(ranking)} of {ranking.candidates} places, foreground: {', '.join(ranking.foreground)}."
        stopped = "" if ranking.complete else "Stopped; of what had been looked at: "
        self.bar.say(" ".join([f"{stopped}{found}", *ranking.notices]), "good" if ranking.complete else "plain")

    def _listen(self, events: list[Any]) -> None:
        self.guarded(lambda: self._take(events))

    def _take(self, events: list[Any]) -> None:
        order, changed = self._order, False  # a ranking has no order, and tells nothing but how far it is
        for event in events:
            if isinstance(event, ModelReady):
                what = f"slice {order.z}" if order.z is not None else order.image.name
                self.bar.say(f"Segmenting {what} with “{event.name}” …")
                self._make_target(order, event)
            elif isinstance(event, PlaneDone):
                changed |= self._place(event)
        last = [e for e in events if isinstance(e, Progress)]
        if last:
            self.bar.advance(last[-1].done, last[-1].total)
        target = self._target() if self._target is not None else None
        if changed and target is not None:
            target.refresh(extent=False)

    def _make_target(self, order: Job, model: ModelReady) -> None:
        """Add the layer that fills in; a preview of slices goes on in the layer of the last preview."""
        shape = order.image.data.shape[: len(order.image.spacing)]
        dtype = np.uint8 if len(model.classes) <= 255 else np.uint16
        if int(np.prod(shape)) * np.dtype(dtype).itemsize > LARGEST_IN_MEMORY:
            return  # shown from its file when it is complete
        kind = "slices" if order.z is not None else "segmentation"
        name = f"{order.image.name} · {model.name} {kind}"
        if order.z is not None:
            for layer in self.viewer.layers:
                if layer.name == name and getattr(layer, "data", None) is not None and layer.data.shape == shape:
                    self._target = weakref.ref(layer)
                    return
        target = add_class_labels(self.viewer, np.zeros(shape, dtype), name, order.image, model.classes, model.colours)
        remember(target, made="segmentation")
        self._target = weakref.ref(target)

    def _place(self, plane: PlaneDone) -> bool:
        """Put a plane into the layer; whether that shows. A layer the user has deleted takes nothing more."""
        target = self._target() if self._target is not None else None
        if target is None or target not in self.viewer.layers:
            return False
        target.data[... if plane.z is None else plane.z] = plane.labels
        return plane.z is None or target.ndim != 3 or self._sees(target, plane.z)

    def _sees(self, target: Any, z: int) -> bool:
        return self.viewer.dims.ndisplay == 3 or round(float(target.world_to_data(self.viewer.dims.point)[0])) == z

    def _show(self, outcome: Outcome) -> None:
        """The run is over: add what was asked for, and say what there is."""
        result, order = outcome.result, self._order
        assert order is not None
        image = order.image
        if self._target is None and result.labels is not None and order.z is None:
            add_class_labels(
                self.viewer, _lazy(result.labels), f"{image.name} segmentation", image, result.classes, result.colours
            )
        self._add_maps(result, order)
        done = (
            f"{result.done} of {result.total} slices" if result.total > 1 else "1 image" if result.done else "nothing"
        )
        where = f" Saved in {result.path}." if result.path is not None else ""
        if not result.complete:
            self.bar.say(f"Cancelled after {done}; what is done stays in the layer.{where}")
            return
        what = f"Slice {order.z} of {image.name}" if order.z is not None else image.name
        self.bar.say(f"{what} is segmented: {outcome.shares}.{where}", "good")

    def _add_maps(self, result: Any, order: Job) -> None:
        """Probability layers (hidden but the first) and the uncertainty, where the image lies."""
        if order.z is not None:
            maps = [] if result.probabilities is None else list(result.probabilities[:, None])
            unsure = None if result.uncertainty is None else result.uncertainty[None]
        else:
            maps, unsure = ([] if result.probabilities is None else list(result.probabilities)), result.uncertainty
        placement = dict(order.image.placement) if order.z is None else order.image.placed_at(order.z)
        for name, data in zip(result.classes, maps, strict=False):
            self.viewer.add_image(
                data,
                name=f"{order.image.name} · P({name})",
                contrast_limits=(0, 1),
                visible=False,
                metadata=made("probability"),
                **placement,
            )
        if unsure is not None:
            self.viewer.add_image(
                unsure, name=f"{order.image.name} · uncertainty", contrast_limits=(0, 1), colormap="magma",
                blending="additive", metadata=made("uncertainty"), **placement,
            )  # fmt: skip


def _lazy(labels: Any) -> Any:
    """Labels on disk as a dask array, which napari reads slice by slice."""
    if isinstance(labels, np.ndarray):
        return labels
    import dask.array

    return dask.array.from_array(labels, chunks=(1, *labels.shape[1:]) if labels.ndim == 3 else labels.shape)
