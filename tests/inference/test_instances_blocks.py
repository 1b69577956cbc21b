"""Instances do not depend on blocks, and are what a plain search through all edges of the whole volume gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import local_minima, reconstruction
from skimage.segmentation import watershed

from napari_anneal.inference.instances import InstanceRecipe, find_instances
from napari_anneal.inference.instances.basins import basins_of_block
from napari_anneal.inference.instances.landscape import Landscape
from napari_anneal.inference.instances.neighbours import forward_steps

SHAPES = st.one_of(
    st.tuples(st.integers(1, 23), st.integers(1, 23)),
    st.tuples(st.integers(1, 9), st.integers(1, 11), st.integers(1, 11)),
)
QUICK = settings(max_examples=40, deadline=None)


def smooth_noise(shape, seed, sigma=1.0):
    """Probabilities 0 … 1 with hills and hollows, some of them flat on top."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    span = np.ptp(noise)
    spread = (noise - noise.min()) / (span if span else 1.0)
    return np.clip(1.4 * spread - 0.2, 0, 1).astype(np.float32)


def heights_of(probability, recipe):
    """Heights and flooded pixels of the whole volume, (Z, Y, X)."""
    full = probability.reshape((1,) * (3 - probability.ndim) + probability.shape)
    return Landscape.of(recipe, full.shape, (1.0, 1.0, 1.0)).heights(full, None)


def plain_instances(probability, recipe, seeds=None):
    """Kruskal's algorithm over every edge of the volume, in Python, without blocks, basins or shortcuts."""
    heights, flooded = heights_of(probability, recipe)
    depth = Landscape.of(recipe, heights.shape, (1.0, 1.0, 1.0)).depth
    h, wet = heights.ravel().astype(int), flooded.ravel()
    index = np.arange(h.size).reshape(heights.shape)
    steps = forward_steps(heights.shape, recipe.connectivity)
    edges = []
    for k, step in enumerate(steps):
        for place in np.ndindex(*heights.shape):
            other = tuple(np.add(place, step))
            if all(0 <= c < n for c, n in zip(other, heights.shape, strict=True)):
                p, q = index[place], index[other]
                if wet[p] and wet[q]:
                    edges.append((max(h[p], h[q]), min(h[p], h[q]), p * len(steps) + k, p, q))
    parent = list(range(h.size))

    def find(k):
        while parent[k] != k:
            k = parent[k]
        return k

    floor, size = list(h), [1] * h.size
    mark = [0] * h.size if seeds is None else list(seeds.ravel())
    refused, tree = [], list(range(h.size))

    def find_tree(k):
        while tree[k] != k:
            k = tree[k]
        return k

    def join(p, q):
        low, high = min(p, q), max(p, q)
        parent[high] = low
        floor[low] = min(floor[p], floor[q])
        size[low] = size[p] + size[q]
        mark[low] = max(mark[p], mark[q])

    for w, _, _, a, b in sorted(edges):
        s, t = find_tree(a), find_tree(b)
        if s == t:
            continue
        tree[max(s, t)] = min(s, t)
        p, q = find(a), find(b)
        shallow = (mark[p] == 0 or mark[q] == 0) if seeds is not None else w - max(floor[p], floor[q]) < depth
        if shallow:
            join(p, q)
        else:
            refused.append((a, b))
    if recipe.kind == "boundaries" and seeds is None:
        for a, b in refused:
            p, q = find(a), find(b)
            if min(size[p], size[q]) < recipe.min_size:
                join(p, q)
    out, number = np.zeros(h.size, int), {}
    for p in range(h.size):
        r = find(p)
        if not wet[p]:
            continue
        if seeds is not None:
            out[p] = mark[r]
        elif recipe.kind == "boundaries" or size[r] >= recipe.min_size:
            out[p] = number.setdefault(r, len(number) + 1)
    return out.reshape(probability.shape)


RECIPES = st.builds(
    InstanceRecipe,
    kind=st.sampled_from(["boundaries", "objects"]),
    landscape=st.sampled_from(["distance", "probability", "both"]),
    depth=st.sampled_from([0.1, 0.4, 1.5]),
    reach=st.sampled_from([1.0, 2.5, 4.0]),
    min_size=st.integers(1, 12),
)


@QUICK
@given(shape=SHAPES, seed=st.integers(0, 10**6), recipe=RECIPES, block=st.integers(1, 12), data=st.data())
def test_any_blocks_give_what_all_edges_of_the_whole_give(shape, seed, recipe, block, data):
    recipe = recipe.model_copy(update={"connectivity": data.draw(st.integers(1, len(shape)))})
    seeds = None
    if data.draw(st.booleans()):
        rng = np.random.default_rng(seed)
        seeds = np.where(rng.random(shape) < 0.05, rng.integers(1, 9, shape), 0)
    probability = smooth_noise(shape, seed)
    found = find_instances(probability, recipe, seeds=seeds, block=block, workers=1)
    np.testing.assert_array_equal(found.labels, plain_instances(probability, recipe, seeds))


@QUICK
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 10**6),
    recipe=RECIPES,
    block=st.tuples(st.integers(4, 17), st.integers(4, 17), st.integers(4, 17)),
    lines=st.booleans(),
)
def test_blocks_and_workers_change_no_bit_of_larger_volumes(shape, seed, recipe, block, lines):
    recipe = recipe.model_copy(update={"lines": lines and recipe.kind == "boundaries"})
    probability = smooth_noise(shape, seed)
    whole = find_instances(probability, recipe, block=1000)
    parts = find_instances(probability, recipe, block=block, workers=3)
    assert whole.labels.tobytes() == parts.labels.tobytes()
    assert whole.table.to_csv() == parts.table.to_csv()


@QUICK
@given(
    shape=SHAPES,
    seed=st.integers(0, 10**6),
    block=st.integers(1, 12),
    share=st.floats(0.1, 0.9),
    least=st.integers(1, 5),
    data=st.data(),
)
def test_components_equal_scipy_for_any_blocks(shape, seed, block, share, least, data):
    connectivity = data.draw(st.integers(1, len(shape)))
    mask = np.random.default_rng(seed).random(shape) < share
    recipe = InstanceRecipe(kind="objects", split=False, connectivity=connectivity, min_size=least)
    found = find_instances(mask, recipe, block=block, workers=2)
    expected, _ = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, connectivity))
    sizes = np.bincount(expected.ravel())
    numbers = np.zeros(len(sizes), int)
    kept = [k for k in range(1, len(sizes)) if sizes[k] >= least]
    numbers[kept] = np.arange(1, len(kept) + 1)
    np.testing.assert_array_equal(found.labels, numbers[expected])


def framed_heights(heights):
    flooded = np.pad(np.ones(heights.shape, bool), 1)
    return np.pad(heights, 1), flooded


def basins(heights, depth):
    block = basins_of_block(
        *framed_heights(heights), None, forward_steps(heights.shape, 1), (0, 0, 0), heights.shape, depth
    )
    return block.labels


@QUICK
@given(shape=st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12)), seed=st.integers(0, 10**6))
def test_with_all_hollows_as_seeds_it_is_the_watershed_of_scikit_image(shape, seed):
    heights = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape).astype(np.uint16)
    cross = ndimage.generate_binary_structure(3, 1)
    hollows = heights == ndimage.minimum_filter(heights, footprint=cross, mode="nearest")
    expected = watershed(heights.astype(np.int32), ndimage.label(hollows, cross)[0], connectivity=1)
    ours = basins(heights, 1)
    pairs = np.unique(np.column_stack([ours.ravel(), expected.ravel()]), axis=0)
    assert len(pairs) == ours.max() == expected.max()


@QUICK
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 14), st.integers(2, 14)),
    seed=st.integers(0, 10**6),
    depth=st.integers(1, 12),
)
def test_there_are_as_many_basins_as_hollows_of_that_depth(shape, seed, depth):
    heights = np.random.default_rng(seed).integers(0, 20, shape).astype(np.uint16)
    if np.ptp(heights) < depth:
        return
    cross = ndimage.generate_binary_structure(3, 1)
    # Filled to less than the depth, only hollows of that depth are hollows still.
    filled = reconstruction(heights + (depth - 1.0), heights.astype(float), method="erosion", footprint=cross)
    _, count = ndimage.label(local_minima(filled, footprint=cross), cross)
    assert basins(heights, depth).max() == count


@pytest.mark.parametrize("steps", [(1.0, 1.0, 1.0), (2.5, 1.0, 1.0), (1.0, 0.5, 0.7)])
@pytest.mark.parametrize("kind", ["boundaries", "objects"])
def test_heights_are_distances_up_to_the_reach(kind, steps):
    marked = np.random.default_rng(3).random((9, 23, 31)) < (0.02 if kind == "boundaries" else 0.95)
    recipe = InstanceRecipe(kind=kind, landscape="distance", reach=5)
    scape = Landscape.of(recipe, marked.shape, steps)
    heights, flooded = scape.heights(marked, None)
    ground = marked if kind == "boundaries" else ~marked
    distance = ndimage.distance_transform_edt(~ground, sampling=np.array(steps) / min(steps))
    expected = scape.top - 4 * np.log1p(np.minimum(distance, 5) / 4)
    where = ~ground & flooded
    np.testing.assert_allclose(heights[where] / scape.units, expected[where], atol=0.03)
    exact = set(steps) == {1.0}
    assert np.abs(heights[where] / scape.units - expected[where]).max() < (1e-4 if exact else 0.03)
