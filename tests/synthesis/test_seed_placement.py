"""Seeds: how many, where, and how evenly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import qmc

from napari_anneal.synthesis.geometry.seeds import blue_noise, clustered, hard_core, relax, uniform


def nearest(seeds, shape=None):
    box = None if shape is None else np.array(shape)
    return cKDTree((seeds + 0.5) % box if shape else seeds, boxsize=box).query(
        (seeds + 0.5) % box if shape else seeds, k=2
    )[0][:, 1]


@settings(max_examples=30)
@given(
    count=st.integers(1, 300),
    shape=st.sampled_from([(50, 70), (1, 90), (20, 15, 25), (1, 30, 30)]),
    place=st.sampled_from(["uniform", "blue", "thomas"]),
    seed=st.integers(0, 2**32),
)
def test_exactly_as_many_seeds_as_asked_all_inside(count, shape, place, seed):
    rng = np.random.default_rng(seed)
    seeds = {
        "uniform": lambda: uniform(shape, count, rng),
        "blue": lambda: blue_noise(shape, count, rng),
        "thomas": lambda: clustered(shape, count, 8.0, 0.6, rng),
    }[place]()
    assert seeds.shape == (count, len(shape))
    assert (seeds >= -0.5).all()
    assert (seeds <= np.array(shape) - 0.5).all()


@pytest.mark.parametrize("shape", [(200, 300), (40, 50, 60)])
def test_blue_noise_keeps_seeds_as_far_apart_as_scipy_poisson_disk(shape):
    count, ndim = 400, len(shape)
    ours = nearest(blue_noise(shape, count, np.random.default_rng(0)), shape).min()
    # The radius at which SciPy's sampler fills the unit cube with about as many points.
    radius = (0.7 / count) ** (1 / ndim)
    theirs = qmc.PoissonDisk(ndim, radius=radius, rng=np.random.default_rng(1)).fill_space()
    scaled = ours / np.prod(shape) ** (1 / ndim)
    expected = nearest(theirs).min() * (len(theirs) / count) ** (1 / ndim)
    # SciPy fills up to the last gap; ours stops at the number asked for.
    assert scaled > 0.8 * expected
    assert ours > 5 * nearest(uniform(shape, count, np.random.default_rng(2)), shape).min()


def test_hard_core_seeds_keep_their_distance_and_are_otherwise_random():
    seeds = hard_core((200, 200), 150, 8.0, np.random.default_rng(0))
    assert nearest(seeds, (200, 200)).min() >= 8.0
    assert nearest(seeds, (200, 200)).max() > 14


def test_clusters_are_closer_than_chance():
    shape = (300, 300)
    by_chance = nearest(uniform(shape, 500, np.random.default_rng(0))).mean()
    assert nearest(clustered(shape, 500, 10.0, 0.4, np.random.default_rng(1))).mean() < 0.75 * by_chance


def test_lloyd_rounds_even_out_the_cells():
    from napari_anneal.synthesis.geometry.cells import find_cells
    from napari_anneal.synthesis.geometry.tessellation import tessellate

    shape, seeds = (200, 200), uniform((200, 200), 150, np.random.default_rng(0))

    def spread(rounds):
        labels, _ = tessellate(find_cells(relax(seeds, shape, rounds)), shape, with_distance=False)
        return np.bincount(labels.ravel(), minlength=150).std()

    assert spread(0) > 1.5 * spread(2) > 1.5 * spread(20)
