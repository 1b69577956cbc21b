"""The order of choices against a slow, literal one; ten neighbouring slices are not all taken; specimens take turns."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anneal.inference.candidates import boxes_of
from napari_anneal.inference.choosing import choose
from napari_anneal.inference.place_features import even_scale


def choices(scores, features=None, groups=None, z=None, labelled=None, count=100, **settings):
    n = len(scores)
    return choose(
        np.asarray(scores, float),
        np.zeros((n, 0)) if features is None else np.asarray(features, float),
        ["one"] * n if groups is None else groups,
        np.full(n, np.nan) if z is None else np.asarray(z, float),
        np.zeros(n, np.int64),
        np.zeros(n, bool) if labelled is None else np.asarray(labelled),
        count,
        **{"diversity": 1.0, "balance": 0.0, "slice_distance": 4.0, **settings},
    )


def literal(scores, features, groups, z, labelled, count, diversity, balance, distance):
    """The rule as it is described, every comparison made anew for every choice."""
    known, order = [i for i, seen in enumerate(labelled) if seen], []
    before = {g: sum(groups[i] == g for i in known) for g in groups}
    while len(order) < count and len(order) < len(scores) - sum(labelled):
        best, worth_of_best = None, -math.inf
        for i in range(len(scores)):
            if i in known:
                continue
            alike = 0.0
            for j in known:
                alike = max(
                    alike, math.exp(-4 * sum((a - b) ** 2 for a, b in zip(features[i], features[j], strict=True)))
                )
                alike = max(alike, math.exp(-(((z[i] - z[j]) / distance) ** 2)))
            fewest = min(before[groups[j]] for j in range(len(scores)) if j not in known)
            worth = scores[i] * (1 - diversity * alike) / (1 + before[groups[i]] - fewest) ** balance
            if worth > worth_of_best + 1e-12:
                best, worth_of_best = i, worth
        order.append(best)
        known.append(best)
        before[groups[best]] += 1
    return order


@given(st.data())
def test_the_order_is_that_of_the_rule_taken_literally(data):
    n = data.draw(st.integers(1, 8))
    # Distinct by construction, so that rounding cannot decide between two places.
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    scores, features, z = rng.random(n), rng.random((n, 3)), rng.permutation(20)[:n].astype(float)
    groups = data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    labelled = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    diversity, balance = data.draw(st.sampled_from([0.0, 0.7, 1.0])), data.draw(st.sampled_from([0.0, 0.5]))
    found = choices(scores, features, groups, z, labelled, 5, diversity=diversity, balance=balance)
    expected = literal(scores, features, groups, z, labelled, 5, diversity, balance, 4.0)
    assert [c.index for c in found] == expected


def test_without_diversity_and_balance_the_order_is_that_of_the_scores():
    scores = np.random.default_rng(0).random(20)
    assert [c.index for c in choices(scores, diversity=0.0)] == list(np.argsort(-scores))


def test_of_ten_neighbouring_slices_one_is_taken_before_another_region_has_had_its_turn():
    z = np.concatenate([np.arange(40, 50), [5, 90]])
    scores = np.concatenate([np.full(10, 0.9), [0.5, 0.4]])
    taken = [int(z[c.index]) for c in choices(scores, z=z, count=3, slice_distance=12.0)]
    assert taken == [40, 5, 90]
    plain = [int(z[c.index]) for c in choices(scores, z=z, count=3, diversity=0.0)]
    assert plain == [40, 41, 42]


def test_slices_of_different_stacks_are_not_neighbours():
    found = choose(
        np.array([1.0, 0.9, 0.8]), np.zeros((3, 0)), ["a", "a", "b"], np.array([7.0, 7.5, 7.0]), np.array([0, 0, 1]),
        np.zeros(3, bool), 3, 1.0, 0.0, 5.0,
    )  # fmt: skip
    assert [c.index for c in found] == [0, 2, 1]


def test_a_copy_of_what_is_labelled_comes_last():
    features = np.array([[0.0, 0], [0, 0], [1, 0], [0, 1]])
    found = choices([0.0, 1.0, 0.3, 0.2], features, labelled=[True, False, False, False])
    assert [c.index for c in found] == [2, 3, 1]
    assert found[-1].likeness == pytest.approx(1)
    assert found[-1].worth == pytest.approx(0)


def test_specimens_take_turns_and_what_is_labelled_counts():
    groups = ["a"] * 3 + ["b"] * 3
    scores = [1.0, 0.99, 0.98, 0.7, 0.69, 0.68]
    assert [c.index for c in choices(scores, groups=groups, balance=1.0, count=4)] == [0, 3, 1, 4]
    found = choices(scores, groups=groups, balance=1.0, labelled=[True, False, False, False, False, False], count=2)
    assert found[0].index == 3
    assert [c.before for c in found] == [0, 1]


def test_a_single_specimen_costs_nothing():
    assert [c.worth for c in choices([0.9, 0.8, 0.7], balance=2.0)] == [0.9, 0.8, 0.7]


def test_ties_go_to_the_first_place():
    assert [c.index for c in choices([0.5] * 5)] == [0, 1, 2, 3, 4]


@given(st.integers(1, 400), st.integers(1, 400), st.integers(16, 500))
def test_boxes_cover_every_pixel_once_and_are_no_larger_than_asked(height, width, tile):
    seen = np.zeros((height, width), int)
    for y0, x0, y1, x1 in boxes_of((height, width), tile):
        assert 0 < y1 - y0 <= tile
        assert 0 < x1 - x0 <= tile
        seen[y0:y1, x0:x1] += 1
    assert (seen == 1).all()


def test_two_places_at_random_lie_one_apart_whatever_the_units():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 30)) * 10.0 ** rng.integers(-5, 5, 30)
    scaled = even_scale(np.column_stack([features, np.full(200, 3.0)]))
    assert scaled.shape == (200, 30)
    squared = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    assert squared.mean() == pytest.approx(1)
