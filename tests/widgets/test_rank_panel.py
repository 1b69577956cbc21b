"""*What to label next*: the order of the core, boxes where the pixels are, *Next* goes there, gold is out of reach."""

from __future__ import annotations

import numpy as np
import pytest
from painted import stripes

from napari_anneal.inference import rank
from napari_anneal.widgets._layers import remember
from napari_anneal.widgets._rank_order import go_to
from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets.segment import SegmentWidget


@pytest.fixture
def form(viewer, tiny_model, wait_for):
    session_models().add("tiny", tiny_model)
    form = SegmentWidget(viewer)
    wait_for(form)
    form.ranking.looks.setCurrentIndex(1)
    yield form
    form.job.stop()


def noise(shape):
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def test_the_places_are_those_of_the_core_and_their_boxes_enclose_their_pixels(viewer, form, wait_for, tiny_model):
    data = noise((3, 64, 96))
    viewer.add_image(data, name="ct", scale=(3, 0.5, 0.5), translate=(10, 5, 5))
    form.ranking.tile.setValue(32)
    form.ranking.top.setValue(4)
    form.ranking.ask.click()
    assert not form.ranking.ask.isEnabled()
    assert form.bar.cancel.isEnabled()
    wait_for(form)
    expected = rank(tiny_model, data, tile=32, top=4, estimator="entropy")
    assert [(p.z, p.box) for p in form.ranking.places] == [(p.z, p.box) for p in expected]
    layer = viewer.layers["ct · label next"]
    np.testing.assert_allclose(layer.scale, (3, 0.5, 0.5))
    np.testing.assert_allclose(layer.translate, (10, 5, 5))
    for shape, place in zip(layer.data, expected, strict=True):
        y0, x0, y1, x1 = place.box
        np.testing.assert_allclose(shape.min(axis=0), (place.z, y0 - 0.5, x0 - 0.5))
        np.testing.assert_allclose(shape.max(axis=0), (place.z, y1 - 0.5, x1 - 0.5))
    assert list(layer.features["rank"]) == [1, 2, 3, 4]
    assert form.ranking.table.rowCount() == 4
    assert "4 of 18 places" in form.bar.text
    assert form.ranking.ask.isEnabled()


def test_next_goes_from_place_to_place_and_round(viewer, form, wait_for):
    viewer.add_image(noise((4, 48, 48)), name="ct", scale=(2, 1, 1))
    form.ranking.top.setValue(3)
    form.ranking.ask.click()
    wait_for(form)
    seen = []
    for _ in range(4):
        place = form.ranking.places[form.ranking.table.currentRow()]
        assert round(viewer.dims.point[0] / 2) == place.z
        assert place.why in form.ranking.why.text()
        seen.append(place.rank)
        form.ranking.next.click()
    assert seen == [1, 2, 3, 1]


def test_the_camera_shows_the_box_in_the_middle(viewer, form, wait_for):
    viewer.add_image(noise((64, 64)), name="sem", scale=(0.1, 0.1))
    form.ranking.tile.setValue(32)
    form.ranking.ask.click()
    wait_for(form)
    place = form.ranking.places[2]
    go_to(viewer, place)
    y0, x0, y1, x1 = place.box
    np.testing.assert_allclose(viewer.camera.center[1:], (0.05 * (y0 + y1 - 1), 0.05 * (x0 + x1 - 1)))
    viewer.layers.remove("sem")
    form.ranking.next.click()
    assert "not in the viewer any more" in form.bar.text


def test_gold_is_never_ranked_nor_is_what_is_painted(viewer, form, wait_for):
    gold = viewer.add_image(stripes((48, 48)), name="gold")
    remember(gold, gold=True, group="g")
    same = viewer.add_image(noise((48, 48)), name="same specimen")
    remember(same, group="g")
    viewer.add_image(noise((40, 48)), name="done")
    paint = np.zeros((40, 48), np.uint8)
    paint[3, 3] = 1
    viewer.add_labels(paint, name="paint")
    viewer.add_image(noise((56, 48)), name="open")
    form.image.setCurrentIndex(form.image.findText("open"))
    form.ranking.which.setCurrentIndex(1)
    form.ranking.ask.click()
    wait_for(form)
    assert [place.name for place in form.ranking.places] == ["open"]
    assert "1 of 2 places are painted" in form.bar.text
    form.image.setCurrentIndex(form.image.findText("gold"))
    form.ranking.ask.click()
    assert "is gold" in form.bar.text


def test_what_cannot_be_ranked_ends_in_a_sentence_and_a_usable_form(viewer, form, wait_for):
    form.ranking.ask.click()
    assert "no Image layer" in form.bar.text
    viewer.add_image(np.zeros((40, 40), np.uint8), name="flat")
    form.ranking.ask.click()
    wait_for(form)
    assert "constant" in form.bar.text
    assert form.ranking.ask.isEnabled()


def test_ranking_again_replaces_the_boxes_and_the_layer_in_hand_stays_in_hand(viewer, form, wait_for):
    viewer.add_image(noise((48, 48)), name="sem")
    brush = viewer.add_labels(np.zeros((48, 48), np.uint8), name="brush")
    viewer.layers.selection.active = brush
    form.image.setCurrentIndex(form.image.findText("sem"))
    for tile, count in ((32, 4), (16, 9)):
        form.ranking.tile.setValue(tile)
        form.ranking.top.setValue(9)
        form.ranking.ask.click()
        wait_for(form)
        assert len(viewer.layers["sem · label next"].data) == count
        assert len(viewer.layers) == 3
        assert viewer.layers.selection.active is brush
