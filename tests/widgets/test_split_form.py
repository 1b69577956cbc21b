"""*Grouped split*: groups are remembered by the layers, and no group is on both sides of a fold."""

from __future__ import annotations

import csv
from unittest.mock import MagicMock

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from painted import stripes, strokes
from qtpy.QtCore import Qt

from napari_anneal.widgets._group_table import GOLD, GROUP, NAME
from napari_anneal.widgets._layers import group_of, is_gold
from napari_anneal.widgets._split_choice import ALL_FOLDS, ONE_FOLD
from napari_anneal.widgets.finetune import FineTuneWidget
from napari_anneal.widgets.split import SplitWidget, guess_group


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
    assert "trains without class 3" in form.warnings.text
    assert "warnings above" in form.bar.text
    alone = [row for row in range(6) if form.entries[row].name.startswith("steel-A")]
    assert set(alone) <= set(form.table.marked())
    assert "Label 3 is painted in 'steel-A' only, so a split either trains or judges without it" in form.warnings.text
    assert "painted in 1 group" not in form.warnings.text
    assert "Label 3 is painted in this group only." in form.table.item(alone[0], NAME).toolTip()


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
    # Groups of these images are not for the next folder, which cannot be read.
    form.folder.setText(str(tmp_path / "images"))
    form.folder.changed.emit(str(tmp_path / "images"))
    wait_for(form)
    assert form.table.rowCount() == 0
    assert not form.save.isEnabled()
    assert not form.lock.isEnabled()


def test_saving_groups_keeps_what_the_table_says_of_copies(form, wait_for, tmp_path) -> None:
    from napari_anneal import Sample
    from napari_anneal.augmentation import AugmentationRecipe, export_augmented
    from napari_anneal.samples import read_samples

    made = [Sample(textured(seed), strokes((96, 96)), "", (0.2, 0.2), name) for seed, name in enumerate(("a_1", "b_1"))]
    folder = tmp_path / "augmented"
    export_augmented(made, AugmentationRecipe(), folder, copies=1, seed=5)
    with (folder / "groups.csv").open() as file:
        before = list(csv.DictReader(file))
    form.folder.setText(str(folder))
    form.folder.changed.emit(str(folder))
    wait_for(form)
    assert form.table.rowCount() == 4, form.bar.text
    form.table.set_groups(["plate 1", "plate 1", "plate 2", "plate 2"])
    form.save.click()
    with (folder / "groups.csv").open() as file:
        after = {row["image"]: row for row in csv.DictReader(file)}
    assert {name: row["group"] for name, row in after.items()} == {
        "a_1": "plate 1", "a_1_aug001": "plate 1", "b_1": "plate 2", "b_1_aug001": "plate 2",
    }  # fmt: skip
    for row in before:
        assert {**row, "group": ""} == {**after[row["image"]], "group": ""}
    assert [sample.copy_of for sample in read_samples(folder)] == ["", "a_1", "", "b_1"]


def test_a_table_is_written_as_it_was_but_for_the_groups_or_not_at_all(tmp_path) -> None:
    from napari_anneal.errors import InputError
    from napari_anneal.samples.groups_csv import write_groups

    table = tmp_path / "groups.csv"
    write_groups(table, {"a": "1", "b, c": "2"})
    assert table.read_text(encoding="utf-8") == 'image,group\na,1\n"b, c",2\n'
    table.write_text('Image;Note;Group\na.tif;"etched,\n twice";old\n', encoding="utf-8")
    write_groups(table, {"a": "1", "b": "2"})
    assert table.read_text(encoding="utf-8") == 'Image;Note;Group\na.tif;"etched,\n twice";1\nb;;2\n'
    for content in (b"name,specimen\na,1\n", "image,group\na,Stück\n".encode("latin-1")):
        table.write_bytes(content)
        with pytest.raises(InputError, match=r"groups\.csv"):
            write_groups(table, {"a": "1"})
        assert table.read_bytes() == content


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


def _colour(item) -> str:
    return item.data(Qt.ItemDataRole.DecorationRole).name()


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
    assert "Groups 'a' and 'd' count as one: 'd_0' is a copy of 'a_0', turned by 90°." in form.warnings.text
    assert form.table.marked() == [0, 3]
    assert "'d_0' is a copy of 'a_0'" in form.table.item(3, NAME).toolTip()
    assert form.copies.isVisibleTo(form)
    (picture,) = form.copies.pictures
    assert picture.names == ("a_0", "d_0")
    assert np.array_equal(*picture.pictures)
    assert picture.windows == ((0.0, 0.0, 1.0, 1.0),) * 2
    assert form.copies.sides[0].pixmap().width() == 150
    assert not form.copies.on.isEnabled()
    colours = {form.matrix.item(r, 0).text(): _colour(form.matrix.item(r, 0)) for r in range(4)}
    assert colours["a_0"] == colours["d_0"]
    assert len(set(colours.values())) == 3
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


def test_what_other_metadata_says_of_the_specimen_is_the_first_group(viewer, form) -> None:
    image = viewer.add_image(stripes(), name="x", metadata={"Specimen": "plate 3"})
    viewer.add_labels(strokes(), name="x labels")
    assert form.group(0) == "plate 3"
    form.table.item(0, GROUP).setText("plate 4")
    assert group_of(image) == "plate 4"


def test_groups_come_from_a_table_and_one_that_does_not_fit_is_refused_by_its_line(viewer, form, tmp_path) -> None:
    add_pairs(viewer, 3)
    table = tmp_path / "g.csv"
    rows = ["steel-A_00,one", "steel-B_01,one", "steel-C_02.tif,two"]
    bad = {
        "steel-A_00,\n": "line 2: the group is empty",
        ",one\n": "line 2: the image is empty",
        "steel-Z_09,one\n": "line 2: there is no image 'steel-Z_09'",
        "steel-A_00,one\nsteel-A_00,two\n": "line 3: 'steel-A_00' is listed twice",
        "steel-A_00,one\n": "gives no group for steel-B_01 (and 1 more)",
    }
    for text, says in bad.items():
        table.write_text("image,group\n" + text)
        form.guarded(lambda: form.take_csv(table))
        assert says in form.bar.text
        assert [form.group(row) for row in range(3)] == ["", "", ""]
    table.write_text("\n".join(["image,group", *rows]) + "\n")
    form.guarded(lambda: form.take_csv(table))
    assert "2 groups read from g.csv" in form.bar.text
    assert [form.group(row) for row in range(3)] == ["one", "one", "two"]
    assert group_of(viewer.layers["steel-C_02"]) == "two"


def test_tiles_and_augmented_copies_of_one_image_are_one_group_whatever_is_typed(viewer, form, wait_for) -> None:
    for k, name in enumerate(("a_tile_1", "a_tile_2", "b", "b_aug1", "c")):
        viewer.add_image(textured(k), name=name)
        viewer.add_labels(strokes(), name=f"{name} labels")
        form.table.item(k, GROUP).setText(f"g{k}")
    form.folds.setValue(3)
    form.bar.start.click()
    wait_for(form)
    assert "5 images of 3 groups in 3 folds" in form.bar.text
    assert "'a_tile_1' and 'a_tile_2' were made of one image" in form.warnings.text
    roles = {form.matrix.item(r, 0).text(): form.matrix.roles()[r] for r in range(5)}
    assert roles["a_tile_1"] == roles["a_tile_2"]
    assert roles["b"] == roles["b_aug1"]
    assert set(form.table.marked()) == {0, 1, 2, 3}


def test_one_press_sets_fine_tune_up_for_a_fold_or_for_all_of_them(viewer, form, wait_for, monkeypatch) -> None:
    training = FineTuneWidget(viewer)
    wait_for(training)
    training.planning.stop()

    class Window:
        def add_plugin_dock_widget(self, plugin, widget, tabify):
            assert (plugin, widget) == ("napari-anneal", "Fine-tune")
            return MagicMock(), training

    monkeypatch.setattr("napari_anneal.widgets._open_form.window_of", lambda _: Window())
    add_pairs(viewer)
    viewer.add_image(stripes((40, 40)), name="another")
    assert not form.to_finetune.isVisibleTo(form)
    form.guess.click()
    form.table.item(1, GOLD).setCheckState(Qt.CheckState.Checked)
    form.folds.setValue(2)
    form.bar.start.click()
    wait_for(form)
    assert list(form.to_finetune.buttons) == [1, 2, 0]
    form.to_finetune.buttons[2].click()
    assert "fold 2 judges" in form.bar.text
    assert {pair.image.name for pair in training.pairs.pairs} == {
        "steel-A_00",
        "steel-C_02",
        "steel-A_03",
        "steel-C_05",
    }
    assert {pair.group for pair in training.pairs.pairs} == {"steel-A", "steel-C"}
    assert all(pair.labels.name == f"{pair.image.name} labels" for pair in training.pairs.pairs)
    assert (training.split.kind.currentData(), training.split.fold.value()) == (ONE_FOLD, 2)
    order = training.split.ordered([pair.image for pair in training.pairs.pairs], 0)
    ours, theirs = form.plan.folds[1], order.plan(training.samples()).folds[0]
    names = [entry.name for entry in form.entries]
    assert {names[i] for i in ours.val} == {training.samples()[i].name for i in theirs.val}
    form.to_finetune.buttons[0].click()
    assert training.split.kind.currentData() == ALL_FOLDS
    form.table.item(0, GROUP).setText("other")
    assert not form.to_finetune.isVisibleTo(form)
    training.job.stop()


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for seed, name in enumerate(("a_1", "a_2", "b_1", "b_2", "c_1")):
            array = textured(seed) if kind == "images" else strokes((96, 96)).astype(np.int16)
            tifffile.imwrite(tmp_path / kind / f"{name}.tif", array)
    return tmp_path


def test_gold_is_locked_in_the_folder_and_its_images_are_opened_for_a_fold(
    viewer, form, wait_for, folder, monkeypatch
) -> None:
    from napari_anneal.samples import is_locked, read_samples

    handed = []
    monkeypatch.setattr("napari_anneal.widgets.split.set_up_finetune", lambda *words: handed.append(words))
    form.folder.setText(str(folder))
    form.folder.changed.emit(str(folder))
    wait_for(form)
    form.guess.click()
    form.save.click()
    form.table.item(4, GOLD).setCheckState(Qt.CheckState.Checked)
    form.lock.click()
    wait_for(form)
    wait_for(form)
    assert [is_locked(s) for s in read_samples(folder)] == [False] * 4 + [True]
    assert form.gold(4)
    assert not form.table.item(4, GOLD).flags() & Qt.ItemFlag.ItemIsUserCheckable
    form.folds.setValue(2)
    form.bar.start.click()
    wait_for(form)
    assert "gold: 1 image" in form.bar.text, form.bar.text
    form.to_finetune.buttons[1].click()
    ((_, pairs, fold),) = handed
    assert fold == 1
    assert [image.name for image, _ in pairs] == ["a_1", "a_2", "b_1", "b_2"]
    assert {group_of(image) for image, _ in pairs} == {"a", "b"}
    form.to_finetune.buttons[0].click()  # opened once only
    assert len(viewer.layers) == 8


def test_a_pair_of_copies_is_seen_side_by_side_at_the_same_place(viewer, form, wait_for) -> None:
    large = np.random.default_rng(9).integers(0, 255, (128, 128)).astype(np.uint8)
    for name, image in (("a_0", large[:, :96]), ("b_0", large[:, 32:]), ("c_0", textured(5))):
        viewer.add_image(image.copy(), name=name)
        viewer.add_labels(strokes(image.shape), name=f"{name} labels")
    form.guess.click()
    form.folds.setValue(2)
    form.bar.start.click()
    wait_for(form)
    (shown,) = form.copies.pictures
    (_, left, _, wide), (_, start, _, same) = shown.windows
    assert (left, start) == pytest.approx((1 / 3, 0), abs=0.03)
    assert wide == pytest.approx(2 / 3, abs=0.03) == same
