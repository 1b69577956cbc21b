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
