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
