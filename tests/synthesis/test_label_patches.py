"""Boundaries of any label map, as patches: where they are, whom they part, and how they look."""

from __future__ import annotations

import numpy as np
import pytest

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize
from napari_anneal.synthesis.appearance.specimen import polished_labels
from napari_anneal.synthesis.geometry.patches import distance_to_patches, find_patches, nearest_patches

PLAIN = {
    "rung": 2, "texture": 0, "slope": 0, "grain_contrast": 0, "contrast_spread": 0, "faint_boundaries": 0,
    "groove_texture": 0, "groove_roughness": 0, "groove_width_spread": 0,
}  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 120, 140), (30, 34, 38)])
def test_patches_of_a_sphere_are_where_it_is(shape):
    centre = np.array([0 if shape[0] == 1 else 14.3, shape[1] / 2 + 0.21, shape[2] / 2 - 0.37])
    radius = 11.4 if shape[0] > 1 else 33.7
    outside = np.sqrt(((np.moveaxis(np.indices(shape), 0, -1) - centre) ** 2).sum(-1)) - radius
    labels = (outside > 0).astype(np.int32) * 4 + 3
    patches = find_patches(labels, np.abs(outside).astype(np.float32))
    assert patches.grains.tolist() == [[3, 7]]
    off = np.linalg.norm(patches.place[:, :3] - centre, axis=1) - radius
    assert np.abs(off).max() < 0.02
    # Normals point into the grain of the lower label, here the sphere.
    inward = (centre - patches.place[:, :3]) / np.linalg.norm(centre - patches.place[:, :3], axis=1, keepdims=True)
    assert ((patches.place[:, 3:] * inward).sum(1) > 0.999).all()
    error = np.abs(distance_to_patches(patches, labels) - np.abs(outside))[np.abs(outside) < 8]
    # A flat patch leaves the sphere by up to 0.75² / 2R.
    assert error.max() < 0.1
    assert error.mean() < 0.02


@pytest.mark.parametrize("shape", [(150, 170), (24, 40, 44)])
def test_patches_give_back_the_exact_distance_of_voronoi_cells(shape):
    m = synthesize(MicrostructureRecipe(shape=shape, n_seeds=30, appearance=Appearance(rung=1)), 1)
    full = (1, *shape) if len(shape) == 2 else shape
    labels, depth = m.grains.reshape(full), m.distance.reshape(full)
    # Cells go on beyond the image, patches do not: look where the nearest boundary is inside.
    inside = np.minimum.reduce([np.minimum(i, n - 1 - i) for i, n in zip(np.indices(full), full, strict=True) if n > 1])
    sure = depth < inside
    patches = find_patches(labels, depth)
    error = np.abs(distance_to_patches(patches, labels) - depth)[sure]
    assert np.median(error) < 0.02
    assert np.percentile(error, 99) < 0.2
    # The nearest boundary is always one of the pixel's own grain.
    nearest = nearest_patches(patches, labels)[..., 0]
    assert (patches.grains[patches.pair[nearest]] == labels[..., None]).any(-1).all()


def test_a_pixel_lists_different_boundaries_nearest_first():
    m = synthesize(MicrostructureRecipe(shape=(90, 100), n_seeds=40, appearance=Appearance(rung=1)), 2)
    patches = find_patches(m.grains[None], m.distance[None])
    near = nearest_patches(patches, m.grains[None], 4)
    pairs = np.where(near < 0, -1 - np.arange(4), patches.pair[near])
    assert (near[..., 0] >= 0).all()
    for a in range(4):
        for b in range(a):
            assert (pairs[..., a] != pairs[..., b]).all()
    # And brute force knows no nearer second boundary, but for a few pixels.
    y, x = np.indices((90, 100))
    gap = np.hypot(y[..., None] - patches.place[:, 1], x[..., None] - patches.place[:, 2])
    own = (patches.grains[None, None] == m.grains[..., None, None]).any(-1)
    by_pair = np.stack([gap[..., patches.pair == p].min(-1) for p in range(patches.n_pairs)], -1)
    by_pair[~own] = np.inf
    second = np.sort(by_pair, -1)[..., 1]
    found = np.take_along_axis(by_pair, np.maximum(patches.pair[near[0, ..., 1]], 0)[..., None], -1)[..., 0]
    assert (found[near[0, ..., 1] >= 0] < second[near[0, ..., 1] >= 0] + 0.8).mean() > 0.99


def test_nothing_lies_beyond_the_reach():
    labels = np.zeros((1, 20, 60), np.int32)
    labels[..., 30:] = 1
    near = nearest_patches(find_patches(labels, np.full(labels.shape, 0.5, np.float32)), labels, 1, reach=5.0)
    assert (near[0, :, 25:35, 0] >= 0).all()
    assert (near[0, :, :24, 0] < 0).all()


def test_one_grain_has_no_patches():
    patches = find_patches(np.zeros((1, 9, 9), np.int32), np.full((1, 9, 9), np.inf, np.float32))
    assert patches.n_pairs == 0
    assert (nearest_patches(patches, np.zeros((1, 9, 9), np.int32)) == -1).all()
    image = polished_labels(
        Appearance(**PLAIN), np.zeros((1, 9, 9), np.int32), np.zeros((1, 3)), patches, np.ones(1, np.uint8),
        np.random.default_rng(0),
    )  # fmt: skip
    np.testing.assert_allclose(image, 0.5, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"groove_width": 7.0}, {"relief": 0.3, "relief_direction_deg": 30.0}])
def test_a_label_map_looks_as_the_cells_it_comes_from(changes):
    look = Appearance(**{**PLAIN, **changes})
    recipe = MicrostructureRecipe(shape=(160, 160), n_seeds=25, appearance=look)
    m = synthesize(recipe, 4)
    labels = m.grains[None] - np.int32(1)
    seeds = np.column_stack([np.zeros(len(m.seeds)), m.seeds])
    image = polished_labels(
        look, labels, seeds, find_patches(labels, m.distance[None]), np.ones(len(seeds), np.uint8),
        np.random.default_rng(0),
    )[0]  # fmt: skip
    inner = np.s_[15:-15, 15:-15]
    difference = np.abs(np.clip(image, 0, 1) - m.image)[inner]
    # They differ only where three grains meet: there a groove ends in a round cap rather than at the cell's plane.
    assert np.median(difference) < 1e-3
    assert np.mean(difference > 0.03) < 0.03
