"""The report of a grain size: histograms that are right, one page that opens anywhere, JSON and CSV beside it."""

import json
import math

import numpy as np
import pytest
from tessellations import poisson

from napari_anneal.errors import InputError, OutputError
from napari_anneal.validation.grains import grain_size, write_grain_size


@pytest.fixture(scope="module")
def grains():
    return poisson(np.random.default_rng(0), (150, 200), 14)


def test_shares_by_number_and_by_area_are_those_of_numpy_by_hand(grains):
    size = grain_size(grains, 0.5)
    edges, shares = size.histogram(7)
    _, by_area = size.histogram(7, "area")
    place = np.minimum((size.diameter / size.diameter.max() * 7).astype(int), 6)
    for k in range(7):
        assert shares[k] == pytest.approx(size.grain_weight[place == k].sum())
        filled = (size.grain_weight * size.diameter**2)[place == k].sum()
        assert by_area[k] == pytest.approx(filled / (size.grain_weight * size.diameter**2).sum())
    assert edges[-1] == size.diameter.max()
    edges, shares = size.aspect_histogram(5)
    assert (edges[0], shares.sum()) == (1, pytest.approx(1))
    for wrong in ({"bins": 0}, {"weighted_by": "mass"}):
        with pytest.raises(InputError, match="histogram"):
            size.histogram(**wrong)


def test_the_log_normal_is_the_likeliest(grains):
    size = grain_size(grains)
    median, sigma = size.log_normal

    def unlikelihood(m, s):
        z = (np.log(size.diameter) - math.log(m)) / s
        return size.grain_weight @ (z**2 / 2 + math.log(s))

    best = unlikelihood(median, sigma)
    assert all(best < unlikelihood(median * f, sigma * g) for f, g in ((1.02, 1), (0.98, 1), (1, 1.02), (1, 0.98)))


def test_one_page_with_figures_and_grains_beside_it(grains, tmp_path):
    size = grain_size(grains, 0.5)
    page = write_grain_size(size, tmp_path / "new" / "size.html", title="<steel>", about={"Measured": "a.tif"})
    text = page.read_text(encoding="utf-8")
    for part in (f"G = {size.g:.2f}", "&lt;steel&gt;", "log-normal fit", "Grains by aspect ratio", "data:image/png"):
        assert part in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert json.loads(page.with_suffix(".json").read_text())["intercept"]["g"] == pytest.approx(size.g)
    rows = page.with_suffix(".csv").read_text().splitlines()
    assert len(rows) == size.whole + 1
    first = dict(zip(rows[0].split(","), map(float, rows[1].split(",")), strict=True))
    assert first["diameter_um"] == pytest.approx(first["diameter_px"] / 2, rel=1e-5)
    with pytest.raises(OutputError, match=r"size\.html already exists"):
        write_grain_size(size, page)
    write_grain_size(size, page, overwrite=True)
    with pytest.raises(OutputError, match=r"end in \.html"):
        write_grain_size(size, tmp_path / "size.txt")


def test_without_pixel_size_or_whole_grain_the_page_says_so(tmp_path):
    bands = np.repeat(np.arange(1, 7), 10)[:, None] * np.ones((1, 60), int)
    text = write_grain_size(grain_size(bands), tmp_path / "a.html").read_text(encoding="utf-8")
    assert "the pixel size is not known" in text
    assert "No grain lies in the field whole" in text
    assert "nan" not in text.replace("napari-anneal", "")
    assert (tmp_path / "a.csv").read_text().count("\n") == 1


def test_a_volume_has_a_page_without_a_section(tmp_path):
    size = grain_size(poisson(np.random.default_rng(1), (30, 30, 30), 7), (1.0, 1.0, 1.0))
    text = write_grain_size(size, tmp_path / "v.html").read_text(encoding="utf-8")
    assert "in 3D" in text
    assert "Counted as by hand" not in text
