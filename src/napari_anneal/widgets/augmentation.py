"""*Augmentation preview*: an image and its labels in, a grid of augmented pairs out, to look at before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_anneal.widgets._form import Form, fold, form_layout, shrinkable
from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import check_fit, made, snapshot
from napari_anneal.widgets._mosaic import Mosaic, MosaicOrder
from napari_anneal.widgets._pairs import matching_image
from napari_anneal.widgets._recipe_form import RecipeForm, build, caption

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["AugmentationWidget"]

WHOLE = "the whole recipe"
# A change is shown this long after the last edit.
DEBOUNCE_MS = 350
NAMES = ("augmented image", "augmented labels", "original image", "original labels")


class AugmentationWidget(Form):
    """See what a transform, or the whole recipe, does to the image and to the labels."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Image, Labels

        from napari_anneal.augmentation import AugmentationRecipe

        super().__init__(viewer, "Preview", "Show a grid of augmented pairs beside the image.")
        self._recipe_type = AugmentationRecipe
        self.image = LayerChoice(viewer, (Image,))
        self.row("Image", self.image, "2D, or a stack: then the slice that is shown. Cells are cut around the paint.")
        self.labels = LayerChoice(viewer, (Labels,), none="(no labels)")
        self.row("Labels", self.labels, "Moved together with the image; grey-value transforms leave them alone.")
        self.show_what = shrinkable(QComboBox())
        self.row("Show", self.show_what, "One transform alone (in every cell), or all of them as training draws them.")
        self.reseed = QPushButton("Reseed")
        self.reseed.setToolTip("Draw other random numbers.")
        self.before = QPushButton("Before")
        self.before.setCheckable(True)
        self.before.setToolTip("Switch between the augmented cells and the same cells as they were.")
        self.bar.buttons.insertWidget(1, self.before, 1)
        self.bar.buttons.insertWidget(1, self.reseed, 1)
        self._build_folded()
        self.body.addStretch()
        self._seed, self._shown, self._again = 0, False, False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._update)
        self.labels.layer_changed.connect(self._pair)
        self.bar.started.connect(lambda: self.guarded(self._run))
        self.reseed.clicked.connect(self._draw_others)
        self.before.toggled.connect(self._toggle)
        for signal in (self.show_what.currentIndexChanged, self.side.valueChanged, self.columns.valueChanged):
            signal.connect(self._changed)
        self.job.events.connect(lambda events: self.bar.advance(*events[-1]))
        self.job.ended.connect(self._run_again)
        self._list_transforms()
        self._pair()

    def _build_folded(self) -> None:
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        grid = form_layout()
        self.side, self.columns = QSpinBox(), QSpinBox()
        for spin, low, high, value, label, tip in (
            (self.side, 16, 2048, 192, "cell (px)", "Side of a cell, as the patch in training."),
            (self.columns, 1, 6, 3, "grid", "Cells along each side of the grid."),
        ):
            spin.setRange(low, high)
            spin.setValue(value)
            spin.setKeyboardTracking(False)
            spin.setToolTip(tip)
            grid.addRow(label, spin)
        column.addLayout(grid)
        self.reasons = QLabel()
        self.reasons.setWordWrap(True)
        column.addWidget(self.reasons)
        self.recipe = RecipeForm(self._recipe_type())
        self.recipe.changed.connect(self._recipe_changed)
        column.addWidget(self.recipe)
        section = fold("What the sample is, probabilities and strengths", box, "Every field of the augmentation recipe")
        self.body.addWidget(section)

    def recipe_now(self) -> Any:
        """The recipe as edited; transforms that the kind of sample forbids are switched off.

        Raises
        ------
        InputError
            A range the wrong way round.
        """
        values = self._recipe_type.made_legal(self.recipe.values())
        name = self.show_what.currentData()
        if name is not None:
            from napari_anneal.augmentation.recipe import TRANSFORMS

            values.update(dict.fromkeys(TRANSFORMS, 0.0))
            values[name] = 1.0
        return build(self._recipe_type, values)

    def _list_transforms(self) -> None:
        """Offer the transforms that are legal for the kind of sample, and say why the others are not."""
        from napari_anneal.augmentation import illegal_transforms
        from napari_anneal.augmentation.recipe import TRANSFORMS

        values = self.recipe.values()
        illegal = illegal_transforms(values["sample"], values["direction_deg"], values["light_deg"])
        unused = {"direction_deg"} if values["sample"] not in ("textured", "columnar") else set()
        unused |= {"light_deg"} if values["sample"] != "shadowed" else set()
        # "rotate" is how often, "rotate_deg" how far.
        off = tuple(f"{name}_" for name in illegal)
        self.recipe.leave_out(unused | {name for name in values if f"{name}_".startswith(off)})
        chosen = self.show_what.currentData()
        self.show_what.blockSignals(True)
        self.show_what.clear()
        self.show_what.addItem(WHOLE, None)
        for name in TRANSFORMS:
            if name not in illegal:
                self.show_what.addItem(caption(name), name)
        self.show_what.setCurrentIndex(max(0, self.show_what.findData(chosen)) if chosen else 0)
        self.show_what.blockSignals(False)
        by_reason: dict[str, list[str]] = {}
        for name, reason in illegal.items():
            by_reason.setdefault(reason, []).append(caption(name))
        said = [f"Off: {', '.join(names)}. {why[:1].upper()}{why[1:]}." for why, names in by_reason.items()]
        if self._recipe_type.made_legal(values)["outside"] != values["outside"]:
            said.append("Pixels from outside a cell are wrapped around: mirrored, they would be flipped.")
        self.reasons.setText("\n".join(said))
        self.reasons.setVisible(bool(illegal))

    def _recipe_changed(self) -> None:
        self._list_transforms()
        self._changed()

    def _changed(self, value: Any = None) -> None:
        """Show the change, if there is a preview to change."""
        if self._shown:
            self._timer.start()

    def _draw_others(self) -> None:
        self._seed += 1
        self._update()

    def _update(self) -> None:
        if self.job.running:
            self._again = True
            self.job.cancel()
        else:
            self.guarded(self._run)

    def _run_again(self) -> None:
        if self._again:
            self._again = False
            self._update()

    def _pair(self) -> None:
        labels = self.labels.layer
        image = None if labels is None else matching_image(self.viewer, labels)
        if image is not None:
            self.image.choose(image)

    def _run(self) -> None:
        layer = self.image.layer
        # Only the preview reads it and nothing is kept: no copy of a large stack for nine small cells.
        image = snapshot(layer, copy=False)
        paint = None if self.labels.layer is None else snapshot(self.labels.layer, "labels")
        if paint is not None:
            check_fit(image, paint)
        z = None
        if image.is_stack and layer is not None:
            depth = image.data.shape[0]
            z = int(np.clip(round(float(layer.world_to_data(self.viewer.dims.point)[0])), 0, depth - 1))
        order = MosaicOrder(
            image.data,
            image.axes,
            None if paint is None else paint.data,
            z,
            self.recipe_now(),
            self.side.value(),
            self.columns.value(),
            self._seed,
        )
        self._placement = self._beside(image)
        self._colormap = None if self.labels.layer is None else self.labels.layer.colormap
        self.launch(order.carry_out, self._show, "Augmenting …")

    def _beside(self, image: Any) -> dict[str, Any]:
        """Right of the image, in its scale."""
        scale = np.asarray(image.placement["scale"])[-2:]
        corner = np.asarray(image.placement["translate"], dtype=float)[-2:]
        width = image.data.shape[len(image.spacing) - 1]
        return {"scale": scale, "translate": corner + np.array([0, width * 1.05]) * scale}

    def _show(self, mosaic: Mosaic | None) -> None:
        if mosaic is None:
            self.bar.say("Cancelled; the grid stays as it was.")
            return
        data = (mosaic.image, mosaic.labels, mosaic.image_before, mosaic.labels_before)
        first = not self._shown or all(name not in self.viewer.layers for name in NAMES)
        selected = self.image.layer, self.labels.layer
        for name, array in zip(NAMES, data, strict=True):
            if name.endswith("labels") and self.labels.layer is None:
                continue
            self._put(name, array)
        self.image.choose(selected[0])
        self.labels.choose(selected[1])
        self._shown = True
        self._toggle(self.before.isChecked())
        if first:
            self.viewer.reset_view()
        count = self.columns.value() ** 2
        what = self.show_what.currentText()
        self.bar.say(f"{count} draws of {what}, seed {self._seed}; the layers are right of the image.", "good")

    def _put(self, name: str, array: Any) -> None:
        """Add a layer, or give the layer of the last preview its new content."""
        if name in self.viewer.layers:
            layer = self.viewer.layers[name]
            if layer.data.ndim == array.ndim:
                layer.data = array
                layer.scale, layer.translate = self._placement["scale"], self._placement["translate"]
                return
            self.viewer.layers.remove(layer)
        options = {**self._placement, "metadata": made("preview")}
        if name.endswith("labels"):
            self.viewer.add_labels(array, name=name, colormap=self._colormap, opacity=0.45, **options)
        else:
            rgb = array.ndim == 3
            limits = {} if rgb else {"contrast_limits": (0.0, 1.0)}
            self.viewer.add_image(array, name=name, rgb=rgb, **limits, **options)

    def _toggle(self, before: bool) -> None:
        for name in NAMES:
            if name in self.viewer.layers:
                self.viewer.layers[name].visible = name.startswith("original") == before
