"""Grain size: exact on lattices, right on Poisson-Voronoi grains of known size, with intervals that hold the truth."""

import json
import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

import napari_anneal as na
from napari_anneal.errors import InputError
from napari_anneal.validation import grain_size
from napari_anneal.validation.grains import g_from_count, g_from_intercept
from napari_anneal.validation.grains.e112 import count_of_g, intercept_of_g
from napari_anneal.validation.grains.planimetric import count_grains

# Poisson-Voronoi cells of mean size 1: mean intercept in 2D (Meijering 1953) and 3D; sections per area (Okabe 2000).
INTERCEPT_2D, INTERCEPT_3D, SECTIONS_3D = math.pi / 4, 0.6872, 1.458


def voronoi(seed, shape, width, stretch=None):
    """Grains round the points of a Poisson process, pixel centres to the nearest point; mean size width^ndim."""
    rng, stretch = np.random.default_rng(seed), np.array(stretch or (1,) * len(shape))
    margin = 5 * width * stretch
    box = np.array(shape) + 2 * margin
    points = rng.random((rng.poisson(np.prod(box / stretch) / width ** len(shape)), len(shape))) * box - margin
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    return cKDTree(points / stretch).query(places / stretch)[1].reshape(shape) + 1


def lattice(side, periods, shift, ndim=2):
    """Squares or cubes; pixel centres span whole periods."""
    axes = np.meshgrid(*[(np.arange(side * periods + 1) + s) // side for s in shift[:ndim]], indexing="ij")
    return np.ravel_multi_index(axes, (periods + 2,) * ndim) + 1


@pytest.mark.parametrize(
    ("g", "per_mm2", "intercept_um"), [(0, 7.75, 320.0), (5, 248.0, 56.6), (8, 1984.0, 20.0), (10, 7936.0, 10.0)]
)
def test_g_is_that_of_the_standards_table_4(g, per_mm2, intercept_um):
    assert g_from_count(per_mm2) == pytest.approx(g, abs=0.01)
    assert g_from_intercept(intercept_um / 1000) == pytest.approx(g, abs=0.01)
    assert g_from_count(count_of_g(g)) == pytest.approx(g)
    assert g_from_intercept(intercept_of_g(g)) == pytest.approx(g)


@pytest.mark.parametrize("shift", [(3, 5), (7, 2)])
def test_squares_are_exact_along_their_axes_and_diagonals_and_by_count(shift):
    side = 12
    size = grain_size(lattice(side, 15, shift), 1.0)
    for vector, length in zip(size.directions, size.intercepts, strict=True):
        # A line of direction u crosses |u_y| + |u_x| sides a period.
        assert length == pytest.approx(side / np.abs(vector).sum(), rel=0.012)
    axes = np.abs(size.directions).max(axis=1) == 1
    np.testing.assert_allclose(size.intercepts[axes], side)
    # The mean over all directions, known from 8 of them to 1.5 %.
    truth = g_from_intercept(math.pi / 4 * side / 1000)
    assert abs(size.g - truth) <= 0.05
    assert size.planimetric.value == pytest.approx(side**2)
    assert size.g_planimetric == pytest.approx(g_from_count(1e6 / side**2))
    assert size.anisotropy == pytest.approx(1, abs=0.005)
    # Every part of the field is alike, so the interval is narrow.
    assert size.intercept.relative_accuracy_percent < 6


def test_cubes_are_exact_along_the_axes():
    size = grain_size(lattice(9, 6, (4, 2, 7), ndim=3), 1.0)
    axes = np.abs(size.directions).max(axis=1) == 1
    np.testing.assert_allclose(size.intercepts[axes], 9)
    for vector, length in zip(size.directions, size.intercepts, strict=True):
        # Steps of up to 3 px leave a window that holds no whole number of periods.
        assert length == pytest.approx(9 / np.abs(vector).sum(), rel=0.05)
    # The mean over all directions, 4 V / S; by 13 directions and the nearest of them it was 8 % too long (0.22 of G).
    assert abs(size.g - g_from_intercept(2 / 3 * 9 / 1000)) <= 0.05
    assert size.planimetric.value == pytest.approx(81)


def test_hexagons_wherever_the_frame_cuts_them():
    pitch = 14.3
    height, area = pitch * math.sqrt(3) / 2, pitch**2 * math.sqrt(3) / 2
    rows, columns = np.mgrid[-3:20, -3:20]
    found = []
    for shift in np.random.default_rng(0).random((6, 2)) * pitch:
        points = np.column_stack([(rows * height).ravel(), (columns * pitch + rows % 2 * pitch / 2).ravel()]) + shift
        places = np.stack(np.mgrid[:150, :150], -1).reshape(-1, 2)
        found.append(grain_size(cKDTree(points).query(places)[1].reshape(150, 150) + 1, 1.0))
    # Length of boundary per area is 3 sides a hexagon; P_L = 2 / π of it.
    intercept = math.pi / 2 * area / (3 * pitch / math.sqrt(3))
    assert abs(np.mean([s.g for s in found]) - g_from_intercept(intercept / 1000)) <= 0.05
    assert abs(np.mean([s.g_planimetric for s in found]) - g_from_count(1e6 / area)) <= 0.05


@pytest.mark.parametrize("width", [12, 20])
def test_poisson_voronoi_grains_of_known_size_within_five_hundredths_of_g_and_inside_the_intervals(width):
    sizes = [grain_size(voronoi(seed, (200, 200), width), 1.0) for seed in range(30)]
    for g, interval, truth in (
        ("g", "g_interval", g_from_intercept(INTERCEPT_2D * width / 1000)),
        ("g_planimetric", "g_planimetric_interval", g_from_count(1e6 / width**2)),
    ):
        values = np.array([getattr(size, g) for size in sizes])
        # Thirty images scatter; their mean is known to a third of that.
        assert abs(values.mean() - truth) <= 0.05 + 2 * values.std() / math.sqrt(30)
        held = [low <= truth <= high for low, high in (getattr(size, interval) for size in sizes)]
        # 95 % of 30 are 28.5 ± 1.2.
        assert sum(held) >= 25


def test_circles_tell_the_same_mean_as_lines():
    circles = [grain_size(voronoi(seed, (256, 256), 12), 1.0, test_lines="circles") for seed in range(12)]
    density = np.mean([size.intercept.density for size in circles])
    assert density == pytest.approx(1 / (INTERCEPT_2D * 12), rel=0.04)
    assert all(not len(size.directions) and math.isnan(size.anisotropy) for size in circles)


def test_many_images_are_fields_with_the_interval_of_the_standard():
    fields = [voronoi(seed, (120, 120), 10) for seed in range(6)]
    size = grain_size(fields, 1.0)
    each = np.array([grain_size(field, 1.0).intercept.density for field in fields])
    # What steps miss is known better from all fields than from each.
    assert size.intercept.density == pytest.approx(each.mean(), rel=1e-3)
    # E112-13: t(5) = 2.571, 95 % CI = t s / √n.
    assert size.intercept.half_width == pytest.approx(2.5706 * each.std(ddof=1) / math.sqrt(6), rel=0.06)
    assert size.intercept.fields == 6
    assert size.whole == sum(grain_size(field).whole for field in fields)


def test_volumes_by_intercepts_in_3d_and_by_sections():
    sizes = [grain_size(voronoi(seed, (48, 48, 48), 8), 1.0) for seed in range(4)]
    assert abs(np.mean([s.g for s in sizes]) - g_from_intercept(INTERCEPT_3D * 8 / 1000)) <= 0.06
    # Sections smaller than a pixel are lost: 3 % at this size.
    assert abs(np.mean([s.g_planimetric for s in sizes]) - g_from_count(SECTIONS_3D / 8**2 * 1e6)) <= 0.08
    assert sizes[0].ndim == 3


@pytest.mark.parametrize(("shape", "stretch"), [((200, 320), (1, 2)), ((40, 48, 80), (1, 1, 2))])
def test_stretched_grains_have_the_anisotropy_they_were_stretched_by(shape, stretch):
    sizes = [grain_size(voronoi(seed, shape, 9, stretch)) for seed in range(3)]
    assert np.mean([size.anisotropy for size in sizes]) == pytest.approx(2, rel=0.06)
    for size in sizes:
        assert abs(size.principal_directions[0][-1]) > 0.98
        assert size.aspect_ratio > 1.8


def test_pixels_that_are_not_square_change_no_size_in_micrometres():
    fine = voronoi(3, (240, 240), 16)
    size, squeezed = grain_size(fine, 0.5), grain_size(fine[::2], (1.0, 0.5))
    assert squeezed.mean_intercept_um == pytest.approx(size.mean_intercept_um, rel=0.02)
    assert squeezed.mean_area_um2 == pytest.approx(size.mean_area_um2, rel=0.03)
    assert size.g == pytest.approx(g_from_intercept(size.intercept.value * 0.0005))


def test_a_scale_bar_and_a_round_field_leave_the_result_right():
    widths = []
    for seed in range(8):
        grains = voronoi(seed, (160, 160), 10)
        bar = np.zeros(grains.shape, bool)
        bar[120:150, 30:120] = True
        y, x = np.mgrid[:160, :160]
        outside = (y - 80) ** 2 + (x - 80) ** 2 > 75**2
        found = [grain_size(np.where(mask, 7, grains), 1.0, ignore=mask) for mask in (bar, outside)]
        widths.append([(s.intercept.value / INTERCEPT_2D / 10, s.planimetric.value / 100) for s in found])
    np.testing.assert_allclose(np.mean(widths, axis=0), 1, atol=0.05)


def test_the_corner_rule_of_the_standard_on_a_hand_count():
    """Nine squares of 5 px seen through a window that cuts the outer eight: 1 + 8 / 2, and 1 for the corners."""
    grains = lattice(5, 2, (2, 2))[:10, :10]
    assert len(np.unique(grains)) == 9
    count = count_grains(grains.astype(np.int32), (1.0, 1.0))
    assert (count.inside, count.cut, count.grains, count.area) == (1, 8, 4, 81)
    # One whole grain, four edge grains at one half, four corner grains at one quarter.
    assert count.grains == 1 + 4 / 2 + 4 / 4


def test_a_hole_in_the_field_gives_one_grain_back():
    """Twenty-five squares, of which a hole takes a piece of the nine in the middle."""
    grains = lattice(10, 4, (5, 5)).astype(np.int32)
    grains[11:30, 11:30] = 0
    count = count_grains(grains, (1.0, 1.0))
    assert (count.inside, count.cut) == (0, 24)
    # Sixteen at the frame and eight round the hole count one half; the ring of the field has an Euler number of 0.
    assert count.grains == 12
    # 40 × 40 less 20 × 20 between the centres of known pixels, at 100 a grain.
    assert count.grains == count.area / 100


@pytest.mark.parametrize(("seeds", "width"), [(150, 2.0), (150, 3.0)])
def test_boundaries_have_no_thickness_however_thick_they_are_drawn(seeds, width):
    for seed in range(2):
        made = na.synthesize(na.MicrostructureRecipe(shape=(300, 300), n_seeds=seeds, boundary_width=width), seed=seed)
        truth, drawn = grain_size(made.grains, 1.0), grain_size(made.labels, 1.0, boundary=2)
        assert abs(drawn.g - truth.g) <= 0.05
        assert abs(drawn.g_planimetric - truth.g_planimetric) <= 0.05
        lines = np.where(made.boundary, 0, made.grains)
        assert abs(grain_size(lines, 1.0).g - truth.g) <= 0.05
        guessed = grain_size(made.labels, 1.0)
        assert guessed.g == drawn.g
        assert "boundary class 2" in guessed.notes[0]


def test_gaps_in_predicted_boundaries_are_closed_on_request():
    made = na.synthesize(na.MicrostructureRecipe(shape=(120, 120), n_seeds=24, boundary_width=2.0), seed=0)
    holes = np.random.default_rng(0).random((30, 30)) < 0.04
    gappy = np.where(np.kron(holes, np.ones((4, 4), bool)), 1, made.labels)
    truth = grain_size(made.grains, 1.0).g_planimetric
    wrong = grain_size(gappy, 1.0, boundary=2).g_planimetric
    closed = grain_size(gappy, 1.0, boundary=2, close_gaps=10).g_planimetric
    assert abs(closed - truth) < 0.1 < abs(wrong - truth)


def test_phases_without_boundaries_are_grains_each():
    blobs = (lattice(10, 8, (3, 3)) + lattice(10, 8, (3, 3)) // 10) % 2 + 1
    size = grain_size(blobs, 1.0)
    assert "without a boundary class" in size.notes[0]
    assert size.planimetric.value == pytest.approx(100)


def test_the_histogram_holds_every_whole_grain_and_json_is_plain():
    size = grain_size(voronoi(0, (150, 150), 10), 0.5)
    edges, shares = size.histogram(12)
    assert len(edges) == 13
    assert shares.sum() == pytest.approx(1)
    assert edges[-1] == size.diameter.max()
    written = json.loads(json.dumps(size.to_dict(), allow_nan=False))
    assert written["intercept"]["g"] == pytest.approx(size.g)
    assert written["planimetric"]["g_interval_95"][0] < size.g_planimetric < written["planimetric"]["g_interval_95"][1]
    text = str(size)
    for word in ("whole grains", "mean intercept", "µm²", f"G = {size.g:.2f}", "95 % interval", "anisotropy"):
        assert word in text


def test_without_a_pixel_size_there_are_pixels_only_and_asking_for_more_is_answered():
    size = grain_size(voronoi(0, (100, 100), 10))
    assert size.intercept.value > 0
    assert "µm" not in str(size)
    assert size.to_dict()["intercept"]["g"] is None
    for name in ("g", "g_interval", "g_planimetric", "mean_intercept_um", "mean_area_um2"):
        with pytest.raises(InputError, match="pixel size is not known"):
            getattr(size, name)


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_a_stack_thinner_than_a_step_is_measured_along_the_steps_it_has(slices):
    columns = voronoi(0, (120, 120), 12)
    stack = np.repeat(columns[None], slices, axis=0)
    size, plane = grain_size(stack, 1.0, boundary=None), grain_size(columns, 1.0, boundary=None)
    assert math.isfinite(size.g)
    # Lines that rise through columns cross fewer boundaries the steeper they are, none along them.
    assert 0.95 < size.intercept.value / plane.intercept.value < 1.8
    drawn = np.where(np.arange(slices)[:, None, None] >= 0, np.where(columns == np.roll(columns, 1), 1, 2), 0)
    assert math.isfinite(grain_size(drawn, 1.0, boundary=2).intercept.value)


def test_few_grains_have_no_interval_and_a_note_says_so():
    size = grain_size(voronoi(1, (60, 60), 22))
    assert math.isnan(size.intercept.half_width)
    assert any("no confidence interval" in note for note in size.notes)


def test_no_whole_grain_leaves_the_intercepts_and_says_why_there_is_no_count():
    bands = np.repeat(np.arange(1, 7), 10)[:, None] * np.ones((1, 60), int)
    size = grain_size(bands, 1.0)
    assert math.isnan(size.planimetric.value)
    assert any("no grain lies in the field whole" in note for note in size.notes)
    assert size.to_dict()["planimetric"]["g"] is None
    assert size.intercepts[np.abs(size.directions[:, 0]) == 1] == pytest.approx(59 / 5)


@pytest.mark.parametrize(
    ("labels", "options", "reason"),
    [
        (np.ones((20, 20), int), {}, "a single grain fills the field"),
        (np.zeros((20, 20), int), {}, "holds no grain"),
        (np.ones((20, 20)), {}, "whole numbers"),
        (np.ones(20, int), {}, "whole numbers"),
        (np.ones((2, 2, 9, 9), int), {}, "whole numbers"),
        (np.ones((9, 9)) * 1.5, {}, "whole numbers"),
        (-np.ones((9, 9), int), {}, "negative labels"),
        (np.eye(9, dtype=int) + 1, {"boundary": 5}, "no pixel of the boundary class 5; its values are 1, 2"),
        (np.eye(9, dtype=int) + 1, {"ignore": np.zeros((3, 3))}, "differ in shape"),
        (np.eye(9, dtype=int) + 1, {"zero": "grain"}, "zero='grain'"),
        (np.eye(9, dtype=int) + 1, {"spacing_um": 0}, "spacing_um=0"),
        (np.eye(9, dtype=int) + 1, {"spacing_um": (1, 2, 3)}, "2 of them"),
        (np.eye(9, dtype=int) + 1, {"test_lines": "spirals"}, "test_lines='spirals'"),
        (np.ones((4, 4, 4), int), {"test_lines": "circles"}, "for 3D"),
        ([np.ones((9, 9), int), np.ones((3, 3, 3), int)], {}, "cannot be mixed"),
        ([np.ones((9, 9), int)], {"ignore": [None, None]}, "2 masks do not fit 1"),
    ],
)
def test_what_has_no_grain_size_is_refused(labels, options, reason):
    with pytest.raises(InputError, match=reason):
        grain_size(labels, **options)
