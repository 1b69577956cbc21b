"""Charts and pictures of reports: points where they belong, names escaped, colours that say right and wrong."""

from __future__ import annotations

import base64
import io
import math
from xml.etree import ElementTree

import imageio.v3 as iio
import numpy as np
import pytest

from napari_anneal.pages import RIGHT, WRONG, Curve, chart, error_map, overlay, png, render, shown, swatches


def drawn(*args, **kwargs):
    """The chart as a tree of elements: it is well-formed XML."""
    return ElementTree.fromstring(str(chart(*args, **kwargs)))


def polylines(figure):
    return [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in figure.iter("polyline")
    ]


def test_points_lie_in_proportion_and_upwards():
    ((a, b, c),) = polylines(drawn([Curve("loss", [(0, 0.0), (5, 0.5), (10, 1.0)], "#123456")], title="t"))
    assert b[0] - a[0] == pytest.approx(c[0] - b[0], abs=0.2)
    assert a[1] - b[1] == pytest.approx(b[1] - c[1], abs=0.2)
    assert a[1] > c[1]


def test_on_a_logarithmic_axis_decades_are_equally_high_and_zero_is_left_out():
    points = [(0, 1e-4), (1, 1e-3), (2, 1e-2), (3, 0.0)]
    figure = drawn([Curve("rate", points, "#123456")], title="t", log=True)
    ((a, b, c),) = polylines(figure)
    assert a[1] - b[1] == pytest.approx(b[1] - c[1], abs=0.2)
    assert "10⁻³" in {text.text for text in figure.iter("text")}


def test_what_is_no_number_leaves_a_gap():
    lines = polylines(drawn([Curve("c", [(0, 1), (1, 2), (2, math.nan), (3, 2), (4, 1)], "#123456")], title="t"))
    assert [len(line) for line in lines] == [2, 2]
    assert drawn([Curve("c", [(0, math.nan), (1, math.inf)], "#123456")], title="t") is not None
    assert drawn([], title="t") is not None


def test_a_value_beyond_the_axis_stays_in_the_frame():
    ((_, spike, _),) = polylines(drawn([Curve("c", [(0, 0), (1, 99), (2, 1)], "#123")], title="t", y_range=(0, 1)))
    assert spike[1] == pytest.approx(22, abs=0.1)


@pytest.mark.parametrize("bad", ["<script>alert(1)</script>", '"><b>', "a & b", "{{ 7 * 7 }}"])
def test_names_are_escaped_wherever_they_stand(bad):
    figure = drawn(
        [Curve(bad, [(0, 1), (1, 2)], "#123456", dots=True)], title=bad, bands=[(bad, 0, 1)], mark=(1, bad), x_label=bad
    )
    assert {element.tag for element in figure.iter()} <= {
        "figure", "figcaption", "b", "span", "svg", "g", "title", "rect", "text", "path", "polyline", "circle",
    }  # fmt: skip
    assert bad in "".join(figure.itertext())
    page = render("pages/page.html.jinja", title=bad)
    assert "<script>" not in page
    assert "49" not in page.split("<h1>")[1]
    assert "<b>" not in str(swatches([bad], ["#123456"]))


def test_every_dot_says_its_value():
    figure = drawn([Curve("val", [(3, 0.25), (4, 0.125)], "#123456", dots=True)], title="t")
    assert [title.text for title in figure.iter("title")] == ["val: 0.25 at 3", "val: 0.125 at 4"]


def test_bands_cover_the_steps_of_their_stage():
    figure = drawn([Curve("c", [(0, 1), (100, 2)], "#123456")], title="t", bands=[("head", 0, 25), ("all", 25, 100)])
    first, second = [(float(r.get("x")), float(r.get("width"))) for r in figure.iter("rect")]
    assert second[1] == pytest.approx(3 * first[1], rel=0.01)
    assert second[0] == pytest.approx(first[0] + first[1], abs=0.2)


def test_painted_pixels_are_right_or_wrong_and_others_stay_grey():
    image = np.full((2, 2), 100, np.uint8)
    labels, prediction = np.array([[1, 2], [0, 1]]), np.array([[1, 1], [2, 1]])
    picture = error_map(image, labels, prediction, opacity=1.0)
    colour = {name: [int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in (RIGHT, WRONG)}
    assert picture.tolist() == [[colour[RIGHT], colour[WRONG]], [[100] * 3, colour[RIGHT]]]


def test_an_overlay_is_the_mean_of_image_and_colour():
    image = np.array([[0, 200]], np.uint8)
    picture = overlay(image, np.array([[1, 0]]), ["#ff8000"], opacity=0.5)
    assert picture.tolist() == [[[128, 64, 0], [200, 200, 200]]]
    assert overlay(np.zeros((1, 1, 3), np.uint8), None, ()).shape == (1, 1, 3)


def test_pictures_lie_in_the_page_without_loss():
    picture = np.random.default_rng(0).integers(0, 255, (7, 9, 3)).astype(np.uint8)
    head, _, data = str(png(picture)).partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(iio.imread(io.BytesIO(base64.b64decode(data))), picture)


def test_grey_values_are_shown_between_the_limits_of_the_networks_input():
    image = np.linspace(1000, 5000, 10_000).reshape(100, 100).astype(np.float32)
    seen = shown(image)
    assert (seen.min(), seen.max()) == (0, 255)
    assert np.mean(seen == 0) == pytest.approx(0.02, abs=0.005)
