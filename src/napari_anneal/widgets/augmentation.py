"""*Augmentation preview*: an image and its labels in, a grid of augmented pairs out; the recipe is the session's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy import compat
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSpinBox, QWidget

from napari_anneal.errors import InputError
from napari_anneal.widgets._augmented_grid import CellOrder, Grid, Tile
from napari_anneal.widgets._export_panel import ExportPanel
from napari_anneal.widgets._form import Form, fold, form_layout
from napari_anneal.widgets._grid_layers import GridLayers
from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import check_fit, is_gold, slice_in_view, snapshot
from napari_anneal.widgets._live_grid import LiveGrid
from napari_anneal.widgets._noise_match import Measured
from napari_anneal.widgets._noise_panel import THIS, NoisePanel, noise_order
from napari_anneal.widgets._pairs import matching_image
from napari_anneal.widgets._recipe_form import RecipeForm, build, calm
from napari_anneal.widgets._sample_choice import SampleChoice
from napari_anneal.widgets._session_augmentation import session_augmentation
from napari_anneal.widgets._show_choice import ShowChoice
from napari_anneal.widgets._transform_rows import TransformRows, words

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.augmentation import AugmentationRecipe

__all__ = ["AugmentationWidget"]

# A stroke is followed when it pauses: the cell is looked for in the whole image again.
STROKE_MS = 300
# Events of a Labels layer after which the cell is another one.
PAINT_EVENTS = ("paint", "data", "labels_update")


class AugmentationWidget(Form):
    """See what each transform, and the whole recipe, does to image and labels, and set what training uses."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Image, Labels

        from napari_anneal.augmentation import AugmentationRecipe
        from napari_anneal.augmentation.recipe import TRANSFORMS

        super().__init__(viewer, "Preview", "Show the grid beside the image, drawn with this seed (the same again).")
        self._recipe_type = AugmentationRecipe
        self._session = session_augmentation()
        self.image = LayerChoice(viewer, (Image,))
        self.row("Image", self.image, "2D, or a stack: then the slice that is shown. Cells are cut around the paint.")
        self.labels = LayerChoice(viewer, (Labels,), none="(no labels)")
        self.row("Labels", self.labels, "Moved together with the image; grey-value transforms leave them alone.")
        self.sample = SampleChoice()
        self.row("Sample", self.sample, "What the sample is: forbids the transforms that would be untrue.")
        self.shown = ShowChoice(TRANSFORMS)
        self.row("Show", self.shown, self.shown.tip)
        self._build_seed()
        self.transforms = TransformRows(self._session.recipe, TRANSFORMS)
        self.body.addWidget(self._recipe_head())
        self.body.addWidget(self.transforms)
        self._build_folded()
        self.body.addStretch()
        self.grid = GridLayers(viewer)
        self.drawing = LiveGrid(self, self._order, self.guarded)
        self._paint, self._followed = 0, []
        self._stroke = QTimer(self)
        self._stroke.setSingleShot(True)
        self._stroke.setInterval(STROKE_MS)
        self._stroke.timeout.connect(self._redraw)
        self._setting = False
        self._place: dict[str, Any] = {}
        self._connect()
        self._list_transforms()
        self._take_from_session()
        self._pair()
        self.drawing.warm_up()

    def _build_seed(self) -> None:
        self.seed, self.reseed = QSpinBox(), QPushButton("Next seed")
        self.seed.setRange(0, 999_999)
        self.seed.setKeyboardTracking(False)
        calm(self.seed)
        self.reseed.setToolTip("Draw other random numbers.")
        tip = "The same seed draws the same cells again, on any machine."
        self.seed.setToolTip(tip)
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.seed, 1)
        row.addWidget(self.reseed, 1)
        self.row("Seed", box, tip)

    def _recipe_head(self) -> QWidget:
        """What is said of the recipe as a whole, above its transforms."""
        self.about = QLabel()
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.about.setToolTip(
            "Fine-tune augments its training images with this very recipe, and never those it judges by."
        )
        self.reset = QPushButton("Default")
        self.reset.setToolTip("Go back to the default recipe: a gentle one for isotropic samples.")
        self.reset.clicked.connect(self._session.reset)
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 4, 0, 0)
        row.addWidget(self.about, 1)
        row.addWidget(self.reset)
        return box

    def _build_folded(self) -> None:
        box = QWidget()
        grid = form_layout(box)
        self.side, self.columns = QSpinBox(), QSpinBox()
        for spin, low, high, value, label, tip in (
            (self.side, 16, 2048, 256, "cell (px)", "Side of a cell, as the patch in training."),
            (self.columns, 2, 6, 3, "grid", "Cells along each side of the grid."),
        ):
            spin.setRange(low, high)
            spin.setValue(value)
            spin.setKeyboardTracking(False)
            spin.setToolTip(tip)
            calm(spin)
            grid.addRow(label, spin)
        self.outside = RecipeForm(self._session.recipe, ("outside",))
        grid.addRow(self.outside)
        self.noise = NoisePanel()
        self.body.addWidget(
            fold("Noise of your detector", self.noise, "Measure noise and blur of your images, and use their ranges.")
        )
        self.export = ExportPanel()
        self.body.addWidget(
            fold("Write augmented pairs", self.export, "Images and labels as files, for other programs.")
        )
        self.body.addWidget(fold("Cells and borders", box, "Size and number of the cells; what lies outside a patch."))

    def _connect(self) -> None:
        self.image.layer_changed.connect(self._follow)
        self.labels.layer_changed.connect(self._pair)
        self.bar.started.connect(self._draw_again)
        self.bar.cancelled.connect(self._cancel)
        self.reseed.clicked.connect(self._draw_others)
        self.shown.overlay.toggled.connect(self.grid.show_overlay)
        for signal in (self.seed.valueChanged, self.side.valueChanged, self.columns.valueChanged):
            signal.connect(self._redraw)
        self.shown.changed.connect(self._on_show)
        self.sample.changed.connect(self._on_sample)
        for part in (self.transforms, self.outside):
            part.changed.connect(self._on_edit)
        self.noise.asked.connect(lambda: self.guarded(self._measure))
        self.noise.accepted.connect(self._use_noise)
        self.export.asked.connect(lambda: self.guarded(self._export))
        self.job.events.connect(lambda events: self.bar.advance(*events[-1]))
        self._session.changed.connect(self._take_from_session)
        self.drawing.shown.connect(self._show)
        self.drawing.slow.connect(self._show_progress)
        self.drawing.job.ended.connect(lambda: None if self.job.running else self.bar.end())
        self.drawing.failed.connect(lambda text: self.bar.say(text, "bad"))
        self.viewer.dims.events.current_step.connect(self._on_slice)

    # The recipe

    def values(self) -> dict[str, Any]:
        """Every field of the recipe as edited, those of forbidden transforms too."""
        return {**self.transforms.values(), **self.sample.values(), **self.outside.values()}

    def recipe_now(self) -> AugmentationRecipe:
        """The recipe as edited; transforms that the kinds of sample forbid are switched off.

        Raises
        ------
        InputError
            A setting that the recipe refuses.
        """
        recipe: AugmentationRecipe = build(self._recipe_type, self._recipe_type.made_legal(self.values()))
        return recipe

    def _set(self, part: Any, values: Mapping[str, Any]) -> None:
        """Give a part of the form other values, of which it need tell nobody."""
        self._setting = True
        part.set_values(values)
        self._setting = False

    def _on_edit(self) -> None:
        if self._setting:
            return

        self.guarded(lambda: self._session.put(self.recipe_now()))
        self._redraw()

    def _on_sample(self) -> None:
        """Where quarter turns become untrue and half turns stay true, half turns take their place, and back."""
        if self._setting:
            return
        values = self.sample.values()
        kinds = (values["sample"], *values["also"])
        usual = self._recipe_type.for_sample(
            kinds, direction_deg=values["direction_deg"], light_deg=values["light_deg"]
        ).rot180
        if self.transforms.values()["rot180"] in (0.0, self._half_turns):
            self._set(self.transforms, {"rot180": usual})
        self._half_turns = usual
        self._list_transforms()
        self._on_edit()

    def _take_from_session(self) -> None:
        """Show the session's recipe, which another form may have put there."""
        recipe = self._session.recipe
        if not compat.isalive(self):
            return
        self._half_turns = self._recipe_type.for_sample(
            recipe.kinds, direction_deg=recipe.direction_deg, light_deg=recipe.light_deg
        ).rot180
        values = {name: getattr(recipe, name) for name in type(recipe).model_fields}
        if self._recipe_type.made_legal(self.values()) != values:
            for part in (self.sample, self.transforms, self.outside):
                self._set(part, values)
            self._list_transforms()
        self._say_recipe()
        self._redraw()

    def _list_transforms(self) -> None:
        """Offer the transforms that are legal for the sample, and grey the others with the reason."""
        from napari_anneal.augmentation import illegal_transforms

        values = self.values()
        illegal = illegal_transforms(self.sample.kinds, values["direction_deg"], values["light_deg"])
        self.transforms.forbid(illegal)
        self.shown.forbid(illegal)
        said = []
        if illegal:
            said.append(f"Off: {', '.join(map(words, illegal))}; why is said beside each.")
        if self._recipe_type.made_legal(values)["outside"] != values["outside"]:
            said.append("Pixels from outside a cell are wrapped around: mirrored, they would be flipped.")
        self.sample.say(" ".join(said))

    def _say_recipe(self) -> None:
        count = len(self._session.recipe.active)
        self.about.setText(f"{count} transform{'s' * (count != 1)}; Fine-tune uses these")
        self.reset.setEnabled(self._session.recipe != self._recipe_type())

    # What is shown

    def _on_show(self) -> None:
        self.transforms.look_at(self.shown.looked_at)
        if self.shown.looked_at is not None:
            self.transforms.unfold(self.shown.looked_at)
        self._redraw()

    def _redraw(self, value: Any = None) -> None:
        """Show the change, if there is a preview to change."""
        if self.grid.shown:
            self.drawing.ask()

    def _draw_again(self) -> None:
        """Cut and draw anew: what a layer holds may have been changed without a word."""

        def draw() -> None:
            self._order()  # what is wrong with the choice is said at once
            self.drawing.forget()
            self.drawing.ask()

        self.guarded(draw)

    def _show_progress(self, done: int, total: int) -> None:
        """Large cells take a while: say how far it is, and let it be cancelled."""
        if not self.bar.cancel.isEnabled():
            self.bar.begin("Drawing …")
        self.bar.advance(done, total)

    def _cancel(self) -> None:
        if self.drawing.job.running:
            self.drawing.drop()
            self.bar.say("Cancelled; the grid stays as it was.")

    def _draw_others(self) -> None:
        self.seed.setValue(self.seed.value() + 1)
        if not self.grid.shown:
            self.drawing.ask()

    def _pair(self) -> None:
        labels = self.labels.layer
        image = None if labels is None else matching_image(self.viewer, labels)
        if image is not None:
            self.image.choose(image)
        self._follow()

    def _follow(self) -> None:
        """Listen to what the chosen layers hold."""
        for emitter in self._followed:
            emitter.disconnect(self._on_pixels)
        self._followed = []
        image, labels = self.image.layer, self.labels.layer
        if image is not None:
            self._followed.append(image.events.data)
        if labels is not None:
            self._followed += [getattr(labels.events, name) for name in PAINT_EVENTS]
        for emitter in self._followed:
            emitter.connect(self._on_pixels)
        self._redraw()

    def _on_pixels(self, event: Any = None) -> None:
        if compat.isalive(self):
            self._paint += 1
            self._stroke.start()

    def _on_slice(self, event: Any = None) -> None:
        layer = self.image.layer if compat.isalive(self) else None
        if layer is not None and layer.ndim == 3:
            self._redraw()

    def _order(self) -> tuple[Any, CellOrder, tuple[Tile, ...], int]:
        layer, paint = self.image.layer, self.labels.layer
        # Only the preview reads it and nothing is kept: no copy of a large stack for nine small cells.
        image = snapshot(layer, copy=False)
        if layer is not None and is_gold(layer):
            raise InputError(f"Image {image.name!r} is gold and is never augmented; choose another one.")
        labels = None if paint is None else snapshot(paint, "labels", copy=False)
        if labels is not None:
            check_fit(image, labels)
        z = slice_in_view(self.viewer, layer) if image.is_stack and layer is not None else None
        plane = None if labels is None else labels.data if z is None else labels.data[z]
        side = self.side.value()
        tiles, columns = self.shown.tiles(self.recipe_now(), self.seed.value(), self.columns.value())
        self._place = beside(image)
        self._colormap = None if paint is None else paint.colormap
        key = (id(layer), id(image.data), id(paint), self._paint, z, side)
        return key, CellOrder(image.name, image.data, image.axes, plane, z, side), tiles, columns

    def _show(self, grid: Grid, seconds: float) -> None:
        self.grid.show(grid, self._place, self._colormap, self.shown.overlay.isChecked())
        what = self.shown.combo.currentText()
        said = f"{len(grid.tiles) - 1} cells of {what}, seed {self.seed.value()}, {seconds * 1000:.0f} ms."
        self.bar.say(f"{grid.cell.note} {said}".strip(), "plain" if grid.cell.note else "good")

    # Noise and files

    def _measure(self) -> None:
        order = noise_order(self.viewer, self.image.layer, self.labels.layer, self.noise.which.currentData() != THIS)
        self.noise.offer(len(order.planes))
        self.launch(order.carry_out, self._measured, "Measuring the noise …")

    def _measured(self, found: Measured | None) -> None:
        if found is None:
            self.bar.say("Cancelled; nothing was measured.")
            return
        self.noise.show_measured(found)
        self.bar.say(f"Measured: {found.noise}.", "good" if found.noise.suggestion is None else "bad")

    def _use_noise(self, settings: dict[str, Any]) -> None:
        self.transforms.set_values(settings)
        self.transforms.unfold("gaussian_noise")
        off = [words(name) for name in self.recipe_now().switched_off if settings.get(name)]
        but = f" The sample forbids {' and '.join(off)}, which stay off." if off else ""
        self.bar.say(f"The recipe has the measured ranges.{but}", "plain" if off else "good")

    def _export(self) -> None:
        order = self.export.order(
            self.viewer, self.image.layer, self.labels.layer, self.recipe_now(), self.seed.value()
        )  # fmt: skip

        def show(done: Any) -> None:
            gold = f" Left out as gold: {', '.join(order.gold)}." if order.gold else ""
            self.bar.say(f"{done}{gold}", "plain" if done.folder is None else "good")
            if done.folder is not None:
                self.export.next_folder()

        self.launch(order.carry_out, show, "Writing augmented pairs …")

    def stop(self) -> None:
        """Draw no more either."""
        self.drawing.stop()
        super().stop()


def beside(image: Any) -> dict[str, Any]:
    """Right of an image, in its scale and units."""
    scale = np.asarray(image.placement["scale"])[-2:]
    corner = np.asarray(image.placement["translate"], dtype=float)[-2:]
    width = image.data.shape[len(image.spacing) - 1]
    return {
        "scale": scale,
        "translate": corner + np.array([0, width * 1.05]) * scale,
        "units": tuple(image.placement["units"])[-2:],
    }
