"""An order in which to label, as files: read back by napari's own reader, and by the csv module."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from napari.layers import Shapes
from napari_builtins.io import napari_get_reader

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.ranking_table import boxes_csv, ranking_csv, write_ranking


def row(rank, name, z, box, **more):
    return {"rank": rank, "name": name, "group": "a, b", "z": z, "box": list(box), "score": 1 / rank, **more}


STACK = [row(1, "deep/stack.tif", 7, (0, 0, 4, 6)), row(3, "deep/stack.tif", 0, (2, 3, 5, 9))]
IMAGE = [row(2, "flat.png", None, (10, 20, 30, 50))]
ROWS = [STACK[0], IMAGE[0], STACK[1]]


def shapes(path) -> Shapes:
    ((data, attributes, kind),) = napari_get_reader(str(path))(str(path))
    assert kind == "shapes"
    return Shapes(data, **attributes)


def test_napari_reads_the_boxes_of_every_image(tmp_path):
    table, stack, image = write_ranking(ROWS, tmp_path / "new" / "order.csv")
    assert [file.name for file in (table, stack, image)] == [
        "order.csv", "order.stack.tif.boxes.csv", "order.flat.png.boxes.csv",
    ]  # fmt: skip
    layer = shapes(stack)
    assert (layer.nshapes, layer.ndim, set(layer.shape_type)) == (2, 3, {"rectangle"})
    assert [int(box[0, 0]) for box in layer.data] == [7, 0]
    assert shapes(image).ndim == 2


@pytest.mark.parametrize("rows", [STACK, IMAGE])
def test_a_rectangle_encloses_the_pixels_of_its_box_and_no_others(rows, tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text(boxes_csv(rows))
    layer = shapes(file)
    for index, place in enumerate(rows):
        y0, x0, y1, x1 = place["box"]
        expected = np.zeros((60, 60), bool)
        expected[y0:y1, x0:x1] = True
        corners = layer.data[index][:, -2:]
        rows_, columns = np.mgrid[:60, :60]
        inside = (rows_ > corners[:, 0].min()) & (rows_ < corners[:, 0].max())
        inside &= (columns > corners[:, 1].min()) & (columns < corners[:, 1].max())
        assert np.array_equal(inside, expected)


def test_what_napari_writes_of_these_boxes_is_the_same_table(tmp_path):
    from napari_builtins.io import napari_write_shapes

    (tmp_path / "ours.csv").write_text(boxes_csv(STACK))
    layer = shapes(tmp_path / "ours.csv")
    napari_write_shapes(str(tmp_path / "theirs.csv"), layer.data, {"shape_type": layer.shape_type})
    read = [list(csv.reader((tmp_path / name).open())) for name in ("ours.csv", "theirs.csv")]
    assert read[0] == read[1]


def test_the_table_holds_the_order_and_its_figures():
    first, second, third = csv.DictReader(ranking_csv(ROWS).splitlines())
    assert list(first) == ["rank", "name", "group", "z", "y0", "x0", "y1", "x1", "score"]
    assert (first["z"], second["z"], third["z"]) == ("7", "", "0")
    assert second["group"] == "a, b"
    assert [float(one["score"]) for one in (first, second, third)] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [second[edge] for edge in ("y0", "x0", "y1", "x1")] == ["10", "20", "30", "50"]


def test_names_that_a_file_system_takes_for_one_get_files_of_their_own(tmp_path):
    names = ["a/one", "b/one", "One", "..", "µ s/…"]
    written = write_ranking([row(i, name, None, (0, 0, 1, 1)) for i, name in enumerate(names, 1)], tmp_path / "o.csv")
    assert len({file.name.lower() for file in written}) == 6
    assert {file.parent for file in written} == {tmp_path}
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_bad_input_gets_a_sentence(tmp_path):
    with pytest.raises(InputError, match="nothing was ranked"):
        ranking_csv([])
    with pytest.raises(InputError, match="of images and of stacks"):
        boxes_csv(ROWS)
    with pytest.raises(OutputError, match=r"end the name in \.csv"):
        write_ranking(ROWS, tmp_path / "order.txt")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="could not be written"):
        write_ranking(ROWS, tmp_path / "file" / "order.csv")
