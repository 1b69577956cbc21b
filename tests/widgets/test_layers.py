"""Layer choices follow the viewer; snapshots do not; results lie where the image lies."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_anneal.errors import InputError
from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import (
    add_class_labels,
    group_of,
    is_gold,
    remember,
    sample_from_layers,
    snapshot,
)
from napari_anneal.widgets._pairs import matching_image


def texts(combo) -> list[str]:
    return [combo.itemText(i) for i in range(combo.count())]


def test_a_choice_follows_layers_as_they_come_go_move_and_are_renamed(viewer) -> None:
    first = viewer.add_image(np.zeros((8, 8)), name="a")
    combo = LayerChoice(viewer, (Image,))
    heard: list[object] = []
    combo.layer_changed.connect(lambda: heard.append(combo.layer))
    assert texts(combo) == ["a"]
    viewer.add_labels(np.zeros((8, 8), int), name="paint")
    second = viewer.add_image(np.zeros((8, 8)), name="b")
    assert texts(combo) == ["b", "a"]
    assert combo.layer is first
    first.name = "renamed"
    assert texts(combo) == ["b", "renamed"]
    assert combo.layer is first
    viewer.layers.move(2, 0)
    assert texts(combo) == ["renamed", "b"]
    assert combo.layer is first
    assert heard == []
    viewer.layers.remove(first)
    assert texts(combo) == ["b"]
    assert combo.layer is second
    viewer.layers.remove(second)
    assert texts(combo) == []
    assert combo.layer is None
    assert heard == [second, None]


def test_an_optional_choice_stays_on_no_layer_until_one_is_chosen(viewer) -> None:
    combo = LayerChoice(viewer, (Labels,), none="(none)")
    layer = viewer.add_labels(np.zeros((8, 8), int), name="x")
    assert combo.layer is None
    combo.choose(layer)
    assert combo.layer is layer
    viewer.layers.clear()
    assert combo.layer is None
    assert texts(combo) == ["(none)"]


def test_two_layers_of_one_kind_are_told_apart_after_both_are_renamed(viewer) -> None:
    a, b = viewer.add_image(np.zeros((4, 4)), name="a"), viewer.add_image(np.zeros((4, 4)), name="b")
    combo = LayerChoice(viewer, (Image,))
    combo.choose(a)
    a.name, b.name = "c", "a"
    assert combo.layer is a


def test_a_closed_form_is_not_called_again(viewer, qtbot) -> None:
    combo = LayerChoice(viewer, (Image,))
    combo.deleteLater()
    qtbot.wait(50)
    viewer.add_image(np.zeros((4, 4)))  # would raise "wrapped C/C++ object has been deleted"


def test_a_snapshot_does_not_follow_the_brush_and_a_lazy_one_stays_lazy(viewer) -> None:
    layer = viewer.add_labels(np.zeros((8, 8), np.uint8))
    taken = snapshot(layer, "labels")
    layer.data[2, 2] = 1
    assert not taken.data.any()
    lazy = viewer.add_image(dask.array.zeros((4, 64, 64), chunks=(1, 64, 64)), contrast_limits=(0, 1))
    assert isinstance(snapshot(lazy).data, dask.array.Array)


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((8, 9), {}, "YX"),
        ((5, 8, 9), {}, "ZYX"),
        ((8, 9, 3), {"rgb": True}, "YXC"),
        ((5, 8, 9, 4), {"rgb": True}, "ZYXC"),
        ((8, 9, 3), {"rgb": False}, "ZYX"),
    ],
)
def test_axes_come_from_the_layer_not_from_a_guess(viewer, shape, options, axes) -> None:
    taken = snapshot(viewer.add_image(np.zeros(shape, np.uint8), contrast_limits=(0, 1), **options))
    assert taken.axes == axes
    assert len(taken.spacing) == len(axes.replace("C", ""))


def test_of_a_multiscale_layer_the_finest_level_is_taken(viewer) -> None:
    layer = viewer.add_image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True, contrast_limits=(0, 1))
    assert snapshot(layer).data.shape == (64, 64)


def test_what_cannot_be_a_sample_is_said_in_a_sentence(viewer) -> None:
    image = viewer.add_image(np.zeros((8, 8)), scale=(2, 2), name="img")
    for labels, says in (
        (None, "no Labels layer"),
        (viewer.add_labels(np.zeros((8, 9), int), scale=(2, 2), name="other"), "differ in shape"),
        (viewer.add_labels(np.zeros((8, 8), int), name="unscaled"), "differ in pixel size"),
        (viewer.add_labels(np.zeros((8, 8), int), scale=(2, 2), translate=(4, 0), name="moved"), "differ in position"),
    ):
        with pytest.raises(InputError, match=says):
            sample_from_layers(image, labels)
    with pytest.raises(InputError, match="no Image layer"):
        sample_from_layers(None, None)
    with pytest.raises(InputError, match="has 4 axes"):
        snapshot(viewer.add_image(np.zeros((2, 2, 8, 8)), contrast_limits=(0, 1)))


def test_a_sample_keeps_spacing_and_the_remembered_group(viewer) -> None:
    place = {"scale": (0.5, 0.25, 0.25), "translate": (1, 2, 3)}
    image = viewer.add_image(np.zeros((3, 8, 8)), name="ct", contrast_limits=(0, 1), **place)
    labels = viewer.add_labels(np.zeros((3, 8, 8), int), **place)
    remember(image, group="specimen 7", gold=True)
    remember(image, classes=["a"])
    sample = sample_from_layers(image, labels)
    assert (sample.group, sample.spacing, sample.axes, sample.name) == ("specimen 7", (0.5, 0.25, 0.25), "ZYX", "ct")
    assert group_of(image) == "specimen 7"
    assert is_gold(image)


def test_class_labels_lie_on_the_image_in_their_colours(viewer) -> None:
    image = viewer.add_image(
        np.zeros((3, 8, 8)), scale=(2, 0.5, 0.5), translate=(1, 2, 3), units=("nm", "nm", "nm"), contrast_limits=(0, 1)
    )
    data = np.ones((3, 8, 8), np.uint8)
    data[0] = 2
    layer = add_class_labels(viewer, data, "result", snapshot(image), ("fibre", "matrix"), ("#ff0000", "#0000ff"))
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    assert layer.units == image.units
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 0, 1))
    np.testing.assert_allclose(layer.get_color(2), (0, 0, 1, 1))
    assert layer.features["class"].tolist() == ["not painted", "fibre", "matrix"]


def test_labels_find_the_image_they_were_painted_on(viewer) -> None:
    small = viewer.add_image(np.zeros((8, 8)), name="a")
    named = viewer.add_image(np.zeros((8, 8)), name="steel")
    viewer.add_image(np.zeros((9, 9)), name="steel labels other size")
    labels = viewer.add_labels(np.zeros((8, 8), int), name="steel labels")
    assert matching_image(viewer, labels) is named
    labels.name = "paint"
    assert matching_image(viewer, labels) is named  # the nearest below of its shape
    viewer.layers.remove(named)
    assert matching_image(viewer, labels) is small
    viewer.layers.remove(small)
    assert matching_image(viewer, labels) is None
