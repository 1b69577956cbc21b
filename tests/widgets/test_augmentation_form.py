"""*Augmentation preview*: the grid is what the core's augmenter draws."""

from __future__ import annotations

import numpy as np
import pytest
from painted import stripes, strokes

from napari_anneal.augmentation import AugmentationRecipe, Augmenter
from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.widgets._mosaic import GAP, crop_window, tiled
from napari_anneal.widgets.augmentation import AugmentationWidget


@pytest.fixture
def form(viewer):
    form = AugmentationWidget(viewer)
    form.side.setValue(48)
    form.columns.setValue(2)
    yield form
    form.job.stop()


def show(form, name: str | None) -> None:
    index = next(i for i in range(form.show_what.count()) if form.show_what.itemData(i) == name)
    form.show_what.setCurrentIndex(index)


def cell(mosaic: np.ndarray, row: int, column: int, side: int = 48) -> np.ndarray:
    return mosaic[row * (side + GAP) :, column * (side + GAP) :][:side, :side]


def test_a_flip_alone_is_a_flip_in_every_cell(viewer, form, wait_for) -> None:
    image = viewer.add_image(stripes(seed=3), name="sem", scale=(0.5, 0.5))
    form.labels.choose(viewer.add_labels(strokes(), name="sem labels", scale=(0.5, 0.5)))
    assert form.image.layer is image
    show(form, "hflip")
    form.bar.start.click()
    wait_for(form)
    before, after = viewer.layers["original image"].data, viewer.layers["augmented image"].data
    labels, moved = viewer.layers["original labels"].data, viewer.layers["augmented labels"].data
    for row in (0, 1):
        for column in (0, 1):
            np.testing.assert_allclose(cell(after, row, column), cell(before, row, column)[:, ::-1], atol=1e-6)
            np.testing.assert_array_equal(cell(moved, row, column), cell(labels, row, column)[:, ::-1])
    assert moved.any()
    np.testing.assert_allclose(viewer.layers["augmented image"].scale, (0.5, 0.5))


def test_the_cells_are_the_augmenters_draws_and_reseed_draws_others(viewer, form, wait_for) -> None:
    viewer.add_image(stripes(), name="sem")
    form.bar.start.click()
    wait_for(form)
    unit = intensity_range(stripes(), "YX").apply(stripes())
    window = crop_window(np.zeros((96, 96), np.int64), 48)
    expected, _ = Augmenter(AugmentationRecipe())(
        np.ascontiguousarray(unit[window][np.newaxis]), np.zeros((48, 48), np.int64), 1
    )
    first = viewer.layers["augmented image"].data
    np.testing.assert_allclose(cell(first, 0, 1), expected[0], atol=1e-6)
    form.reseed.click()
    wait_for(form)
    assert not np.array_equal(viewer.layers["augmented image"].data, first)
    assert len(viewer.layers) == 3


def test_before_and_after_switch_visibility(viewer, form, wait_for) -> None:
    viewer.add_image(stripes())
    form.bar.start.click()
    wait_for(form)
    assert viewer.layers["augmented image"].visible
    assert not viewer.layers["original image"].visible
    form.before.click()
    assert not viewer.layers["augmented image"].visible
    assert viewer.layers["original image"].visible


def test_an_edit_of_a_strength_redraws_by_itself(viewer, form, wait_for, qtbot) -> None:
    viewer.add_image(stripes())
    show(form, "blur")
    form.bar.start.click()
    wait_for(form)
    first = viewer.layers["augmented image"].data.copy()
    form.recipe.set_values({"blur_sigma_px": (3.0, 3.0)})
    qtbot.waitUntil(lambda: not np.array_equal(viewer.layers["augmented image"].data, first), timeout=20_000)


def test_illegal_transforms_are_not_offered_and_the_reason_is_shown(form) -> None:
    form.recipe.set_values({"sample": "chiral"})
    offered = [form.show_what.itemData(i) for i in range(form.show_what.count())]
    assert "hflip" not in offered
    assert "rotate" in offered
    assert "mirror image" in form.reasons.text()
    assert form.recipe_now().hflip == 0


def test_the_flip_that_stays_legal_follows_the_light_and_borders_are_not_mirrored(form) -> None:
    form.recipe.set_values({"sample": "shadowed", "light_deg": 0.0})
    offered = [form.show_what.itemData(i) for i in range(form.show_what.count())]
    assert "vflip" in offered
    assert "hflip" not in offered
    assert form.recipe_now().outside == "wrap"
    assert "wrapped around" in form.reasons.text()
    form.recipe.set_values({"light_deg": 90.0})
    offered = [form.show_what.itemData(i) for i in range(form.show_what.count())]
    assert "hflip" in offered
    assert "vflip" not in offered


def test_settings_of_what_is_off_are_hidden_and_come_back(form) -> None:
    def shown() -> set[str]:
        return {name for name, (_, editor) in form.recipe._rows.items() if not editor.isHidden()}

    everything = set(form.recipe.values()) - {"direction_deg", "light_deg"}
    assert shown() == everything
    form.recipe.set_values({"sample": "textured"})
    assert everything - shown() == {
        "rot90", "rotate", "rotate_deg", "shear", "shear_deg", "perspective", "perspective_fraction"
    }  # fmt: skip
    assert "direction_deg" in shown()
    form.recipe.set_values({"sample": "isotropic"})
    assert shown() == everything


def test_a_range_the_wrong_way_round_is_said(viewer, form) -> None:
    viewer.add_image(stripes())
    form.recipe.set_values({"gamma_exponent": (2.0, 1.0)})
    form.bar.start.click()
    assert "the lower one first" in form.bar.text
    assert form.bar.start.isEnabled()


def test_the_slice_that_is_shown_is_augmented_and_colour_stays_colour(viewer, form, wait_for) -> None:
    stack = np.stack([np.full((64, 64), 10), stripes((64, 64)), np.full((64, 64), 200)]).astype(np.uint8)
    viewer.add_image(stack, name="ct")
    viewer.dims.set_current_step(0, 1)
    form.bar.start.click()
    wait_for(form)
    assert viewer.layers["original image"].data.std() > 0.1
    viewer.layers.clear()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), rgb=True)
    form.bar.start.click()
    wait_for(form)
    assert viewer.layers["augmented image"].rgb, form.bar.text


def test_tiles_hold_every_cell_once() -> None:
    cells = [np.full((4, 5), k) for k in range(1, 6)]
    out = tiled(cells, 3)
    assert out.shape == (2 * 4 + GAP, 3 * 5 + 2 * GAP)
    assert [int((out == k).sum()) for k in range(1, 6)] == [20] * 5
