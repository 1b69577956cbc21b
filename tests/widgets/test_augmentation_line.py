"""What *Augmentation preview* shows is what *Fine-tune* trains with, and no file is opened on the way."""

from __future__ import annotations

from painted import add_pair

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.training.runs import read_recipe
from napari_anneal.widgets._augmentation_line import open_preview
from napari_anneal.widgets._grid_layers import IMAGE
from napari_anneal.widgets._pairs import Pair
from napari_anneal.widgets._session_augmentation import session_augmentation
from napari_anneal.widgets.augmentation import AugmentationWidget


def test_a_run_is_augmented_with_the_recipe_of_the_preview(viewer, form, wait_for, qtbot, tmp_path) -> None:
    add_pair(viewer)
    form.pairs.add_all()
    preview = AugmentationWidget(viewer)
    qtbot.addWidget(preview)
    line = form.choice.augmentation
    assert line.text == "12 transforms, isotropic"
    preview.sample.boxes["textured"].setChecked(True)
    preview.transforms.set_values({"gamma": 0.0, "cutout": 0.4, "cutout_holes": (2, 3)})
    wanted = preview.recipe_now()
    assert line.text == f"{len(wanted.active)} transforms, rolled"
    assert form.choice.draft.recipe(1, True)[0].augmentation == wanted
    form.epochs.setValue(1)
    form.bar.start.click()
    wait_for(form)
    (run,) = (tmp_path / "runs").iterdir()
    trained = read_recipe(run).augmentation
    assert trained == wanted
    assert (trained.sample, trained.gamma, trained.cutout_holes) == ("textured", 0.0, (2, 3))
    preview.drawing.stop()


def test_fine_tune_gives_the_recipe_back_and_the_preview_follows(form, viewer, qtbot) -> None:
    preview = AugmentationWidget(viewer)
    qtbot.addWidget(preview)
    session_augmentation().put(AugmentationRecipe.for_sample("chiral"))
    assert preview.sample.button.text() == "chiral"
    assert form.choice.augmentation.text.endswith(", chiral")
    assert form.choice.augmentation.reset.isVisibleTo(form)
    form.choice.augmentation.reset.click()
    assert preview.recipe_now() == AugmentationRecipe()
    assert not form.choice.augmentation.reset.isVisibleTo(form)
    preview.drawing.stop()


def test_without_a_window_there_is_a_sentence_and_with_one_the_pair_is_shown(form, viewer, make_napari_viewer) -> None:
    form.choice.augmentation.look.click()
    assert "needs a viewer with a window" in form.bar.text
    shown = make_napari_viewer()
    image, labels = add_pair(shown)
    shown.add_image(image.data, name="another")
    open_preview(shown, [Pair(image, labels, "")])
    preview = shown.window.dock_widgets["Augmentation preview (napari-anneal)"]
    assert (preview.image.layer, preview.labels.layer) == (image, labels)
    preview.drawing.stop()
    assert preview.grid.layer(IMAGE) is None
