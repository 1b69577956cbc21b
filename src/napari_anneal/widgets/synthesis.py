"""*Synthetic microstructure*: a recipe in, an Image layer with perfect labels out, with a live preview."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QCheckBox, QComboBox, QGridLayout, QMenu, QPushButton, QWidget

from napari_anneal.errors import InputError
from napari_anneal.widgets._form import Form, fold, shrinkable
from napari_anneal.widgets._microstructure_form import MicrostructureForm
from napari_anneal.widgets._preview import PREVIEW_2D, PREVIEW_3D, Preview
from napari_anneal.widgets._recipe_form import calm
from napari_anneal.widgets._rungs import RungsOrder, remove_rungs, show_rungs
from napari_anneal.widgets._save_pairs import SaveDialog, SaveOrder
from napari_anneal.widgets._size_plot import SizePlot, Sizes
from napari_anneal.widgets._stream_source import StreamSource, hand_over
from napari_anneal.widgets._synthetic_layers import add_layers, add_seeds, count_of, making

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import Microstructure, MicrostructureRecipe, RecipeRanges, SavedPairs

__all__ = ["SynthesisWidget"]


class SynthesisWidget(Form):
    """Make a micrograph or a volume of grains (or objects) with its labels."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, "Create layers", "Add the image, the grains and the boundary labels as layers.")
        self.settings = MicrostructureForm(viewer)
        self.body.addWidget(self.settings)
        self.sizes_plot = SizePlot()
        self.body.addWidget(fold("Size distribution", self.sizes_plot, "Sizes in the preview beside those asked for"))
        self.live = QCheckBox("live preview")
        self.live.setChecked(True)
        largest = f"{PREVIEW_2D}² px, or {PREVIEW_3D}³ in 3D"
        self.live.setToolTip(f"Draw a preview layer after every change; of a piece, where the whole exceeds {largest}.")
        self.distance = QCheckBox("distance layer")
        self.distance.setToolTip(
            "Create layers also adds an Image layer with the distance (px) of every pixel to the nearest boundary."
        )
        self.variety = shrinkable(QComboBox())
        self.variety.addItems(["this recipe, ever new seeds", "as varied as the preset"])
        self.variety.setToolTip(
            "What Save pairs, Train on this and Copy take: the recipe exactly as set above with running seeds, or the "
            "ranges of the chosen preset (of plain grains: wide ranges of everything), whatever was edited since."
        )
        calm(self.variety)
        self._build_buttons()
        self.body.addStretch()
        self.preview = Preview(self, viewer, self._to_preview, self.guarded)
        self.preview.shown.connect(self._previewed)
        self.preview.failed.connect(lambda text: self.bar.say(text, "bad"))
        self.settings.changed.connect(self._changed)
        self.settings.look.failed.connect(lambda text: self.bar.say(text, "bad"))
        self.live.toggled.connect(self._changed)
        self.job.events.connect(lambda events: self.bar.advance(*events[-1]))
        self.bar.started.connect(lambda: self.guarded(self._create))
        self._opened = False

    def _build_buttons(self) -> None:
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 4, 0, 4)
        grid.setSpacing(4)
        grid.addWidget(self.live, 0, 0)
        grid.addWidget(self.distance, 0, 1)
        self.rungs = self._button(
            "Five rungs", "The five rungs of the appearance side by side on the same grains.", self._draw_rungs
        )
        self.seeds = self._button(
            "Seeds to Points",
            "Add the seeds of these settings as a Points layer; move, add or delete some, and grow grains from them.",
            self._draw_seeds,
        )
        self.save = self._button(
            "Save N pairs…", "Write images with labels to a folder, the recipe beside them.", self._ask_where
        )
        self.train = self._button(
            "Train on this", "Open Fine-tune with an endless stream of such images as its source.", self._train
        )
        self.copy = self._button("Copy recipe", "Put what makes these images into the clipboard.", None)
        menu = QMenu(self.copy)
        menu.addAction("as Python").triggered.connect(lambda: self.guarded(lambda: self.copy_as("Python")))
        menu.addAction("as terminal command").triggered.connect(lambda: self.guarded(lambda: self.copy_as("command")))
        self.copy.setMenu(menu)
        grid.addWidget(self.rungs, 1, 0)
        grid.addWidget(self.seeds, 1, 1)
        grid.addWidget(self.variety, 2, 0, 1, 2)
        grid.addWidget(self.save, 3, 0)
        grid.addWidget(self.train, 3, 1)
        grid.addWidget(self.copy, 4, 0, 1, 2)
        self.body.addWidget(box)

    def _button(self, text: str, tip: str, action: Callable[[], None] | None) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        if action is not None:
            button.clicked.connect(lambda: self.guarded(action))
        return button

    def showEvent(self, event: Any) -> None:
        """Show what there is to be had, where the viewer is empty; elsewhere wait for the first edit."""
        super().showEvent(event)
        if not self._opened and not self.viewer.layers:
            self._changed()
        self._opened = True

    def stop(self) -> None:
        """Draw no more either."""
        self.preview.stop()
        super().stop()

    def recipe(self) -> MicrostructureRecipe:
        """The recipe as edited; see `MicrostructureForm.recipe`."""
        return self.settings.recipe()

    @property
    def seed(self) -> int:
        """The random seed."""
        return int(self.settings.seed.value())

    def recipe_or_ranges(self) -> tuple[MicrostructureRecipe | RecipeRanges, str]:
        """What pairs and streams are made from, and how to call it."""
        preset = self.settings.preset.currentText()
        if self.variety.currentIndex() == 1:
            return self.settings.ranges(), f"{preset}, all its ranges"
        return self.recipe(), f"{preset}, as set"

    def copy_as(self, language: str) -> None:
        """Put the recipe into the clipboard as ``"Python"`` or as a terminal ``"command"``."""
        from napari_anneal.synthesis import as_command, as_python

        recipe, _ = self.recipe_or_ranges()
        text = as_python(recipe, self.seed) if language == "Python" else as_command(recipe, self.seed)
        QApplication.clipboard().setText(text)
        what = "a Python script" if language == "Python" else "a terminal command"
        self.bar.say(f"Copied as {what} of {len(text.splitlines())} line(s).", "good")

    def _changed(self, value: Any = None) -> None:
        if self.live.isChecked():
            self.preview.ask()

    def _to_preview(self) -> tuple[MicrostructureRecipe, int, dict[str, Any]]:
        return self.recipe(), self.seed, self.settings.placement

    def _previewed(self, made: Microstructure, sizes: Sizes) -> None:
        if remove_rungs(self.viewer):
            self.viewer.reset_view()
        self.sizes_plot.show_sizes(sizes)
        if self.job.running:
            return
        size = " × ".join(map(str, made.image.shape))
        whole = "" if made.image.shape == self.settings.shape else " (a piece, with the same density of grains)"
        self.bar.say(f"Preview of {size} px{whole}: {count_of(made)}.")

    def _free(self) -> None:
        """Refuse a second job beside a running one."""
        if self.job.running:
            raise InputError("A job is running; wait for its end, or cancel it.")

    def _create(self) -> None:
        recipe, distance, place = self.recipe(), self.distance.isChecked(), self.settings.placement
        self.preview.drop()

        def show(made: Microstructure) -> None:
            self.preview.remove()
            name = add_layers(self.viewer, made, place, distance=distance)
            self.bar.say(
                f"{name}: {count_of(made)}; the {made.classes[1]} labels can train a model in Fine-tune.", "good"
            )

        self.launch(making(recipe, self.seed), show, "Growing the microstructure …")

    def _draw_rungs(self) -> None:
        self._free()
        order, place = RungsOrder(self.recipe(), self.seed), self.settings.placement

        def show(mosaic: Any) -> None:
            if mosaic is None:
                self.bar.say("Cancelled.")
                return
            show_rungs(self.viewer, mosaic, place)
            self.bar.say("The five rungs, and the labels that all of them share.", "good")

        self.launch(order.carry_out, show, "Drawing five rungs …")

    def _draw_seeds(self) -> None:
        self._free()
        recipe, place = self.recipe(), self.settings.placement
        # Grey levels change no seed, and clean geometry is quickest to draw.
        bare = recipe.model_copy(update={"appearance": recipe.appearance.model_copy(update={"rung": 1})})

        def show(made: Microstructure) -> None:
            layer = add_seeds(self.viewer, made, place)
            self.bar.say(f"{len(made.seeds)} seeds; edit them and choose {layer.name!r} at “seeds from”.", "good")

        self.launch(making(bare, self.seed), show, "Placing seeds …")

    def _ask_where(self) -> None:
        self._free()
        recipe, what = self.recipe_or_ranges()
        dialog = SaveDialog(recipe, f"{what}; {' × '.join(map(str, recipe.shape))} px.", self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.chosen.connect(lambda count, folder: self.guarded(lambda: self.save_pairs(count, folder)))
        dialog.open()

    def save_pairs(self, count: int, folder: Path) -> None:
        """Write ``count`` pairs into a new folder, with progress; Cancel keeps those that are finished."""
        self._free()
        order = SaveOrder(self.recipe_or_ranges()[0], self.seed, count, folder)

        def told(saved: SavedPairs) -> None:
            cut = "" if saved.count == count else f" of {count} (cancelled)"
            where = "; nothing was written" if saved.folder is None else f" in {saved.folder}, recipe.json beside them"
            self.bar.say(f"{saved.count} pairs{cut}{where}.", "good")

        self.preview.drop()
        self.launch(order.carry_out, told, f"Saving {count} pairs …")

    def _train(self) -> None:
        recipe, what = self.recipe_or_ranges()
        source = StreamSource(recipe, self.seed, what)
        source.stream(256)  # a recipe that holds on no patch is refused here, where it can be changed
        hand_over(self.viewer, source)
        self.bar.say("Fine-tune has the stream; press Fine-tune there.", "good")
