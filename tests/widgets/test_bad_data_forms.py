"""What is wrong with the data is said by the forms in a sentence, and they stay usable; copies of gold do not train."""

from __future__ import annotations

import numpy as np
import pytest
from painted import add_pair, stripes, strokes

from napari_anneal.validation import gold_free
from napari_anneal.widgets._layers import remember
from napari_anneal.widgets.split import SplitWidget


@pytest.fixture
def split(viewer):
    made = SplitWidget(viewer)
    yield made
    made.job.stop()


def typed(split, groups):
    split.table.set_groups(groups)


def shown(split, wait_for):
    split.bar.start.click()
    wait_for(split)
    assert split.bar.start.isEnabled()
    return split.bar.text


def test_one_group_only_in_the_split(viewer, split, wait_for) -> None:
    for k in range(3):
        add_pair(viewer, name=f"s{k}", seed=k)
    typed(split, ["all"] * 3)
    assert "there is only one group with painted labels" in shown(split, wait_for)
    assert "paint an image of another specimen, or correct the groups" in split.bar.text


def test_nothing_painted_at_all_and_one_image_unpainted(viewer, split, form, wait_for) -> None:
    for k in range(3):
        _, labels = add_pair(viewer, name=f"s{k}", seed=k)
        labels.data = np.zeros_like(labels.data) if k != 2 else labels.data
    split.folds.setValue(2)
    assert "only one group with painted labels" in shown(split, wait_for)
    labels.data = np.zeros_like(labels.data)
    assert "there is no group with painted labels" in shown(split, wait_for)
    form.pairs.add_all()
    form.bar.start.click()
    wait_for(form)
    assert "Nothing is painted yet: choose the brush" in form.bar.text
    viewer.layers["s0 labels"].data = strokes()
    viewer.layers["s1 labels"].data = strokes()
    assert "in 2 folds" in shown(split, wait_for)
    assert "Not painted, so in no fold: s2." in split.warnings.text
    assert split.table.marked() == [2]


def test_a_gold_image_without_a_group(viewer, split) -> None:
    image, _ = add_pair(viewer, name="lonely")
    add_pair(viewer, name="other", seed=1)
    remember(image, gold=True)
    split.entries = []
    split.refresh()
    split.bar.start.click()
    assert "Gold image 'lonely' has no group" in split.bar.text


def test_a_folder_with_two_files_of_one_name(split, wait_for, tmp_path) -> None:
    import imageio.v3 as iio

    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for name in ("a.png", "a.tif"):
        iio.imwrite(tmp_path / "images" / name, stripes())
    iio.imwrite(tmp_path / "labels" / "a.png", strokes())
    split.folder.setText(str(tmp_path))
    split.folder.changed.emit(str(tmp_path))
    wait_for(split)
    assert "holds both a.png and a.tif; names must differ" in split.bar.text


def test_a_copy_of_a_gold_image_does_not_train_though_nobody_split(viewer, form, wait_for, monkeypatch) -> None:
    looked = []
    monkeypatch.setattr(
        gold_free, "gold_free", lambda samples, look=gold_free.gold_free: looked.append(1) or look(samples)
    )
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (96, 96)).astype(np.uint8) for _ in range(3)]
    pixels.append(np.rot90(255 - pixels[0] // 2).astype(np.uint8))
    for name, image in zip(("gold", "b", "c", "turned"), pixels, strict=True):
        layer = viewer.add_image(image, name=name)
        viewer.add_labels(strokes(), name=f"{name} labels")
        if name == "gold":
            remember(layer, gold=True, group="g")
    form.pairs.add_all()
    form.epochs.setValue(1)
    form.bar.start.click()
    wait_for(form)
    ((_, run),) = form.calibrating.models
    assert set(run.model.card.fingerprints) == {"b", "c"}
    assert "Left out, because of sharing an image or a group with gold: turned." in form.outcome.text
    form.outcome.calibrate.click()
    wait_for(form)
    assert not form.calibrating.panel.isHidden(), form.bar.text
    assert len(looked) == 1  # every image against every other: once an order


def test_without_any_other_image_a_copy_of_gold_is_refused(viewer, form, wait_for) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96)).astype(np.uint8)
    for name, image in (("gold", pixels), ("turned", np.rot90(pixels).copy())):
        layer = viewer.add_image(image, name=name)
        viewer.add_labels(strokes(), name=f"{name} labels")
        if name == "gold":
            remember(layer, gold=True, group="g")
    form.pairs.add_all()
    form.bar.start.click()
    wait_for(form)
    assert "Image 'turned' shares an image or a group with gold" in form.bar.text
