"""*Grain size*: labels in; G with its interval, the histogram and the counted lines out (ASTM E112)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFileDialog, QLineEdit, QPushButton, QSpinBox, QWidget

from napari_anneal.errors import InputError
from napari_anneal.widgets._form import Form, fold, form_layout, shrinkable
from napari_anneal.widgets._grain_layers import show_count
from napari_anneal.widgets._grain_order import GrainOrder, pixel_size_text, read_pixel_size
from napari_anneal.widgets._grain_view import GrainView
from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import GROUP_KEY, made_as, slice_in_view, snapshot
from napari_anneal.widgets._live import Progress

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.validation import GrainSize

__all__ = ["GrainSizeWidget"]

# A network's boundaries have gaps, and each makes one grain of two; painted ones are closed.
PREDICTED_GAPS_PX = 12.0
MOST_CLASSES = 12


class GrainSizeWidget(Form):
    """Measure the grains of a Labels layer, see what was counted, save a report."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Labels

        super().__init__(viewer, "Measure", "Mean intercept, grains per area, G and their 95 % intervals (ASTM E112).")
        self.labels = LayerChoice(viewer, (Labels,))
        self.row("Labels", self.labels, "Grains (a number each), or a segmentation with a boundary class or phases.")
        self.grains = shrinkable(QComboBox())
        self.row(
            "Grains are", self.grains, "What one grain is in these labels; “automatic” says what it took them for."
        )
        self.part = shrinkable(QComboBox())
        self.part.addItem("this slice", "slice")
        self.part.addItem("whole stack, in 3D", "stack")
        self.row(
            "Measure", self.part, "A section as under the microscope, or lines through the volume in 43 directions."
        )
        self.pixel = QLineEdit()
        self.pixel.setPlaceholderText("unknown: sizes in px, no G")
        self.row(
            "Pixel (µm)", self.pixel, "From the layer's scale and units; one number, or one an axis: 2 × 0.5 × 0.5."
        )
        self.lines = shrinkable(QComboBox())
        self.lines.addItem("straight lines, all directions", "lines")
        self.lines.addItem("three circles (Abrams)", "circles")
        self.row("Test lines", self.lines, "Circles average over directions by themselves; in 2D only.")
        self._build_folded()
        self.view = GrainView()
        self.body.addWidget(self.view)
        self.body.addStretch()
        self.save = QPushButton("Save report …")
        self.save.setToolTip("One HTML page, with the figures (.json) and every grain (.csv) beside it.")
        self.save.setEnabled(False)
        self.save.clicked.connect(lambda: self.guarded(self._ask_and_save))
        self.bar.buttons.addWidget(self.save, 2)
        self._order: GrainOrder | None = None
        self._size: GrainSize | None = None
        self.labels.layer_changed.connect(lambda: self.guarded(self._on_labels))
        self.part.currentIndexChanged.connect(self._on_part)
        self.bar.started.connect(lambda: self.guarded(self._run))
        self.job.events.connect(self._listen)
        self._on_labels()

    def _build_folded(self) -> None:
        from napari.layers import Labels

        box = QWidget()
        layout = form_layout(box)
        self.zero = shrinkable(QComboBox())
        self.zero.addItem("boundary (goes to the nearest grain)", "boundary")
        self.zero.addItem("no micrograph (left out)", "ignore")
        self.gaps = QDoubleSpinBox()
        self.gaps.setRange(0, 100)
        self.gaps.setDecimals(0)
        self.gaps.setSpecialValueText("none")
        self.smallest = QSpinBox()
        self.smallest.setRange(1, 100_000)
        self.smallest.setValue(9)
        self.ignore = LayerChoice(self.viewer, (Labels,), none="nothing")
        for label, widget, tip in (
            ("0 is", self.zero, "Watershed lines are 0; so is what lies outside a round field."),
            (
                "Close gaps (px)",
                self.gaps,
                "A gap in a predicted boundary makes one grain of two: bridge gaps this wide.",
            ),
            ("Smallest (px)", self.smallest, "Smaller regions of a class map are specks of boundary, not grains."),
            ("Leave out", self.ignore, "A Labels layer that is not 0 where there is a scale bar or no micrograph."),
        ):
            widget.setToolTip(tip)
            layout.addRow(label, widget)
        self.body.addWidget(fold("How labels are read", box, "0, gaps, specks, scale bar"))

    def _on_labels(self) -> None:
        """Offer what grains can be in this layer, and the pixel size it has."""
        layer = self.labels.layer
        self.grains.clear()
        self.grains.addItem("automatic", "auto")
        self.grains.addItem("a number each", "number")
        self.grains.addItem("connected regions of each class", 0)
        classes = _classes(layer)
        for number, name in classes.items():
            self.grains.addItem(f"regions between “{name}”", number)
        boundary = next((number for number, name in classes.items() if "boundar" in name.lower()), None)
        if boundary is not None:
            self.grains.setCurrentIndex(self.grains.findData(boundary))
        predicted = layer is not None and made_as(layer) == "segmentation"
        self.gaps.setValue(PREDICTED_GAPS_PX if predicted else 0)
        fits = layer is not None and layer.ndim in (2, 3)
        self.pixel.setText(pixel_size_text(snapshot(layer, "labels", copy=False)) if fits else "")
        self.fields.setRowVisible(self.part, layer is not None and layer.ndim == 3)
        self._on_part()

    def _on_part(self) -> None:
        section = self._section
        self.lines.setEnabled(section)
        if not section:
            self.lines.setCurrentIndex(0)

    @property
    def _section(self) -> bool:
        layer = self.labels.layer
        return layer is None or layer.ndim == 2 or self.part.currentData() == "slice"

    def _run(self) -> None:
        layer = self.labels.layer
        labels = snapshot(layer, "labels")
        if not np.issubdtype(labels.data.dtype, np.integer):
            raise InputError(f"Layer {labels.name!r} holds no whole numbers; right-click it › Convert to Labels.")
        ignore = None if self.ignore.layer is None else snapshot(self.ignore.layer, "labels")
        if ignore is not None and tuple(ignore.data.shape) != tuple(labels.data.shape):
            raise InputError(
                f"{ignore.name!r} {tuple(ignore.data.shape)} and {labels.name!r} {tuple(labels.data.shape)} differ in "
                "shape; leave out what was painted on these labels' image."
            )
        z = slice_in_view(self.viewer, layer) if layer is not None and layer.ndim == 3 and self._section else None
        grains = self.grains.currentData()
        self._order = GrainOrder(
            labels,
            ignore,
            z,
            read_pixel_size(self.pixel.text(), len(labels.spacing)),
            {
                "boundary": None if grains == "number" else grains,
                "zero": self.zero.currentData(),
                "test_lines": self.lines.currentData() if self._section else "lines",
                "close_gaps": float(self.gaps.value()) if grains not in ("number", 0) else 0.0,
                "smallest": int(self.smallest.value()),
            },
        )
        self.save.setEnabled(False)
        self.launch(self._order.carry_out, self._show, f"Measuring {labels.name} …")

    def _listen(self, events: list[Any]) -> None:
        last = [event for event in events if isinstance(event, Progress)]
        if last:
            self.bar.advance(last[-1].done, last[-1].total)

    def _show(self, size: GrainSize | None) -> None:
        order = self._order
        assert order is not None
        if size is None:
            self.bar.say("Cancelled; nothing was measured.")
            self.save.setEnabled(self._size is not None)
            return
        self._size = size
        self.view.show_size(size)
        shown = "lines ran through the whole volume; choose “this slice” to see some"
        if size.hand_counts:
            show_count(self.viewer, size.hand_counts[0], order.labels, order.z)
            shown = "what a person would count is shown as layers"
        self.save.setEnabled(True)
        what = order.labels.name if order.z is None else f"slice {order.z} of {order.labels.name}"
        self.bar.say(f"Measured {what}; {shown}.", "good")

    def _ask_and_save(self) -> None:
        """One dialog, which asks about replacing itself."""
        order = self._order
        assert order is not None
        proposed = str(Path.home() / f"{order.labels.name.replace('/', '-')} grain size.html")
        path, _ = QFileDialog.getSaveFileName(self, "Save report", proposed, "Report (*.html)")
        if path:
            self.save_report(Path(path))

    def save_report(self, path: Path) -> None:
        """Write the report of the last measurement, in place of an earlier one of that name."""
        from napari_anneal.validation.grains import write_grain_size

        order, size = self._order, self._size
        if order is None or size is None:
            raise InputError("Nothing has been measured yet; press Measure first.")
        page = write_grain_size(
            size,
            path if path.suffix else path.with_suffix(".html"),
            title=f"Grain size of {order.labels.name}",
            about={"Layer": order.labels.name, **({} if order.z is None else {"Slice": str(order.z)})},
            overwrite=True,
        )
        self.bar.say(f"Report in {page}; figures and grains beside it.", "good")


def _classes(layer: Any) -> dict[int, str]:
    """Names of the classes of a class map: those it remembers, or its numbers where they are few; else none."""
    if layer is None:
        return {}
    remembered = layer.metadata.get(GROUP_KEY)
    names = remembered.get("classes") if isinstance(remembered, dict) else None
    if names:
        return dict(enumerate(map(str, names), start=1))
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    if not isinstance(data, np.ndarray) or data.ndim not in (2, 3):
        return {}
    values = np.unique(data[::4, ::4] if data.ndim == 2 else data[data.shape[0] // 2, ::4, ::4])
    values = values[values > 0]
    return {int(v): f"class {v}" for v in values} if len(values) <= MOST_CLASSES else {}
