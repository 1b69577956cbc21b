"""Claims about splits: no group on both sides, nothing lost, gold untouched, too few groups explained."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample
from napari_anneal.validation import group_split

METHODS = ("group", "stratified", "leave_one_group_out")


def sample(group="", classes=(1, 2), name=""):
    labels = np.zeros((4, 4), np.uint8)
    labels.flat[: len(classes)] = classes
    return Sample(np.zeros((4, 4)), labels, group=group, name=name)


@st.composite
def sample_sets(draw):
    groups = draw(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=2, max_size=14))
    classes = [draw(st.sets(st.integers(1, 3))) for _ in groups]
    return [sample(g, sorted(c)) for g, c in zip(groups, classes, strict=True)]


@given(samples=sample_sets(), folds=st.integers(2, 5), seed=st.integers(0, 9), method=st.sampled_from(METHODS))
@settings(max_examples=200, deadline=None)
def test_no_group_is_on_both_sides_and_every_painted_sample_is_validated_once(samples, folds, seed, method):
    key = [s.group or f"#{i}" for i, s in enumerate(samples)]
    painted = {i for i, s in enumerate(samples) if s.labels.any()}
    available = len({key[i] for i in painted})
    if available < 2 or (method != "leave_one_group_out" and folds > available):
        with pytest.raises(InputError, match=rf"largest possible number of folds is {available}\.|needs two"):
            group_split(samples, folds, seed=seed, method=method)
        return
    plan = group_split(samples, folds, seed=seed, method=method)
    for fold in plan.folds:
        assert not {key[i] for i in fold.train} & {key[i] for i in fold.val}
        assert set(fold.train) | set(fold.val) == painted
        assert fold.train
        assert fold.val
    validated = sorted(i for fold in plan.folds for i in fold.val)
    assert validated == sorted(painted)
    assert len(plan.folds) == (available if method == "leave_one_group_out" else folds)
    assert plan == group_split(samples, folds, seed=seed, method=method)


def test_the_folds_are_as_balanced_as_scikit_learns():
    samples = [sample(g) for g in "aaaabbbccdeeffg"]
    ours = sorted(len(fold.val) for fold in group_split(samples, 4).folds)
    groups = [s.group for s in samples]
    theirs = sorted(len(val) for _, val in GroupKFold(4).split(groups, groups=groups))
    assert ours == theirs


def test_the_seed_decides_between_equals():
    samples = [sample(f"g{n}") for n in range(8)]
    assert len({group_split(samples, 4, seed=seed).folds for seed in range(6)}) > 1


def test_stratified_folds_spread_a_rare_class():
    samples = [sample(f"g{n}", (1, 2) if n < 3 else (1,)) for n in range(12)]
    assert group_split(samples, 3, method="stratified").report.warnings == ()


def test_gold_is_in_no_fold():
    samples = [sample(g) for g in "abcabcde"]
    plan = group_split(samples, 2, gold=["b", " d"])
    assert plan.gold == (1, 4, 6)
    for fold in plan.folds:
        assert not set(plan.gold) & {*fold.train, *fold.val}
    assert plan.report.gold_groups == ("b", "d")
    assert group_split(samples, 2, gold="b").gold == (1, 4)


def test_a_named_group_with_spaces_around_it_is_the_same_group():
    plan = group_split([sample("a"), sample(" a "), sample("b"), sample("b")], 2)
    assert sorted(fold.val for fold in plan.folds) == [(0, 1), (2, 3)]


def test_a_sample_named_like_a_group_is_still_on_its_own():
    plan = group_split([sample("x"), sample("", name="x"), sample("(x #2)")], 3)
    assert sorted(fold.val for fold in plan.folds) == [(0,), (1,), (2,)]


def test_a_class_that_only_one_group_has_is_warned_of():
    samples = [sample("a", (1, 2)), sample("b", (1, 2)), sample("c", (1, 2, 3))]
    report = group_split(samples, 3).report
    assert any("trains without class 3" in text for text in report.warnings)
    assert sum("cannot judge class 3" in text for text in report.warnings) == 2
    assert "warning: " in str(report)
    assert group_split(samples[:2], 2).report.warnings == ()


def test_the_report_counts_painted_pixels():
    samples = [sample("a", (1, 1, 2)), sample("b", (2, 2))]
    report = group_split(samples, 2).report
    assert {(train, val) for train, val in report.pixels} == {((1 + 1, 1), (0, 2)), ((0, 2), (2, 1))}


def test_unpainted_samples_are_named_and_left_out():
    samples = [sample("a"), sample("b"), Sample(np.zeros((4, 4)), name="blank"), sample("c", (), name="empty")]
    plan = group_split(samples, 2)
    assert plan.report.unpainted == ("blank", "empty")
    assert any("blank, empty" in text for text in plan.report.warnings)


def test_a_volume_is_one_group():
    labels = np.ones((5, 4, 4), np.uint8)
    volumes = [Sample(np.zeros((5, 4, 4)), labels) for _ in range(3)]
    assert sorted(fold.val for fold in group_split(volumes, 3).folds) == [(0,), (1,), (2,)]


@pytest.mark.parametrize(
    ("groups", "options", "reason"),
    [
        ("", {}, "no samples"),
        ("aaa", {}, "only one group"),
        ("aab", {"gold": ["b"]}, "only one group with painted labels outside the gold set"),
        ("ab", {"gold": ["z"]}, "gold group 'z'; the groups are a, b"),
        ("abc", {"folds": 1}, "use 2 to 3 folds"),
        ("abc", {"folds": 5}, "largest possible number of folds is 3"),
    ],
)
def test_what_cannot_be_split_is_explained(groups, options, reason):
    with pytest.raises(InputError, match=reason):
        group_split([sample(g) for g in groups], **options)
