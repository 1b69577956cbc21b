"""Through a stack divided slice by slice, one grain keeps one number."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.segmentation import relabel_sequential

import napari_anneal as na
from napari_anneal.errors import InputError
from napari_anneal.inference.instances import InstanceRecipe, find_instances, instances_to_file, link_slices
from napari_anneal.validation import match_objects


def shuffled(stack, seed):
    """The numbers of every slice mixed anew, as slice-wise methods give them."""
    rng = np.random.default_rng(seed)
    return np.stack([np.concatenate([[0], 1 + rng.permutation(int(plane.max()))])[plane] for plane in stack])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_numbers_mixed_up_in_every_slice_are_found_again(seed):
    # Columns that shift by a pixel from slice to slice overlap well, and end and begin only at the sides.
    plane = ndimage.label(np.kron(np.ones((3, 4), int), np.pad(np.ones((8, 9), int), ((0, 1), (0, 1)))))[0]
    stack = np.stack([np.roll(plane, z % 2, axis=1) for z in range(6)])
    linked = link_slices(shuffled(stack, seed))
    np.testing.assert_array_equal(linked, relabel_sequential(stack)[0])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), overlap=st.floats(0.5, 0.9))
def test_above_one_half_links_are_the_best_assignment(seed, overlap):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 5, (7, 8))
    second = np.where(rng.random((7, 8)) < 0.3, rng.integers(0, 5, (7, 8)), (first + 2) % 5 * (first > 0))
    linked = link_slices(np.stack([first, second]), overlap=overlap)
    matches = match_objects(first, second)
    table = np.zeros((matches.true_count, matches.predicted_count))
    table[tuple(matches.pairs.T)] = np.where(matches.iou >= overlap, matches.iou, 0)
    best = linear_sum_assignment(-table)
    shared = set(np.unique(linked[0])) & set(np.unique(linked[1])) - {0}
    assert len(shared) == (table[best] > 0).sum()
    for k in shared:
        a, b = linked[0] == k, linked[1] == k
        assert (a & b).sum() / (a | b).sum() >= overlap


def test_a_grain_that_ends_gives_its_number_to_nobody():
    stack = np.zeros((4, 6, 12), int)
    stack[:2, 1:5, 1:5] = 3
    stack[2:, 1:5, 7:11] = 3
    linked = link_slices(stack)
    assert set(np.unique(linked[:2])) == {0, 1}
    assert set(np.unique(linked[2:])) == {0, 2}


def test_of_two_that_overlap_one_the_better_goes_on():
    stack = np.zeros((2, 1, 10), int)
    stack[0, 0, :10] = 1
    stack[1, 0, :6], stack[1, 0, 6:] = 1, 2
    np.testing.assert_array_equal(link_slices(stack)[1, 0], [1] * 6 + [2] * 4)


def test_slices_divided_and_linked_are_columns_of_the_tessellation(tmp_path):
    made = na.synthesize(na.MicrostructureRecipe(shape=(96, 96), n_seeds=12), seed=3)
    boundary = np.clip(np.exp(-((made.distance / 1.5) ** 2)), 0, 1).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.05, (5, 96, 96))
    stack = np.clip(boundary + ndimage.gaussian_filter(noise, (0, 1, 1)), 0, 1).astype(np.float32)
    recipe = InstanceRecipe(slices=True)
    found = find_instances(stack, recipe, block=(2, 40, 50))
    alone = find_instances(boundary).labels
    assert found.count == alone.max() == 12
    for plane in found.labels:
        assert (plane == alone).mean() > 0.97
    assert found.table["volume_px"].sum() == stack.size
    written = instances_to_file(stack, tmp_path / "a.tif", recipe)
    np.testing.assert_array_equal(np.asarray(written.labels), found.labels)


def test_bad_stacks_are_refused_and_cancel_stops():
    with pytest.raises(InputError, match="stack of label maps"):
        link_slices(np.zeros((4, 4), int))
    with pytest.raises(InputError, match="slice 1 holds negative"):
        link_slices(np.stack([np.zeros((4, 4), int), np.full((4, 4), -2)]))
    with pytest.raises(InputError, match="overlap"):
        link_slices(np.zeros((2, 4, 4), int), overlap=0)
    with pytest.raises(InputError, match="slices are linked"):
        find_instances(np.zeros((4, 4), np.float32), InstanceRecipe(slices=True))
    stop = threading.Event()
    stop.set()
    assert link_slices(np.zeros((2, 4, 4), int), cancel=stop) is None
