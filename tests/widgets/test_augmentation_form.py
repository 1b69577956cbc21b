"""*Augmentation preview*: the cells are what the core's augmenter draws, and the recipe is the one that trains."""

from __future__ import annotations

import numpy as np
import pytest
from painted import stripes, strokes

from napari_anneal.augmentation import SAMPLE_KINDS, AugmentationRecipe, Augmenter
from napari_anneal.augmentation.recipe import TRANSFORMS
from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.widgets._grid_layers import CAPTIONS, IMAGE, LABELS
from napari_anneal.widgets._layers import remember
from napari_anneal.widgets._mosaic import GAP, crop_window, tiled
from napari_anneal.widgets._sample_choice import KINDS
from napari_anneal.widgets._session_augmentation import session_augmentation
from napari_anneal.widgets._show_choice import ALONE
from napari_anneal.widgets.augmentation import AugmentationWidget

SIDE, HEAD = 48, 8


@pytest.fixture
def form(viewer, qtbot):
    form = AugmentationWidget(viewer)
    qtbot.addWidget(form)
    form.side.setValue(SIDE)
    form.columns.setValue(2)
    drawn(form, qtbot)
    yield form
    form.drawing.stop()
    form.job.stop()


def drawn(form, qtbot) -> None:
    qtbot.waitUntil(lambda: form.drawing.idle, timeout=60_000)


def show(form, name: str) -> None:
    form.shown.combo.setCurrentIndex(form.shown.combo.findData(name))


def press(form, qtbot) -> None:
    form.bar.start.click()
    drawn(form, qtbot)


def cells(form, role: str = IMAGE, side: int = SIDE, columns: int = 2) -> list[np.ndarray]:
    """The cells of the grid, without the room above them."""
    mosaic = form.grid.layer(role).data
    rows = -(-(mosaic.shape[0] + GAP) // (side + HEAD + GAP))
    return [
        mosaic[y * (side + HEAD + GAP) + HEAD :, x * (side + GAP) :][:side, :side].copy()
        for y in range(rows)
        for x in range(columns)
    ]


def test_a_flip_alone_is_a_flip_in_every_cell_beside_the_original(viewer, form, qtbot) -> None:
    image = viewer.add_image(stripes(seed=3), name="sem", scale=(0.5, 0.5), units=("um", "um"))
    form.labels.choose(viewer.add_labels(strokes(), name="sem labels", scale=(0.5, 0.5), units=("um", "um")))
    assert form.image.layer is image
    show(form, "hflip")
    press(form, qtbot)
    before, *after = cells(form)
    paint, *moved = cells(form, LABELS)
    window = crop_window(strokes(), SIDE)
    np.testing.assert_array_equal(paint, strokes()[window])
    np.testing.assert_allclose(before, intensity_range(stripes(seed=3), "YX").apply(stripes(seed=3))[window], atol=1e-6)
    for cell, labels in zip(after, moved, strict=True):
        np.testing.assert_allclose(cell, before[:, ::-1], atol=1e-6)
        np.testing.assert_array_equal(labels, paint[:, ::-1])
    assert paint.any()
    np.testing.assert_allclose(form.grid.layer(IMAGE).scale, (0.5, 0.5))
    assert form.grid.layer(IMAGE).units == image.units
    texts = list(form.grid.layer(CAPTIONS).text.values)
    assert texts == ["original", *(f"left-right flip {k}" for k in (1, 2, 3))]


def test_the_same_seed_draws_the_same_again_and_the_next_one_draws_others(viewer, form, qtbot) -> None:
    viewer.add_image(stripes(), name="sem")
    press(form, qtbot)
    unit = intensity_range(stripes(), "YX").apply(stripes())
    window = crop_window(np.zeros((96, 96), np.int64), SIDE)
    patch, blank = np.ascontiguousarray(unit[window][np.newaxis]), np.zeros((SIDE, SIDE), np.int64)
    first = form.grid.layer(IMAGE).data.copy()
    tile = form.shown.tiles(form.recipe_now(), 0, 2)[0][2]
    expected, _ = Augmenter(AugmentationRecipe())(patch, blank, tile.seed)
    np.testing.assert_allclose(cells(form)[2], expected[0], atol=1e-6)
    press(form, qtbot)
    np.testing.assert_array_equal(form.grid.layer(IMAGE).data, first)
    form.reseed.click()
    drawn(form, qtbot)
    assert not np.array_equal(form.grid.layer(IMAGE).data, first)
    form.seed.setValue(0)
    drawn(form, qtbot)
    np.testing.assert_array_equal(form.grid.layer(IMAGE).data, first)
    assert len(viewer.layers) == 3


def test_every_transform_alone_has_a_captioned_cell_that_is_that_transform(viewer, form, qtbot) -> None:
    viewer.add_image(stripes())
    show(form, ALONE)
    press(form, qtbot)
    texts = list(form.grid.layer(CAPTIONS).text.values)
    assert len(texts) == len(TRANSFORMS) + 1
    assert texts[:3] == ["original", "left-right flip", "up-down flip"]
    assert "zoom" in texts
    assert "CLAHE (off)" in texts
    found = cells(form, columns=5)
    np.testing.assert_allclose(found[texts.index("half turn (off)")], found[0][::-1, ::-1], atol=1e-6)
    form.transforms.set_values({"gamma_exponent": (3.0, 3.0)})
    drawn(form, qtbot)
    changed = [not np.array_equal(a, b) for a, b in zip(found, cells(form, columns=5), strict=True)]
    assert [text for text, other in zip(texts, changed[: len(texts)], strict=True) if other] == ["gamma"]
    np.testing.assert_allclose(
        np.clip(cells(form, columns=5)[texts.index("gamma")], 0, 1), np.clip(found[0], 0, 1) ** 3, atol=1e-5
    )


def test_the_overlay_goes_and_comes_and_a_user_s_own_layers_stay_chosen(viewer, form, qtbot) -> None:
    image = viewer.add_image(stripes(), name="sem")
    labels = viewer.add_labels(strokes(), name="paint")
    form.labels.choose(labels)
    viewer.layers.selection.active = labels
    press(form, qtbot)
    assert form.grid.layer(LABELS).visible
    form.shown.overlay.click()
    assert not form.grid.layer(LABELS).visible
    press(form, qtbot)
    assert not form.grid.layer(LABELS).visible
    assert viewer.layers.selection.active is labels
    assert (form.image.layer, form.labels.layer) == (image, labels)


def test_an_edit_paint_and_another_slice_are_shown_by_themselves(viewer, form, qtbot) -> None:
    stack = np.stack([np.full((64, 64), 10), stripes((64, 64)), stripes((64, 64), 1) // 2]).astype(np.uint8)
    viewer.add_image(stack, name="ct")
    labels = viewer.add_labels(np.zeros_like(stack), name="paint")
    form.labels.choose(labels)
    viewer.dims.set_current_step(0, 1)
    show(form, "blur")
    press(form, qtbot)
    before, first, *_ = cells(form)
    assert before.std() > 0.1
    form.transforms.set_values({"blur_sigma_px": (3.0, 3.0)})
    drawn(form, qtbot)
    assert cells(form)[1].std() < 0.8 * first.std()
    assert not cells(form, LABELS)[0].any()
    labels.data_setitem((np.array([1]), np.array([2]), np.array([2])), 3)
    qtbot.waitUntil(lambda: (cells(form, LABELS)[0] == 3).sum() == 1, timeout=20_000)
    viewer.dims.set_current_step(0, 2)
    drawn(form, qtbot)
    assert not np.array_equal(cells(form)[0], before)


def test_illegal_transforms_are_grey_with_the_reason_in_place_and_come_back_as_they_were(form) -> None:
    row = form.transforms.rows["hflip"]
    row.often.setValue(0.3)
    form.sample.boxes["chiral"].setChecked(True)
    assert not row.tick.isEnabled()
    assert not row.often.isEnabled()
    assert "mirror image" in row.says.text()
    assert row.says.isVisibleTo(row)
    assert "left-right flip" in form.sample.says.text()
    item = form.shown.combo.model().item(form.shown.combo.findData("hflip"))
    assert not item.isEnabled()
    assert "mirror image" in item.toolTip()
    assert form.recipe_now().hflip == 0
    assert form.recipe_now().sample == "chiral"
    assert form.transforms.rows["rotate"].tick.isEnabled()
    form.sample.boxes["chiral"].setChecked(False)
    assert row.tick.isEnabled()
    assert not row.says.isVisibleTo(row)
    assert form.recipe_now().hflip == 0.3


def test_several_kinds_at_once_forbid_together_and_directions_count(form) -> None:
    form.sample.boxes["textured"].setChecked(True)
    assert form.recipe_now().rot180 == 0.5  # half turns took the place of quarter turns
    assert form.recipe_now().hflip == 0.5
    assert form.sample.direction.isVisibleTo(form.sample)
    assert not form.sample.light.isVisibleTo(form.sample)
    form.sample.boxes["shadowed"].setChecked(True)
    recipe = form.recipe_now()
    assert (recipe.sample, recipe.also) == ("textured", ("shadowed",))
    assert (recipe.rot180, recipe.vflip, recipe.hflip) == (0, 0, 0.5)
    assert form.sample.button.text() == "rolled + shadows"
    form.sample.light.setValue(0)
    assert (form.recipe_now().hflip, form.recipe_now().vflip) == (0, 0.5)
    assert form.recipe_now().outside == "wrap"
    assert "wrapped around" in form.sample.says.text()
    form.sample.direction.setValue(30)
    assert (form.recipe_now().hflip, form.recipe_now().vflip) == (0, 0)
    assert "30°" in form.transforms.rows["vflip"].reason
    for kind in ("textured", "shadowed"):
        form.sample.boxes[kind].setChecked(False)
    assert form.recipe_now().rot180 == 0
    assert form.recipe_now().sample == "isotropic"


def test_every_kind_of_sample_and_every_setting_of_the_recipe_has_an_editor(form) -> None:
    assert {*KINDS, "isotropic"} == set(SAMPLE_KINDS)
    assert set(form.values()) == set(AugmentationRecipe.model_fields)
    assert form.recipe_now() == AugmentationRecipe()


def test_a_tick_switches_on_and_off_and_strengths_of_what_is_off_are_hidden(form) -> None:
    row = form.transforms.rows["shear"]
    strength = row.strengths["shear_deg"]
    assert not strength.isVisibleTo(row)
    row.tick.setChecked(True)
    assert form.recipe_now().shear > 0
    assert strength.isVisibleTo(row)
    row.tick.setChecked(False)
    assert form.recipe_now().shear == 0
    show(form, "shear")  # looked at alone: how strong must be seen
    assert strength.isVisibleTo(row)
    assert "2 of 5 on" in form.transforms.folds["Size and shape"].text()
    for on in (True, False):  # it stays looked at, whatever is edited
        row.tick.setChecked(on)
        assert strength.isVisibleTo(row)
    form.sample.boxes["chiral"].setChecked(True)
    assert strength.isVisibleTo(row)
    form.sample.boxes["textured"].setChecked(True)  # forbids it: the whole recipe is looked at
    assert not strength.isVisibleTo(row)
    form.sample.boxes["textured"].setChecked(False)
    assert not strength.isVisibleTo(row)


def test_both_ends_of_a_strength_are_dragged_and_cannot_cross(form, qtbot) -> None:
    editor = form.transforms.rows["rotate"].strengths["rotate_deg"]
    with qtbot.waitSignal(form.transforms.changed):
        editor.slider.setValue((0, 100))
    assert editor.value() == (-180.0, 0.0)
    editor.low.setValue(12.345)
    assert editor.value() == (12.345, 12.345)
    low, _ = editor.slider.value()
    editor.slider.setValue((low, 200))
    assert editor.value() == (12.345, 180.0)  # the end that was not dragged keeps its exact value
    assert form.recipe_now().rotate_deg == (12.345, 180.0)


def test_layers_that_go_or_are_renamed_while_it_works_do_no_harm(viewer, form, qtbot) -> None:
    image = viewer.add_image(stripes(), name="sem")
    labels = viewer.add_labels(strokes(), name="paint")
    form.labels.choose(labels)
    form.bar.start.click()
    image.name = "renamed"
    viewer.layers.remove(labels)
    drawn(form, qtbot)
    assert form.image.layer is image
    assert form.labels.layer is None
    grid = form.grid.layer(IMAGE)
    grid.name = "my grid"
    press(form, qtbot)
    assert form.grid.layer(IMAGE) is grid
    viewer.layers.remove(grid)
    form.transforms.set_values({"gamma": 0.0})  # nothing to follow any more
    drawn(form, qtbot)
    assert form.grid.layer(IMAGE) is None
    viewer.layers.clear()
    press(form, qtbot)
    assert "There is no Image layer" in form.bar.text


@pytest.mark.parametrize(
    ("image", "labels", "says"),
    [
        (stripes(), np.zeros((48, 96), np.uint8), "differ in shape"),
        (np.full((64, 64), 7, np.uint8), None, "is constant"),
        (np.full((64, 64), np.nan, np.float32), None, "NaN"),
        (np.zeros((2, 2, 64, 64), np.uint8), None, "has 4 axes"),
        (stripes(), np.full((96, 96), -1), "negative numbers"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(viewer, form, qtbot, image, labels, says) -> None:
    viewer.add_image(image, name="sem", contrast_limits=(0, 1))
    if labels is not None:
        layer = viewer.add_labels(labels.astype(np.int32), name="paint")
        form.labels.choose(layer)
    press(form, qtbot)
    assert says in form.bar.text
    assert form.grid.layer(IMAGE) is None
    assert form.bar.start.isEnabled()


def test_gold_is_never_augmented(viewer, form, qtbot) -> None:
    remember(viewer.add_image(stripes(), name="sem"), gold=True)
    press(form, qtbot)
    assert "'sem' is gold and is never augmented" in form.bar.text


def test_small_unpainted_and_coloured_images_are_shown_with_a_remark(viewer, form, qtbot) -> None:
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (40, 64, 3), dtype=np.uint8), rgb=True)
    form.labels.choose(viewer.add_labels(np.zeros((40, 64), np.uint8)))
    press(form, qtbot)
    assert form.grid.layer(IMAGE).rgb
    assert "The image is 40 × 64 px, smaller than a cell of 48 px, so the cells are 40 px." in form.bar.text
    assert "Nothing is painted, so the cells are from the middle" in form.bar.text
    viewer.layers.clear()
    viewer.add_image(stripes())  # grey after colour: another kind of layer under the same role
    press(form, qtbot)
    assert not form.grid.layer(IMAGE).rgb


def test_only_the_newest_of_many_edits_is_drawn_and_the_viewer_never_waits(viewer, form, qtbot) -> None:
    viewer.add_image(stripes())
    show(form, "brightness")
    press(form, qtbot)
    grids = []
    form.drawing.shown.connect(lambda grid, seconds: grids.append(grid))
    slider = form.transforms.rows["brightness"].strengths["brightness_shift"].slider
    for step in range(100, 200):  # a drag, quicker than it can be drawn
        slider.setValue((step, step))
    drawn(form, qtbot)
    assert 1 <= len(grids) <= 3
    shift = form.recipe_now().brightness_shift[0]
    assert shift > 0.5
    before, after, *_ = cells(form)
    np.testing.assert_allclose(after - before, shift, atol=1e-5)


def test_what_the_preview_shows_is_the_session_s_recipe_both_ways(viewer, form) -> None:
    session = session_augmentation()
    form.sample.boxes["columnar"].setChecked(True)
    form.transforms.set_values({"cutout": 0.25, "blur_sigma_px": (0.5, 2.5)})
    assert session.recipe == form.recipe_now()
    assert (session.recipe.sample, session.recipe.cutout) == ("columnar", 0.25)
    show(form, "gamma")  # to look at one transform alone changes nothing
    assert session.recipe.cutout == 0.25
    given = AugmentationRecipe.for_sample(("polarised", "textured"), elastic=0.0, light_deg=10.0)
    session.put(given)
    assert form.recipe_now() == given
    assert form.sample.boxes["polarised"].isChecked()
    assert not form.sample.boxes["columnar"].isChecked()
    form.reset.click()
    assert session.recipe == form.recipe_now() == AugmentationRecipe()


def test_tiles_hold_every_cell_once() -> None:
    made = [np.full((4, 5), k) for k in range(1, 6)]
    out = tiled(made, 3)
    assert out.shape == (2 * 4 + GAP, 3 * 5 + 2 * GAP)
    assert [int((out == k).sum()) for k in range(1, 6)] == [20] * 5


def test_a_slow_grid_shows_how_far_it_is_and_can_be_cancelled(viewer, form, qtbot, monkeypatch) -> None:
    from napari_anneal.widgets import _live_grid

    viewer.add_image(stripes((256, 256)))
    show(form, "clahe")
    press(form, qtbot)
    before = form.grid.layer(IMAGE).data.copy()
    monkeypatch.setattr(_live_grid, "SLOW_S", 0.0)
    form.side.setValue(256)
    form.columns.setValue(6)
    qtbot.waitUntil(lambda: form.bar.cancel.isEnabled(), timeout=10_000)
    form.bar.cancel.click()
    drawn(form, qtbot)
    assert "Cancelled; the grid stays as it was." in form.bar.text
    np.testing.assert_array_equal(form.grid.layer(IMAGE).data, before)
    assert form.bar.start.isEnabled()
    assert not form.bar.cancel.isEnabled()
