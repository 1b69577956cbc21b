"""rank from a terminal: the order of Python, a table, boxes that napari reads, and sentences for bad input."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile
from test_cli import anneal, last_json, refused

import napari_anneal as na
from napari_anneal.samples import read_samples
from napari_anneal.samples.gold_folder import lock_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three specimens of synthetic grains, none of them labelled."""
    root = tmp_path_factory.mktemp("unlabelled")
    (root / "images").mkdir()
    rows = ["image,group"]
    for i in range(3):
        made = na.synthesize(na.MicrostructureRecipe(shape=(64, 64), n_seeds=6 + 6 * i), seed=i)
        tifffile.imwrite(root / "images" / f"s{i}.tif", (made.image * 255).astype(np.uint8))
        rows.append(f"s{i},specimen{i}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    return root


FAST = ("--estimator", "entropy")


def test_the_order_is_that_of_python_and_comes_as_table_and_boxes(folder, tmp_path):
    words = ("--tiles", 32, "--top", 5, *FAST, "--set", "diversity=0.5")
    found = last_json(anneal("rank", "voronoi", folder, *words, "--out", tmp_path / "order.csv", "--json"))
    order = na.rank("voronoi", folder, tile=32, top=5, estimator="entropy", diversity=0.5)
    assert found.pop("files")[0] == str(tmp_path / "order.csv")
    assert found == json.loads(json.dumps(order.to_dict()))
    rows = list(csv.DictReader((tmp_path / "order.csv").open(encoding="utf-8")))
    assert [(r["rank"], r["name"], [int(r[c]) for c in ("y0", "x0", "y1", "x1")], r["why"]) for r in rows] == [
        (str(p.rank), p.name, list(p.box), p.why) for p in order
    ]
    assert list(tmp_path.glob("order.*.boxes.csv"))


def test_a_person_reads_where_and_why(folder):
    text = anneal("rank", "voronoi", folder, "--tiles", 32, "--top", 2, *FAST).stdout
    assert "2 of 12 places; foreground: boundary" in text
    assert "rows" in text
    assert "least sure" in text


def test_an_ensemble_ranks_a_stack(folder, tmp_path):
    stack = np.stack([tifffile.imread(folder / "images" / f"s{i}.tif") for i in range(3)])
    tifffile.imwrite(tmp_path / "ct.tif", stack, metadata={"axes": "ZYX"})
    other = na.load_model("voronoi").calibrated(2.0).save(tmp_path / "other")
    words = ("--with", other, "--estimator", "ensemble", "--json")
    found = last_json(anneal("rank", "voronoi", tmp_path / "ct.tif", *words))
    assert sorted(place["z"] for place in found["places"]) == [0, 1, 2]


def test_gold_is_left_out_and_said(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    lock_folder(data, read_samples(data, labelled=False), [1])
    done = anneal("rank", "voronoi", data, *FAST, "--json")
    assert {place["name"] for place in last_json(done)["places"]} == {"s0", "s2"}
    assert "s1" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--foreground", "pore"), "'pore'"),
        (("--estimator", "dropout"), "estimator"),
        (("--estimator", "ensemble"), "several models"),
        (("--set", "diversity"), "field=value"),
        (("--set", "diversity=3"), "diversity"),
        (("--set", "hardness=1"), "hardness"),
        (("--tiles", "3"), "tile"),
        (("--out", "order.txt"), ".csv"),
    ],
)
def test_bad_words_end_in_one_sentence(folder, words, says):
    refused(anneal("rank", "voronoi", folder, *words), says)


def test_bad_places_end_in_one_sentence(tmp_path):
    refused(anneal("rank", "voronoi", tmp_path / "none.tif"), "none.tif")
    refused(anneal("rank", tmp_path / "no-model", tmp_path), "no-model")
