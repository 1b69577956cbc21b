"""Objects: exact volume fraction, outlines, populations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, Objects, synthesize

CLEAN = Appearance(rung=1)


def make(seed=0, shape=(160, 170), **objects):
    recipe = MicrostructureRecipe(kind="objects", shape=shape, objects=Objects(**objects), appearance=CLEAN)
    return synthesize(recipe, seed)


@settings(max_examples=25)
@given(
    fraction=st.floats(0.03, 0.45),
    exponent=st.sampled_from([2.0, 4.0, 6.5]),
    rounding=st.sampled_from([0.0, 0.1]),
    shape=st.sampled_from([(120, 130), (24, 40, 44)]),
    seed=st.integers(0, 1000),
)
def test_objects_take_the_asked_volume_fraction(fraction, exponent, rounding, shape, seed):
    m = make(seed, shape, volume_fraction=fraction, exponent=exponent, rounding=rounding, diameter=12, gap=0.5)
    assert np.mean(m.phase == 2) == pytest.approx(fraction, abs=0.01)


def test_a_disk_has_the_outline_of_a_disk():
    recipe = MicrostructureRecipe(
        kind="objects", shape=(101, 101), placement="points", points=((50.0, 50.0),), appearance=CLEAN,
        objects=Objects(volume_fraction=0.2, elongation=1, irregularity=0, rounding=0, size_dispersion=0),
    )  # fmt: skip
    m = synthesize(recipe)
    radius = np.sqrt(0.2 * 101 * 101 / np.pi)
    y, x = np.mgrid[:101, :101]
    expected = np.abs(np.hypot(y - 50, x - 50) - radius)
    near = expected < 15
    np.testing.assert_allclose(m.distance[near], expected[near], atol=0.15)


def test_cuboids_fill_the_corners_that_disks_leave():
    def squareness(exponent):
        recipe = MicrostructureRecipe(
            kind="objects", shape=(101, 101), placement="points", points=((50.0, 50.0),), appearance=CLEAN,
            objects=Objects(
                volume_fraction=0.2, elongation=1, irregularity=0, rounding=0, exponent=exponent, direction_spread_deg=0
            ),
        )  # fmt: skip
        inside = synthesize(recipe).phase == 2
        rows = np.flatnonzero(inside.any(axis=1))
        return inside.sum() / (np.ptp(rows) + 1) ** 2

    assert squareness(2.0) == pytest.approx(np.pi / 4, abs=0.02)
    assert squareness(8.0) > 0.92


@pytest.mark.parametrize("shape", [(200, 210), (40, 48, 52)])
@pytest.mark.parametrize("fraction", [0.3, 0.7])
def test_gamma_prime_takes_its_fraction_exactly(shape, fraction):
    m = make(1, shape, form="cuboids", volume_fraction=fraction, exponent=6, diameter=22, gap=1.0, irregularity=0.02)
    assert np.mean(m.phase == 2) == pytest.approx(fraction, abs=0.002)


@pytest.mark.parametrize("azimuth", [0.0, 20.0, -35.0])
def test_faces_of_gamma_prime_lie_along_the_crystal_axes_with_narrow_channels(azimuth):
    m = make(
        3, (300, 300), form="cuboids", volume_fraction=0.7, exponent=8, diameter=36, elongation=1, gap=2.0,
        irregularity=0.0, rounding=0.02, direction_deg=azimuth, size_dispersion=0.2,
    )  # fmt: skip
    signed = ndimage.gaussian_filter(np.where(m.phase == 2, -m.distance, m.distance).clip(-4, 4), 1.0)
    slope_y, slope_x = np.gradient(signed)
    on_outline = m.distance < 0.7
    angle = np.rad2deg(np.arctan2(slope_y, slope_x))[on_outline] - azimuth
    off_axis = np.abs((angle + 45) % 90 - 45)
    assert np.mean(off_axis < 12) > 0.6
    # Were the outlines round, the angles would be even and that share 12/45.
    channel = 2 * ndimage.distance_transform_edt(m.phase == 1)[m.phase == 1]
    assert channel.max() < 0.7 * 36
    pieces, count = ndimage.label(m.phase == 2)
    assert all(np.unique(m.grains[pieces == k]).size == 1 for k in range(1, count + 1))


def test_a_gap_keeps_objects_apart():
    m = make(1, volume_fraction=0.4, diameter=14, gap=3.0, rounding=0.0)
    pieces, count = ndimage.label(m.phase == 2, structure=np.ones((3, 3)))
    for k in range(1, count + 1):
        assert np.unique(m.grains[pieces == k]).size == 1


def test_fine_objects_are_finer_and_keep_out_of_the_free_zone():
    m = make(2, (256, 256), volume_fraction=0.2, diameter=40, fine_fraction=0.1, fine_diameter=5, free_zone=6.0)
    coarse_only = make(2, (256, 256), volume_fraction=0.2, diameter=40)
    coarse = coarse_only.phase == 2
    assert (m.phase[coarse] == 2).all()
    fine = (m.phase == 2) & ~coarse
    assert fine.sum() / (~coarse).sum() == pytest.approx(0.1, abs=0.02)
    # The distance from a rounded outline is right to first order only.
    assert ndimage.distance_transform_edt(~coarse)[fine].min() > 4
    sizes = np.bincount(m.grains[fine])
    assert np.median(sizes[sizes > 0]) < 60


def test_labels_are_matrix_and_object():
    m = make(3)
    assert m.classes == ("matrix", "object")
    assert (m.labels == m.phase).all()
