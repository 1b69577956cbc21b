"""Counting by hand after E112: tangents, triple points and ends score as the standard says, and on average right."""

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_anneal.validation import grain_size
from napari_anneal.validation.grains.hand_count import TestLine, circle_pattern, count_by_hand, line_pattern

# Two grains over one: the boundary between the upper ones ends at row 19.5 on that below them.
BRICKS = np.ones((40, 60), np.int32)
BRICKS[:20, 30:] = 2
BRICKS[20:] = 3


def count(*points, grains=BRICKS, closed=False):
    return count_by_hand(grains, (TestLine(np.array(points, float), closed),))


def test_a_boundary_crossed_is_one_and_ends_within_grains_are_nothing():
    found = count((10, 5), (10, 55))
    assert found.kinds == ("crossing",)
    assert (found.intersections, found.intercepts) == (1, 1)
    assert found.length == pytest.approx(50)
    # The boundary lies between columns 29 and 30.
    assert found.places[0] == pytest.approx((10, 29.5), abs=0.3)


@pytest.mark.parametrize("line", [((0, 10), (39, 49)), ((19.5, 5), (19.6, 55))])
def test_where_three_grains_meet_is_one_and_a_half(line):
    found = count(*line)
    if line[0][0] == 0:
        # The diagonal meets the junction at (19.5, 29.5).
        assert found.kinds == ("triple point",)
        assert found.intersections == 1.5
    else:
        # Along a boundary all the way: ends touch it, three grains meet.
        assert found.kinds == ("line end",)


def test_an_end_that_just_touches_a_boundary_is_one_half():
    found = count((10, 5), (10, 29.4))
    assert (found.kinds, found.intersections) == (("line end",), 0.5)
    assert count((10, 5), (10, 27)).intersections == 0


def test_a_boundary_that_is_only_touched_is_one_whichever_side_the_line_passes():
    y, x = np.mgrid[:80, :120]
    disk = np.where((y - 60) ** 2 + (x - 60) ** 2 < 40**2, 2, 1).astype(np.int32)
    # The top of the disk lies at row 20.5; a little above or below it, and clear of it.
    for row, kinds, crossed in ((20.1, ("tangent",), 0), (20.8, ("tangent",), 2), (17, (), 0)):
        found = count((row, 5), (row, 115), grains=disk)
        assert found.kinds == kinds
        assert found.intersections == len(kinds)
        assert found.intercepts == crossed
    assert count((30, 5), (30, 115), grains=disk).kinds == ("crossing", "crossing")


def test_on_a_circle_a_triple_point_is_two_as_abrams_counts():
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    # Through the junction, then through both of the boundaries that the circle meets besides.
    ring = [(19.5 + 12 * (np.sin(t) - np.sin(0.8)), 29.5 + 12 * (np.cos(t) - np.cos(0.8))) for t in turn]
    found = count(*ring, closed=True)
    scores = dict(zip(found.kinds, found.scores, strict=True))
    assert scores["triple point"] == 2
    assert scores["crossing"] == 1


def test_a_line_ends_where_nothing_is_known():
    grains = BRICKS.copy()
    grains[:, 20:40] = 0
    found = count((10, 5), (10, 55), grains=grains)
    assert found.intersections == 0
    assert found.length == pytest.approx(14.5 + 15.5, abs=0.5)


@pytest.mark.parametrize(("width", "tolerance"), [(20, 0.035), (40, 0.03)])
def test_counts_by_hand_are_those_of_exact_lines_over_exact_cells(width, tolerance):
    """The oracle never sees a pixel: nearest seeds along the line itself, every fiftieth of a pixel."""
    by_hand = crossed = exact = 0.0
    for seed in range(6):
        rng, n = np.random.default_rng(seed), 320
        seeds = rng.random((rng.poisson(((n + 8 * width) / width) ** 2), 2)) * (n + 8 * width) - 4 * width
        tree = cKDTree(seeds)
        grains = (tree.query(np.stack(np.mgrid[:n, :n], -1).reshape(-1, 2))[1].reshape(n, n) + 1).astype(np.int32)
        lines = line_pattern(grains.shape, (1.0, 1.0), math.pi / 4 * width, rng)
        found = count_by_hand(grains, lines)
        by_hand, crossed = by_hand + found.intersections, crossed + found.intercepts
        for start, stop in (line.points for line in lines):
            along = np.linspace(0, 1, int(50 * np.linalg.norm(stop - start)))[:, None]
            exact += (np.diff(tree.query(start + (stop - start) * along)[1]) != 0).sum()
    assert exact > 500
    assert crossed == pytest.approx(exact, rel=0.01)
    assert by_hand == pytest.approx(exact, rel=tolerance)


def test_patterns_lie_in_the_section_and_follow_the_pixels():
    rng = np.random.default_rng(0)
    for line in (*line_pattern((50, 90), (2.0, 1.0), 8.0, rng), *circle_pattern((50, 90), (2.0, 1.0))):
        assert (line.points >= -1e-9).all()
        assert (line.points <= np.array([49, 89]) + 1e-9).all()
    big, middle, small = circle_pattern((50, 90), (2.0, 1.0))
    reach = [np.ptp(each.points * (2, 1), axis=0) for each in (big, middle, small)]
    # Round in micrometres, circumferences as 3 : 2 : 1.
    for each, part in zip(reach, (3, 2, 1), strict=True):
        np.testing.assert_allclose(each, reach[2] * part, rtol=1e-3)
        assert each[0] == pytest.approx(each[1], rel=1e-3)


def test_the_result_tells_what_was_counted_and_draws_the_same_lines_again():
    grains = np.kron(np.arange(1, 101).reshape(10, 10), np.ones((15, 15), int))
    size, again = grain_size(grains, seed=3), grain_size(grains, seed=3)
    (found,), (second,) = size.hand_counts, again.hand_counts
    np.testing.assert_array_equal(found.places, second.places)
    told = size.to_dict()["by_hand"][0]
    assert told["intersections"] == sum(found.scores)
    assert sum(told["met"].values()) == len(found.places)
    assert size.mean_intercept_by_hand == pytest.approx(size.intercept.value, rel=0.15)
    assert "by hand, along" in str(size)
    assert grain_size(np.kron(np.arange(1, 28).reshape(3, 3, 3), np.ones((6, 6, 6), int))).hand_counts == ()
