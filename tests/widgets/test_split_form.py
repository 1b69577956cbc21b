"""*Grouped split*: groups are remembered by the layers, and no group is on both sides of a fold."""

from __future__ import annotations

import csv

import imageio.v3 as iio
import numpy as np
import pytest
from painted import stripes, strokes
from qtpy.QtCore import Qt

from napari_anneal.widgets._layers import group_of, is_gold
from napari_anneal.widgets.finetune import FineTuneWidget
from napari_anneal.widgets.split import GOLD, GROUP, SplitWidget, guess_group


@pytest.fixture
def form(viewer):
    form = SplitWidget(viewer)
    yield form
    form.job.stop()


def add_pairs(viewer, count: int = 6) -> None:
    for k in range(count):
        name = f"steel-{'ABC'[k % 3]}_{k:02d}"
        viewer.add_image(stripes(seed=k), name=name)
        viewer.add_labels(strokes(), name=f"{name} labels")


def test_groups_are_guessed_remembered_and_never_split(viewer, form, wait_for) -> None:
    add_pairs(viewer)
    assert form.table.rowCount() == 6
    form.guess.click()
    assert {group_of(layer) for layer in viewer.layers} == {"steel-A", "steel-B", "steel-C"}
    form.folds.setValue(3)
    form.bar.start.click()
    wait_for(form)
    assert "6 images of 3 groups in 3 folds" in form.bar.text
    roles = form.matrix.roles()
    names = [form.matrix.item(row, 0).text() for row in range(6)]
    for fold in range(3):
        validating = {guess_group(n) for n, row in zip(names, roles, strict=True) if row[fold] == "val"}
        training = {guess_group(n) for n, row in zip(names, roles, strict=True) if row[fold] == "train"}
        assert len(validating) == 1
        assert not validating & training
        assert validating | training == {"steel-A", "steel-B", "steel-C"}


def test_a_gold_tick_takes_the_whole_group_out_of_every_fold_and_out_of_training(viewer, form, wait_for) -> None:
    add_pairs(viewer)
    form.guess.click()
    form.table.item(2, GOLD).setCheckState(Qt.CheckState.Checked)
    assert [form.gold(row) for row in range(6)] == [False, False, True, False, False, True]
    assert is_gold(viewer.layers["steel-C_02"])
    assert is_gold(viewer.layers["steel-C_05 labels"])
    form.folds.setValue(2)
    form.bar.start.click()
    wait_for(form)
    assert "gold: 2 images" in form.bar.text
    assert sum(row == ["gold", "gold"] for row in form.matrix.roles()) == 2
    training = FineTuneWidget(viewer)
    wait_for(training)
    training.pairs.add_all()
    assert {s.group for s in training.samples()} == {"steel-A", "steel-B"}


def test_an_edit_of_one_of_several_selected_rows_sets_them_all(viewer, form) -> None:
    add_pairs(viewer)
    for row in (0, 1, 3):
        form.table.item(row, GROUP).setSelected(True)
    form.table.item(1, GROUP).setText("plate 7")
    assert [form.group(row) for row in range(6)] == ["plate 7", "plate 7", "", "plate 7", "", ""]
    assert group_of(viewer.layers["steel-A_03"]) == "plate 7"


def test_too_few_groups_is_the_cores_sentence(viewer, form, wait_for) -> None:
    add_pairs(viewer)
    form.guess.click()
    form.bar.start.click()
    wait_for(form)
    assert "largest possible number of folds is 3" in form.bar.text
    assert form.bar.start.isEnabled()


def test_a_class_that_a_fold_lacks_is_warned_of(viewer, form, wait_for) -> None:
    add_pairs(viewer)
    for layer in list(viewer.layers):
        if layer.name.startswith("steel-A") and layer.name.endswith("labels"):
            layer.data = np.where(layer.data == 2, 3, layer.data)
    form.guess.click()
    form.folds.setValue(3)
    form.bar.start.click()
    wait_for(form)
    assert "trains without class 3" in form.bar.text


def test_a_folder_is_read_grouped_and_its_groups_are_written_and_read_again(viewer, form, wait_for, tmp_path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for seed, name in enumerate(("a_1", "a_2", "b_1", "b_2")):
            array = stripes((64, 64), seed=seed) if kind == "images" else strokes((96, 96))[:64, :64]
            iio.imwrite(tmp_path / kind / f"{name}.png", array)
    form.folder.setText(str(tmp_path))
    form.folder.changed.emit(str(tmp_path))
    wait_for(form)
    assert form.table.rowCount() == 4, form.bar.text
    form.guess.click()
    form.save.click()
    with (tmp_path / "groups.csv").open() as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"a", "b"}
    form.folds.setValue(2)
    form.bar.start.click()
    wait_for(form)
    assert "4 images of 2 groups in 2 folds" in form.bar.text
    form.folder.changed.emit(str(tmp_path))
    wait_for(form)
    assert {form.group(row) for row in range(4)} == {"a", "b"}


def test_a_pattern_shows_its_groups_while_it_is_typed_and_changes_nothing_before_it_is_used(viewer, form) -> None:
    add_pairs(viewer)
    form.table.item(0, GROUP).setText("mine")
    form.pattern.line.setText("^(steel-.)")
    shown = [form.table.item(row, GROUP).text() for row in range(6)]
    assert shown == ["steel-A", "steel-B", "steel-C"] * 2
    assert form.table.item(0, GROUP).font().italic()
    assert form.pattern.says.text() == "3 groups from 6 of 6 names."
    assert form.group(0) == "mine"
    assert group_of(viewer.layers["steel-A_00"]) == "mine"
    form.pattern.line.setText("^(steel-.")
    assert "not a regular expression" in form.pattern.says.text()
    assert not form.pattern.use.isEnabled()
    assert [form.table.item(row, GROUP).text() for row in range(6)] == ["mine", "", "", "", "", ""]
    form.pattern.line.setText("steel-[AB]")
    assert "does not match 'steel-C_02' and 1 more" in form.pattern.says.text()
    assert form.table.item(2, GROUP).text() == "–"
    form.pattern.use.click()
    assert [form.group(row) for row in range(6)] == ["steel-A", "steel-B", ""] * 2
    assert group_of(viewer.layers["steel-A_00"]) == "steel-A"
    assert form.pattern.line.text() == ""
    assert not form.table.item(0, GROUP).font().italic()


def textured(seed) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (96, 96)).astype(np.uint8)


def test_copies_in_two_groups_are_shown_side_by_side_and_count_as_one_group(viewer, form, wait_for) -> None:
    images = [textured(0), textured(1), textured(2), np.rot90(textured(0)).copy()]
    for name, image in zip(("a_0", "b_0", "c_0", "d_0"), images, strict=True):
        viewer.add_image(image, name=name)
        viewer.add_labels(strokes((96, 96)), name=f"{name} labels")
    form.guess.click()
    form.folds.setValue(3)
    form.bar.start.click()
    wait_for(form)
    assert "Groups 'a' and 'd' count as one: 'd_0' is a copy of 'a_0', turned by 90°." in form.bar.text
    assert form.copies.isVisibleTo(form)
    (picture,) = form.copies.pictures
    assert picture.names == ("a_0", "d_0")
    assert np.array_equal(*picture.pictures)
    assert picture.windows == ((0.0, 0.0, 1.0, 1.0),) * 2
    assert form.copies.sides[0].pixmap().width() == 150
    assert not form.copies.on.isEnabled()
    names = [form.matrix.item(row, 0).text() for row in range(4)]
    roles = dict(zip(names, form.matrix.roles(), strict=True))
    assert roles["a_0"] == roles["d_0"]
    form.table.item(0, GOLD).setCheckState(Qt.CheckState.Checked)
    form.folds.setValue(2)
    form.bar.start.click()
    wait_for(form)
    assert form.gold(3)
    assert is_gold(viewer.layers["d_0"])


def test_what_the_classes_of_a_fold_are_is_drawn_and_told(viewer, form, wait_for) -> None:
    add_pairs(viewer)
    for layer in list(viewer.layers):
        if layer.name.startswith("steel-A") and layer.name.endswith("labels"):
            layer.data = np.where(layer.data == 2, 3, layer.data)
    form.guess.click()
    form.folds.setValue(3)
    form.bar.start.click()
    wait_for(form)
    assert form.balance.isVisibleTo(form)
    fold = next(k for k in range(3) if form.balance.pixels[k][1][2])
    assert form.balance.lacking(fold, 0) == (3,)
    assert form.balance.lacking(fold, 1) == (2,)
    counts = form.balance.pixels[fold][1]
    assert f"class 3: {counts[2]} px ({counts[2] / sum(counts):.1%})" in form.balance.told(fold, 1)
    picture = form.balance.grab().toImage()
    colours = {picture.pixelColor(x, y).name() for x in range(0, picture.width(), 3) for y in range(picture.height())}
    assert {"#0072b2", "#e69f00", "#009e73"} <= colours


def test_a_cancelled_search_splits_nothing(viewer, form, wait_for) -> None:
    add_pairs(viewer)
    form.guess.click()
    form.folds.setValue(3)
    form.bar.start.click()
    form.job.cancel()
    wait_for(form)
    assert "Cancelled" in form.bar.text or "in 3 folds" in form.bar.text
    assert form.bar.start.isEnabled()


def test_a_folder_without_pairs_is_said(form, wait_for, tmp_path) -> None:
    form.folder.setText(str(tmp_path))
    form.folder.changed.emit(str(tmp_path))
    wait_for(form)
    assert str(tmp_path) in form.bar.text or tmp_path.name in form.bar.text
    assert form.bar.start.isEnabled()


@pytest.mark.parametrize(
    ("name", "group"),
    [("steel-A_03.tif", "steel-A"), ("spot1_180d_5.png", "spot1_180d"), ("plain", "plain"), ("ct 12 b", "ct")],
)
def test_a_group_is_guessed_from_what_stands_before_the_last_number(name, group) -> None:
    assert guess_group(name) == group
