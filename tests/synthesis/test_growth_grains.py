"""Grain growth: the laws of curvature-driven growth, for Monte Carlo and phase field, and the arrays it hands over."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from napari_anneal.errors import InputError
from napari_anneal.synthesis import (
    Appearance,
    Growth,
    GrowthRanges,
    MicrostructureRecipe,
    RecipeRanges,
    SyntheticStream,
    memory,
    synthesize,
)
from napari_anneal.synthesis.geometry.patches import distance_to_patches, find_patches
from napari_anneal.synthesis.growth.phase_field import grow_phase_field
from napari_anneal.synthesis.growth.pieces import centroids, number_pieces
from napari_anneal.synthesis.growth.potts import grow_potts


def make(seed=0, *, method="phase_field", shape=(96, 112), rung=1, n_seeds=60, growth=None, **changes):
    growth = Growth(method=method, **{"time": 40.0, "rounds": 40.0, **(growth or {})})
    look = Appearance(rung=rung, twins=0.3, relief=0.1, groove_width_spread=0.8)
    return synthesize(
        MicrostructureRecipe(shape=shape, n_seeds=n_seeds, growth=growth, appearance=look, **changes), seed
    )


def from_centre(shape, centre):
    return np.sqrt(sum((i - c) ** 2 for i, c in zip(np.indices(shape), centre, strict=True)))


def size_of(labels, depth, grain):
    """Area (or volume) of a grain, pixels on its boundary counted in part."""
    return np.clip(np.where(labels == grain, 0.5 + depth, 0.5 - depth), 0, 1).sum()


# Monte Carlo


def test_monte_carlo_circles_shrink_at_a_rate_that_does_not_depend_on_their_radius():
    rates = []
    for radius, rounds, copies in ((14, 50, 24), (28, 200, 6)):
        n = 2 * radius + 14
        disc = (from_centre((1, n, n), (0, n / 2, n / 2)) < radius).astype(np.int32)
        lost = 0.0
        for k in range(1, copies + 1):
            start = grow_potts(disc, 15, 0.5, False, 7919 * k)
            lost += start.sum() - grow_potts(start, rounds, 0.5, False, 104_729 * k).sum()
        rates.append(lost / copies / rounds)
    assert rates[0] == pytest.approx(rates[1], rel=0.12)
    assert rates[1] == pytest.approx(3.8, rel=0.12)


def test_monte_carlo_grains_keep_no_direction_of_the_grid():
    # A large circle stays one: its second and fourth angular harmonics are those of noise.
    harmonics = np.zeros(2, complex)
    for k in range(1, 9):
        disc = (from_centre((1, 96, 96), (0, 47.5, 47.5)) < 40).astype(np.int32)
        _, y, x = np.nonzero(grow_potts(disc, 500, 0.5, False, 31 * k))
        y, x = y - y.mean(), x - x.mean()
        angle, radius = np.arctan2(y, x), np.hypot(y, x)
        harmonics += [np.mean((radius / radius.mean()) ** 2 * np.exp(1j * m * angle)) / 8 for m in (2, 4)]
    assert np.abs(harmonics).max() < 0.05


def mean_areas(labels, times, grow):
    areas = [labels.size / len(np.unique(labels))]
    for before, after in pairwise(times):
        labels = grow(labels, before, after)
        areas.append(labels.size / number_pieces(labels, True).max())
    return np.array(areas)


def linear_fit(times, areas):
    slope, offset = np.polyfit(times, areas, 1)
    residual = areas - (slope * times + offset)
    return slope, 1 - residual.var() / areas.var()


def voronoi(shape, n_seeds, seed=0):
    recipe = MicrostructureRecipe(shape=shape, n_seeds=n_seeds, boundary_width=1.0, appearance=Appearance(rung=1))
    return synthesize(recipe, seed).grains[None]


def test_monte_carlo_mean_grain_area_grows_linearly_with_time():
    times = np.array([0, 60, 120, 180, 240, 300, 360, 420, 480.0])
    areas = mean_areas(
        voronoi((360, 360), 1600), times, lambda g, a, b: grow_potts(g, b - a, 0.5, True, int(1 + b) * 7919)
    )
    slope, r_squared = linear_fit(times[1:], areas[1:])
    assert areas[-1] > 4 * areas[0]
    assert r_squared > 0.99
    # In shares of what an isolated circle loses (3.8 px² a step) it is what the phase field gives, too.
    assert 0.15 < slope / 3.8 < 0.23


def test_the_same_state_gives_the_same_grains_and_another_one_others():
    grains = voronoi((60, 70), 40)
    runs = [grow_potts(grains, 30, 0.5, False, state) for state in (5, 5, 6)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


# Phase field


@pytest.mark.parametrize("radius", [18, 34])
def test_a_circle_loses_two_pi_a_unit_of_time(radius):
    n = 2 * radius + 16
    disc = (from_centre((1, n, n), (0, n / 2 - 0.3, n / 2)) < radius).astype(np.int32)
    early, late = (size_of(*grow_phase_field(disc, t, 5.0), 1) for t in (10.0, 0.3 * radius**2))
    assert (early - late) / (0.3 * radius**2 - 10) == pytest.approx(2 * np.pi, rel=0.015)


def test_a_sphere_shrinks_by_its_mean_curvature():
    ball = (from_centre((44, 44, 44), (21.4, 21.6, 21.5)) < 18).astype(np.int32)
    # V = 4/3 π R³ and dR/dt = −2/R, so R² falls by 4 a unit of time.
    early, late = ((size_of(*grow_phase_field(ball, t, 5.0), 1) * 0.75 / np.pi) ** (2 / 3) for t in (5.0, 35.0))
    assert (early - late) / 30 == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("half", [16, 24])
def test_triple_junctions_move_as_angles_of_120_degrees_let_them(half):
    # Two grains side by side against a third, in a strip: the steady boundary turns by θ = π/6 from the junction to
    # the wall, and moves at θ / half width (the 'grim reaper'). Any other angle at the junction, any other speed.
    labels = np.zeros((1, 6 * half, 2 * half), np.int32)
    labels[:, : 4 * half, :half], labels[:, : 4 * half, half:] = 1, 2
    early, late = (0.8 * half**2, 2.4 * half**2)
    lost = -np.diff([size_of(*grow_phase_field(labels, t, 5.0), 0) for t in (early, late)])[0]
    speed = -lost / (2 * half) / (late - early)
    assert speed == pytest.approx(np.pi / 6 / half, rel=0.03)


def test_straight_boundaries_stay():
    labels = np.zeros((1, 40, 60), np.int32)
    labels[..., 23:] = 1
    labels[..., 41:] = 2
    grown, depth = grow_phase_field(labels, 100.0, 5.0)
    assert (grown == labels).all()
    np.testing.assert_allclose(depth[0, :, 21:25], np.full((40, 1), 1.0) * [1.5, 0.5, 0.5, 1.5], atol=0.02)


def test_phase_field_mean_grain_area_grows_linearly_with_time():
    times = np.array([0, 40, 80, 120, 160, 200.0])
    start = voronoi((230, 230), 620)
    areas = mean_areas(start, times, lambda g, a, b: grow_phase_field(start, b, 4.0, True)[0])
    slope, r_squared = linear_fit(times[1:], areas[1:])
    assert areas[-1] > 2.5 * areas[0]
    assert r_squared > 0.99
    assert 0.15 < slope / (2 * np.pi) < 0.23


def test_a_periodic_field_has_no_edges():
    grains = voronoi((60, 50), 25)
    moved = np.roll(grains, (0, 13, 21), (0, 1, 2))
    grown = grow_phase_field(grains, 30.0, 5.0, True)[0]
    assert (np.roll(grown, (0, 13, 21), (0, 1, 2)) == grow_phase_field(moved, 30.0, 5.0, True)[0]).all()


# Sub-pixel boundaries


def radial_error(labels, depth, centre, grain, reach):
    """Deviation of the distance from that to the best circle."""
    labels, depth = np.ascontiguousarray(labels), np.ascontiguousarray(depth)
    distance = distance_to_patches(find_patches(labels, depth), labels)
    signed = np.where(labels == grain, distance, -distance)
    away = from_centre(labels.shape, centre)
    near = distance < reach
    return (signed + away)[near] - np.median((signed + away)[near])


def test_phase_field_distance_is_right_to_a_twentieth_of_a_pixel():
    # Long enough for the circle to forget that it was made of pixels.
    centre = (0, 32.2, 31.7)
    disc = (from_centre((1, 64, 64), centre) < 26).astype(np.int32)
    error = radial_error(*grow_phase_field(disc, 200.0, 5.0), centre, 1, 5)
    assert np.percentile(np.abs(error), 95) < 0.05
    assert np.abs(error).max() < 0.1


def test_boundaries_of_labels_are_smoothed_to_a_fifth_of_a_pixel():
    # What Monte Carlo goes through at the end, on a circle that only the grid has made rough.
    centre = (0, 30.2, 29.7)
    disc = (from_centre((1, 60, 60), centre) < 22).astype(np.int32)
    error = radial_error(*grow_phase_field(disc, 3.0, 5.0), centre, 1, 3)
    rough = radial_error(disc, np.full(disc.shape, 0.5, np.float32), centre, 1, 3)
    assert np.percentile(np.abs(error), 95) < 0.2
    assert np.abs(error).max() < 0.25
    assert np.percentile(np.abs(error), 95) < 0.6 * np.percentile(np.abs(rough), 95)


def test_a_coarser_grid_leaves_the_boundaries_where_they_are():
    centre = (0, 95.1, 94.3)
    shape = (1, 192, 192)
    coarse = (from_centre((1, 64, 64), [0, *((c + 0.5) / 3 - 0.5 for c in centre[1:])]) < 26).astype(np.int32)
    labels, depth = grow_phase_field(coarse, 200.0, 5.0, False, shape)
    assert labels.shape == depth.shape == shape
    error = radial_error(labels, depth, centre, 1, 6)
    assert np.percentile(np.abs(error), 95) < 0.1
    # The radius is that of the circle after 200 squared grid steps of 3 px.
    radius = np.sqrt(size_of(labels, depth, 1) / np.pi)
    assert radius == pytest.approx(3 * np.sqrt(26**2 - 2 * 200), rel=0.01)


# Whole microstructures


@pytest.mark.parametrize("method", ["potts", "phase_field"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (33, 57), (9, 12, 15), (1, 20, 24), (12, 1, 14)])
@pytest.mark.parametrize("periodic", [False, True])
def test_arrays_keep_the_contract(method, shape, periodic):
    growth = {"periodic": periodic, "time": 5.0, "rounds": 5.0}
    m = make(
        3, method=method, shape=shape, n_seeds=8, rung=5, growth=growth, second_phase=0.4, boundary_width=1.0,
        aspect_ratio=1.5, size_dispersion=0.3,
    )  # fmt: skip
    assert {a.shape for a in (m.image, m.grains, m.boundary, m.distance, m.phase, m.labels)} == {shape}
    assert [a.dtype for a in (m.image, m.grains, m.boundary, m.distance, m.phase)] == [
        np.float32, np.int32, bool, np.float32, np.uint8
    ]  # fmt: skip
    assert np.isfinite(m.image).all()
    assert 0 <= m.image.min() <= m.image.max() <= 1
    numbers = np.unique(m.grains)
    assert (numbers == np.arange(1, numbers.size + 1)).all()
    assert m.seeds.shape == (numbers.size, len(shape))
    assert not np.isnan(m.distance).any()
    assert m.distance.min() >= 0
    assert set(np.unique(m.phase)) <= {1, 2}
    for k in numbers:
        assert np.unique(m.phase[m.grains == k]).size == 1


@pytest.mark.parametrize("method", ["potts", "phase_field"])
def test_grains_get_fewer_and_are_connected_and_their_seeds_are_centroids(method):
    m = make(1, method=method)
    assert 5 < m.grains.max() < 60
    for k in range(1, m.grains.max() + 1):
        assert ndimage.label(m.grains == k)[1] == 1
        np.testing.assert_allclose(m.seeds[k - 1], ndimage.center_of_mass(m.grains == k))
    # Two pixels side by side have different grains exactly where a boundary passes between them.
    beside = m.grains[:, 1:] != m.grains[:, :-1]
    assert ((m.distance[:, 1:] + m.distance[:, :-1])[beside] <= 1 + 1e-5).all()
    pieces, _ = ndimage.label(~m.boundary)
    assert all(np.unique(m.grains[pieces == k]).size == 1 for k in range(1, pieces.max() + 1))


@pytest.mark.parametrize("method", ["potts", "phase_field"])
@pytest.mark.parametrize("shape", [(48, 60), (10, 24, 20)])
def test_a_recipe_and_a_seed_give_the_same_bytes(method, shape):
    def fingerprint(seed):
        m = make(seed, method=method, shape=shape, n_seeds=20, rung=4, growth={"time": 10.0, "rounds": 8.0})
        arrays = (m.image, m.grains, m.boundary, m.distance, m.phase, m.seeds)
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

    assert fingerprint(3) == fingerprint(3)
    assert fingerprint(3) != fingerprint(4)


def test_all_rungs_show_the_same_grains_and_differ_in_the_image():
    rungs = [make(1, rung=r) for r in range(1, 6)]
    assert len({m.grains.tobytes() for m in rungs}) == 1
    assert len({m.distance.tobytes() for m in rungs}) == 1
    assert len({m.image.tobytes() for m in rungs}) == 5


def test_a_periodic_microstructure_goes_on_across_its_edges():
    m = make(2, shape=(90, 80), n_seeds=50, growth={"periodic": True})
    joined = m.grains[0] == m.grains[-1]
    assert joined.mean() > 0.7
    # Right beside the seam the distance knows the boundaries on the other side.
    doubled = np.tile(m.grains, (2, 2))[None]
    depth = np.tile(m.distance, (2, 2))[None]
    across = distance_to_patches(find_patches(doubled, depth), doubled)[0, 45:135, 40:120]
    assert np.abs(across - np.roll(m.distance, (45, 40), (0, 1)))[m.distance < 20].max() < 0.35


def test_pieces_and_centroids_join_across_periodic_edges():
    labels = np.zeros((1, 6, 8), np.int32)
    labels[0, 2:4, :2] = labels[0, 2:4, 6:] = 5
    assert number_pieces(labels).max() == 2
    joined = number_pieces(labels, periodic=True)
    assert joined.max() == 1
    assert centroids(joined, periodic=True)[1].tolist() == [0.0, 2.5, 7.5 - 8]


def test_large_grains_take_a_coarser_grid_and_come_out_alike():
    # Half the resolution, a quarter of the work for each step, a quarter of the steps; the same coarsening.
    counts = [
        np.mean([
            make(s, shape=(240, 240), n_seeds=130, growth={"time": 250.0, "resolution": r}).grains.max()
            for s in range(2)
        ])
        for r in (10.0, 24.0)
    ]  # fmt: skip
    assert counts[0] == pytest.approx(counts[1], rel=0.15)


def test_growth_counts_towards_the_memory_that_is_needed(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 30 << 20)
    synthesize(MicrostructureRecipe(shape=(512, 512), n_seeds=100, appearance=Appearance(rung=1)))
    with pytest.raises(InputError, match="needs about"):
        make(shape=(512, 512), n_seeds=3000, method="potts")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"method": "cellular"}, "method"),
        ({"time": 0}, "time"),
        ({"rounds": -1}, "rounds"),
        ({"temperature": 3}, "temp"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings, names):
    with pytest.raises(InputError, match=names):
        Growth(**settings)


def test_a_stream_draws_growth_in_units_of_its_grains():
    assert set(GrowthRanges.model_fields) == set(Growth.model_fields)
    with pytest.raises(InputError, match="quick"):
        GrowthRanges(method="quick")
    ranges = RecipeRanges(shape=(64, 64), growth=GrowthRanges(method=("potts", "phase_field"), time=(0.1, 0.2)))
    stream = SyntheticStream(ranges, 1)
    methods = set()
    for i in range(6):
        recipe, _ = stream.recipe(i)
        methods.add(recipe.growth.method)
        # The diameter asked for and that of the rounded number of seeds differ a little.
        assert 0.05 < recipe.growth.time / recipe.grain_diameter**2 < 0.4
    assert methods == {"potts", "phase_field"}
    assert stream[0].grains.max() >= 1
