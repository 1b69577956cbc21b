"""Boundary masks of any width, hard and antialiased, against supersampling; and the classic that gets them wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from napari_anneal.errors import InputError
from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize
from napari_anneal.synthesis.geometry.coverage import boundary_coverage, share_of_pixel


def iou(a, b):
    return np.minimum(a, b).sum() / np.maximum(a, b).sum()


@given(
    normal=st.tuples(*[st.floats(-1, 1)] * 3),
    flat=st.booleans(),
    away=st.floats(-1, 1),
)
def test_share_of_a_pixel_equals_supersampling(normal, flat, away):
    n = np.array(normal)
    if flat:
        n[0] = 0
    if np.linalg.norm(n) < 1e-3:
        n = np.array([0.0, 0.6, 0.8])
    n /= np.linalg.norm(n)
    steps = (np.arange(40) + 0.5) / 40 - 0.5
    z, y, x = np.meshgrid(steps, steps, steps, indexing="ij")
    expected = (away + n[0] * z + n[1] * y + n[2] * x > 0).mean()
    assert share_of_pixel(away, *n) == pytest.approx(expected, abs=0.03)
    assert share_of_pixel(away, *n) + share_of_pixel(-away, *n) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("width", [0.25, 1.0, 2.0, 3.7, 9.0])
@pytest.mark.parametrize("angle", [0, 17, 43, 70, 90])
def test_cover_of_a_line_equals_supersampling(width, angle):
    ny, nx = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))

    def signed(y, x):
        return (y - 15.2) * ny + (x - 14.7) * nx

    y, x = np.mgrid[:30, :30].astype(float)
    cover = boundary_coverage(np.abs(signed(y, x)).astype(np.float32), width)
    steps = (np.arange(32) + 0.5) / 32 - 0.5
    expected = np.mean([np.abs(signed(y + a, x + b)) <= width / 2 for a in steps for b in steps], axis=0)
    assert cover.dtype == np.float32
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(cover[inner], expected[inner], atol=0.05)
    assert cover[inner].sum() == pytest.approx(expected[inner].sum(), rel=0.01)


def truth(seeds, shape, finest=24):
    """Distance of every pixel to points of the boundary found by supersampling nearest seeds."""
    tree = cKDTree(seeds)
    y, x = (np.arange(-8 * finest, (n + 8) * finest) / finest for n in shape)
    owner = tree.query(np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1))[1]
    half = 0.5 / finest
    down, right = np.argwhere(owner[1:] != owner[:-1]), np.argwhere(owner[:, 1:] != owner[:, :-1])
    points = np.concatenate([down / finest - 8 + [half, 0], right / finest - 8 + [0, half]])
    return cKDTree(points)


def test_the_distance_gives_true_masks_where_half_the_difference_of_distances_does_not():
    # (F2 − F1)/2, with F1 and F2 the distances to the nearest two seeds (Worley 1996), is right only halfway between.
    shape = (120, 120)
    recipe = MicrostructureRecipe(shape=shape, n_seeds=60, boundary_width=2.0, appearance=Appearance(rung=1))
    m = synthesize(recipe, 4)
    boundary = truth(m.seeds, shape)
    pixels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    expected = boundary.query(pixels)[0] <= 1
    f = cKDTree(m.seeds).query(pixels, k=2)[0]
    classic = (f[..., 1] - f[..., 0]) / 2 <= 1
    assert iou(m.boundary, expected) > 0.99
    assert iou(classic, expected) < 0.75
    # Antialiased: the share of 8 × 8 points of each pixel that are within the line.
    steps = (np.arange(8) + 0.5) / 8 - 0.5
    share = np.mean([boundary.query(pixels + np.array([a, b]))[0] <= 1 for a in steps for b in steps], axis=0)
    # At triple points a second line covers some of what the nearest leaves free.
    assert iou(m.boundary_coverage(2.0), share) > 0.975


def test_masks_of_any_width_follow_from_one_microstructure():
    m = synthesize(MicrostructureRecipe(shape=(80, 90), n_seeds=20, appearance=Appearance(rung=1)), 1)
    assert (m.boundary_mask(m.recipe.boundary_width) == m.boundary).all()
    areas = [m.boundary_mask(w).sum() for w in (1.0, 2.0, 5.0)]
    assert areas == sorted(areas)
    for width in (1.0, 2.0, 5.0):
        assert m.boundary_coverage(width).sum() == pytest.approx(m.boundary_mask(width).sum(), rel=0.05)
    for width in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="width above 0"):
            m.boundary_mask(width)


def test_the_clean_rung_draws_the_covered_share():
    m = synthesize(MicrostructureRecipe(shape=(60, 60), n_seeds=12, appearance=Appearance(rung=1)), 2)
    cover = m.boundary_coverage(m.recipe.boundary_width)
    np.testing.assert_allclose(m.image, 0.8 - 0.7 * cover, atol=1e-6)


def test_no_boundary_covers_nothing_and_volumes_work():
    one = synthesize(MicrostructureRecipe(shape=(20, 20), n_seeds=1, appearance=Appearance(rung=1)))
    assert not one.boundary_coverage(3.0).any()
    volume = synthesize(MicrostructureRecipe(shape=(20, 24, 28), n_seeds=8, appearance=Appearance(rung=1)))
    assert volume.boundary_coverage(2.0).sum() == pytest.approx(volume.boundary_mask(2.0).sum(), rel=0.03)
