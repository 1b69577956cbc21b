"""What `synthesize` promises about its arrays, for every kind, dimension and rung."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, Objects, synthesize


def make(seed=0, *, rung=5, shape=(96, 112), **changes):
    appearance = {"rung": rung, **changes.pop("appearance", {})}
    return synthesize(
        MicrostructureRecipe(shape=shape, appearance=Appearance(**appearance), **{"n_seeds": 40, **changes}), seed
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**40),
    shape=st.sampled_from([(1, 1), (1, 40), (40, 1), (33, 57), (1, 20, 20), (9, 12, 15), (12, 1, 14)]),
    kind=st.sampled_from(["grains", "objects"]),
    placement=st.sampled_from(["random", "blue_noise", "clustered"]),
    rung=st.integers(1, 5),
    n_seeds=st.sampled_from([1, 2, 11, 60]),
    bent=st.booleans(),
    dispersion=st.sampled_from([0.0, 0.8]),
    fine=st.sampled_from([0.0, 0.2]),
)
def test_arrays_keep_the_contract(seed, shape, kind, placement, rung, n_seeds, bent, dispersion, fine):
    recipe = MicrostructureRecipe(
        shape=shape, kind=kind, placement=placement, n_seeds=n_seeds, boundary_width=1.0, size_dispersion=dispersion,
        smoothing=0.5 if bent else 0.0, waviness=0.3 if bent else 0.0, lloyd_rounds=n_seeds % 2, second_phase=0.3,
        objects=Objects(diameter=8, fine_fraction=fine), appearance=Appearance(rung=rung, twins=0.5, relief=0.2),
    )  # fmt: skip
    m = synthesize(recipe, seed)
    assert {a.shape for a in (m.image, m.grains, m.boundary, m.distance, m.phase, m.labels)} == {shape}
    assert [a.dtype for a in (m.image, m.grains, m.boundary, m.distance, m.phase, m.labels)] == [
        np.float32, np.int32, bool, np.float32, np.uint8, np.uint8
    ]  # fmt: skip
    assert np.isfinite(m.image).all()
    assert 0 <= m.image.min() <= m.image.max() <= 1
    numbers = np.unique(m.grains)
    if kind == "grains":
        assert (numbers == np.arange(1, numbers.size + 1)).all()
        assert m.seeds.shape == (numbers.size, len(shape))
    else:
        assert set(numbers[numbers > 1]) == set(range(2, len(m.seeds) + 2))
        assert ((m.grains > 1) == (m.phase == 2)).all()
    assert not np.isnan(m.distance).any()
    assert m.distance.min() >= 0
    assert (m.boundary == (m.distance <= 0.5)).all()
    assert set(np.unique(m.labels)) <= {1, 2}
    assert set(np.unique(m.phase)) <= {1, 2}


@pytest.mark.parametrize("kind", ["grains", "objects"])
@pytest.mark.parametrize("shape", [(48, 60), (10, 24, 20)])
def test_a_recipe_and_a_seed_give_the_same_bytes(kind, shape):
    def fingerprint(seed):
        m = make(seed, kind=kind, shape=shape, n_seeds=20, waviness=0.4, appearance={"twins": 0.4, "charging": 0.1})
        arrays = (m.image, m.grains, m.boundary, m.distance, m.phase, m.seeds)
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

    assert fingerprint(3) == fingerprint(3)
    assert fingerprint(3) != fingerprint(4)


@pytest.mark.parametrize("kind", ["grains", "objects"])
def test_all_rungs_show_the_same_grains_and_differ_in_the_image(kind):
    rungs = [make(1, rung=r, kind=kind) for r in range(1, 6)]
    assert len({m.grains.tobytes() for m in rungs}) == 1
    assert len({m.distance.tobytes() for m in rungs}) == 1
    assert len({m.image.tobytes() for m in rungs}) == 5


def test_bent_boundaries_are_where_the_distance_transform_says():
    # The transform measures to pixel centres beyond the boundary; what that costs, straight boundaries say.
    straight, bent = (
        _error_beside_the_transform(make(2, rung=1, shape=(160, 160), n_seeds=30, waviness=w, waviness_length=14.0))
        for w in (0.0, 1.5)
    )
    assert np.median(bent) == pytest.approx(np.median(straight), abs=0.1)
    assert np.percentile(np.abs(bent), 95) < np.percentile(np.abs(straight), 95) + 0.15


def _error_beside_the_transform(m):
    other = np.full(m.grains.shape, np.inf)
    for k in range(1, m.grains.max() + 1):
        mine = m.grains == k
        other[mine] = ndimage.distance_transform_edt(mine)[mine]
    inner = np.zeros(m.grains.shape, bool)
    inner[10:-10, 10:-10] = True
    near = inner & (m.distance < 5)
    return other[near] - 0.5 - m.distance[near]


@pytest.mark.parametrize("width", [1.0, 2.0, 3.0, 5.0])
def test_boundary_mask_closes_every_grain(width):
    m = make(3, rung=1, boundary_width=width + 0.5)
    pieces, _ = ndimage.label(~m.boundary)
    for k in range(1, pieces.max() + 1):
        assert np.unique(m.grains[pieces == k]).size == 1


def test_boundary_mask_has_the_asked_width():
    # One straight vertical boundary between columns: area of the mask is width × height.
    for width in (1.0, 2.0, 3.0, 7.0):
        m = synthesize(
            MicrostructureRecipe(
                shape=(50, 100), placement="points", points=((25.0, 20.25), (25.0, 60.5)), boundary_width=width
            )
        )
        assert m.boundary.sum() / 50 == pytest.approx(width, abs=0.51)
        assert (m.boundary.sum(axis=1) == m.boundary[0].sum()).all()


def test_points_make_the_grains_they_are_placed_for():
    points = ((10.0, 10.0), (10.0, 90.0), (80.0, 50.0))
    m = make(0, placement="points", points=points)
    assert m.recipe.n_seeds == 3
    assert [int(m.grains[int(y), int(x)]) for y, x in points] == [1, 2, 3]
    np.testing.assert_array_equal(m.seeds, points)


def test_aspect_ratio_elongates_grains_along_the_direction():
    m = make(5, rung=1, shape=(300, 300), n_seeds=200, placement="blue_noise", aspect_ratio=3.0, direction_deg=90.0)
    runs_y = np.mean(m.grains[1:] == m.grains[:-1])
    runs_x = np.mean(m.grains[:, 1:] == m.grains[:, :-1])
    assert (1 - runs_x) / (1 - runs_y) == pytest.approx(3, rel=0.15)


def test_size_dispersion_spreads_grain_areas():
    even, uneven = (
        np.bincount(
            make(6, rung=1, shape=(256, 256), n_seeds=150, placement="blue_noise", size_dispersion=d).grains.ravel()
        )
        for d in (0.0, 0.6)
    )
    assert uneven[1:].std() > 1.8 * even[1:].std()


def test_second_phase_takes_its_share_of_the_grains():
    m = make(7, rung=1, shape=(256, 256), n_seeds=800, second_phase=0.3, boundary_width=1.0)
    phase_of = np.array([m.phase[m.grains == k][0] for k in range(1, m.grains.max() + 1)])
    assert np.mean(phase_of == 2) == pytest.approx(0.3, abs=0.06)
