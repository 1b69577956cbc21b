"""The table of instances equals scikit-image's region properties, whatever the blocks."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.instances import instance_table


@settings(max_examples=40, deadline=None)
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 30), st.integers(1, 30)),
        st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12)),
    ),
    seed=st.integers(0, 10**6),
    block=st.integers(1, 13),
    spaced=st.booleans(),
)
def test_figures_equal_region_properties(shape, seed, block, spaced):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 1, 3, 4, 70_000], shape).astype(np.int64)
    grey = rng.normal(5, 2, shape)
    spacing = tuple(rng.uniform(0.3, 2, len(shape))) if spaced else None
    table = instance_table(labels, grey, spacing, block=block)
    plain = regionprops(labels, grey)
    assert table["label"].tolist() == [p.label for p in plain]
    size, kind = ("area", "um2") if len(shape) == 2 else ("volume", "um3")
    names = "zyx"[3 - len(shape) :]
    for row, p in zip(table.rows(), plain, strict=True):
        assert row[f"{size}_px"] == p.area
        assert row["equivalent_diameter_px"] == pytest.approx(p.equivalent_diameter_area)
        assert [row[f"centroid_{a}_px"] for a in names] == pytest.approx(p.centroid)
        assert [row[f"start_{a}_px"] for a in names] + [row[f"stop_{a}_px"] for a in names] == list(p.bbox)
        assert row["mean_intensity"] == pytest.approx(p.intensity_mean)
        assert (row["min_intensity"], row["max_intensity"]) == (p.intensity_min, p.intensity_max)
        low, high = p.bbox[: len(shape)], p.bbox[len(shape) :]
        assert row["touches_edge"] == (min(low) == 0 or any(h == n for h, n in zip(high, shape, strict=True)))
    if not spaced:
        return
    for row, p in zip(table.rows(), regionprops(labels, grey, spacing=spacing), strict=True):
        assert row[f"{size}_{kind}"] == pytest.approx(p.area)
        assert row["equivalent_diameter_um"] == pytest.approx(p.equivalent_diameter_area)
        assert [row[f"centroid_{a}_um"] for a in names] == pytest.approx(p.centroid)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), flat=st.booleans(), block=st.integers(3, 40))
def test_axes_equal_those_of_region_properties_with_pixels_as_squares(seed, flat, block):
    rng = np.random.default_rng(seed)
    ndim = 2 if flat else 3
    turn = np.linalg.qr(rng.normal(size=(ndim, ndim)))[0]
    at = np.indices((40, 44) if flat else (25, 24, 26)).reshape(ndim, -1).T - np.full(ndim, 12.0)
    inside = (((at @ turn) / rng.uniform(2, 11, ndim)) ** 2).sum(axis=1) < 1
    labels = inside.reshape((40, 44) if flat else (25, 24, 26)).astype(np.int32)
    (row,), (p,) = instance_table(labels, block=block).rows(), regionprops(labels)
    # scikit-image counts pixels as points; a square adds 1/12 to the second moment along every axis.
    moments = np.sort(np.linalg.eigvalsh(np.cov(p.coords.T, bias=True).reshape(ndim, ndim))) + 1 / 12
    scale = 16 if flat else 20
    assert row["minor_axis_px"] == pytest.approx(np.sqrt(scale * moments[0]))
    assert row["major_axis_px"] == pytest.approx(np.sqrt(scale * moments[-1]))
    assert row["aspect_ratio"] == pytest.approx(np.sqrt(moments[-1] / moments[0]))
    if flat:
        assert p.axis_major_length == pytest.approx(np.sqrt(scale * (moments[-1] - 1 / 12)))
        if row["aspect_ratio"] > 1.01:
            # theirs: from the row axis, counter-clockwise; ours: from +X towards +Y, modulo half a turn.
            difference = row["orientation_deg"] - (90 - np.rad2deg(p.orientation))
            assert abs((difference + 90) % 180 - 90) < 1e-3


def test_far_from_the_origin_no_digits_are_lost():
    class Far:
        shape, dtype = (3_000_000_000, 8), np.dtype(np.int32)

    from napari_anneal.inference.instances.measures import Measures

    disk = (np.hypot(*(np.mgrid[:9, :9] - 4)) < 4)[None].astype(np.int32)
    near, far = Measures(), Measures()
    near.add(disk, (0, 0, 0), None)
    far.add(disk, (0, 200_000, 300_000), None)
    np.testing.assert_allclose(far.sums().central(), near.sums().central(), rtol=1e-12)


def test_csv_and_json_say_the_same_and_leave_what_is_not_known_empty(tmp_path):
    labels = np.zeros((9, 9), int)
    labels[2:5, 3:7], labels[7, 8] = 1, 2
    grey = np.where(labels == 1, 3.0, np.nan)
    table = instance_table(labels, grey, (0.5, 0.5), class_name="pore, round")
    rows = list(csv.DictReader(io.StringIO(table.write(tmp_path / "t.csv").read_text(encoding="utf-8"))))
    objects = json.loads(table.write(tmp_path / "t.json").read_text(encoding="utf-8"))
    assert len(rows) == len(objects) == len(table) == 2
    for row, plain in zip(rows, objects, strict=True):
        assert set(row) == set(plain)
        assert row["class"] == plain["class"] == "pore, round"
        assert float(row["area_um2"]) == plain["area_um2"]
    assert objects[0]["area_px"] == 12
    assert objects[0]["area_um2"] == 3.0
    assert objects[1]["mean_intensity"] is None
    assert rows[1]["mean_intensity"] == ""
    with pytest.raises(OutputError, match="csv or"):
        table.write(tmp_path / "t.parquet")
    with pytest.raises(OutputError, match="cannot be written"):
        table.write(tmp_path / "no" / "t.csv")


def test_no_instances_give_a_table_without_rows():
    table = instance_table(np.zeros((4, 5), np.uint8), spacing=(1, 1))
    assert len(table) == 0
    assert table.to_csv().startswith("label,class,area_px,")
    assert table.rows() == []


@pytest.mark.parametrize(
    ("labels", "options", "sentence"),
    [
        (np.zeros((4, 4), np.float32), {}, "whole numbers"),
        (np.full((4, 4), -1), {}, "negative"),
        (np.zeros((2, 2, 2, 2), int), {}, "two or three axes"),
        (np.zeros((4, 4), int), {"spacing": (1, -1)}, "positive"),
        (np.zeros((4, 4), int), {"intensity": np.zeros((4, 5))}, "intensity"),
    ],
)
def test_bad_maps_are_refused(labels, options, sentence):
    with pytest.raises(InputError, match=sentence):
        instance_table(labels, **options)
