"""Claims about splits: no group on both sides, nothing lost, gold untouched, too few groups explained."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from napari_anneal.errors import GoldError, InputError, OutputError
from napari_anneal.samples import Sample
from napari_anneal.validation import group_split, read_plan, write_plan
from napari_anneal.validation.splits import METHODS

FOLDED = ("group", "stratified", "leave_one_group_out")


def sample(group="", classes=(1, 2), name=""):
    labels = np.zeros((4, 4), np.uint8)
    labels.flat[: len(classes)] = classes
    return Sample(np.zeros((4, 4)), labels, group=group, name=name)


@st.composite
def sample_sets(draw):
    groups = draw(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=2, max_size=14))
    classes = [draw(st.sets(st.integers(1, 3))) for _ in groups]
    return [sample(g, sorted(c)) for g, c in zip(groups, classes, strict=True)]


@given(samples=sample_sets(), folds=st.integers(2, 5), seed=st.integers(0, 9), method=st.sampled_from(FOLDED))
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


def gaps_of(plan, samples):
    """Pairs of fold and class such that the class is painted somewhere, but not in the fold's validation part."""
    classes = [set(np.unique(s.labels)) - {0} for s in samples]
    everything = set().union(*classes)
    return sum(len(everything - set().union(*(classes[i] for i in fold.val))) for fold in plan.folds)


@given(
    present=st.lists(st.sets(st.integers(1, 3), min_size=1), min_size=3, max_size=6),
    twice=st.lists(st.booleans(), min_size=6, max_size=6),
    folds=st.integers(2, 3),
    seed=st.integers(0, 5),
)
@settings(max_examples=60)
def test_stratified_folds_lack_no_more_classes_than_the_best_of_all_assignments(present, twice, folds, seed):
    samples = [sample(f"g{i}", sorted(c)) for i, c in enumerate(present) for _ in range(1 + twice[i])]
    everything = set().union(*present)
    best = min(
        sum(
            len(everything - set().union(*(present[g] for g in range(len(present)) if where[g] == f)))
            for f in range(folds)
        )
        for where in itertools.product(range(folds), repeat=len(present))
        if len(set(where)) == folds
    )
    assert gaps_of(group_split(samples, folds, seed=seed, method="stratified", copies=()), samples) == best


def test_classes_that_scikit_learns_splitter_leaves_out_of_a_fold_are_put_there():
    rng = np.random.default_rng(0)
    theirs = 0
    for case in range(40):
        groups = np.repeat(np.arange(10), rng.integers(1, 6, 10))
        rare = (rng.random(10) < 0.6)[groups] & (rng.random(len(groups)) < 0.5)
        if len(set(groups[rare])) < 5:
            continue
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=case)
        theirs += any(not rare[val].any() for _, val in splitter.split(groups, rare, groups))
        samples = [sample(f"g{g}", (1, 2) if r else (1,)) for g, r in zip(groups, rare, strict=True)]
        assert gaps_of(group_split(samples, 5, seed=case, method="stratified", copies=()), samples) == 0
    assert theirs > 0


def test_a_class_of_fewer_groups_than_folds_is_said_to_be_impossible():
    samples = [sample(f"g{n}", (1, 2) if n < 2 else (1,)) for n in range(6)]
    report = group_split(samples, 3, method="stratified").report
    assert any("painted in 2 groups, so no split into 3 folds" in text for text in report.warnings)
    samples = [sample(f"g{n}", (1, 2) if n < 3 else (1,)) for n in range(6)]
    found = [group_split(samples, 3, seed=seed).report.warnings for seed in range(20)]
    assert any("method 'stratified'" in text for report in found for text in report)


@given(samples=sample_sets(), seed=st.integers(0, 9))
@settings(max_examples=60)
def test_a_class_of_one_group_alone_is_named_with_its_group(samples, seed):
    try:
        report = group_split(samples, 2, seed=seed, copies=()).report
    except InputError:
        return
    for k in range(1, 1 + max(int(s.labels.max()) for s in samples)):
        owners = {s.group or f"#{i}" for i, s in enumerate(samples) if (s.labels == k).any()}
        said = [text for text in report.warnings if text.startswith(f"label {k} is painted in")]
        assert len(said) == (len(owners) == 1)
        if said:
            (owner,) = owners
            name = owner if not owner.startswith("#") else samples[int(owner[1:])].name or f"image {int(owner[1:]) + 1}"
            assert f"in {name!r} only" in said[0]


@given(samples=sample_sets(), share=st.floats(0.05, 0.9), seed=st.integers(0, 9))
@settings(max_examples=60)
def test_a_hold_out_keeps_groups_whole_and_trains_on_every_class_it_can(samples, share, seed):
    key = [s.group or f"#{i}" for i, s in enumerate(samples)]
    painted = {i for i, s in enumerate(samples) if s.labels.any()}
    if len({key[i] for i in painted}) < 2:
        with pytest.raises(InputError, match="needs two"):
            group_split(samples, method="hold_out", share=share, seed=seed)
        return
    (fold,) = group_split(samples, method="hold_out", share=share, seed=seed).folds
    assert {*fold.train, *fold.val} == painted
    assert fold.train
    assert fold.val
    assert not {key[i] for i in fold.train} & {key[i] for i in fold.val}


def test_a_hold_out_takes_about_its_share_and_never_the_only_group_of_a_class():
    samples = [sample(f"g{n}", (1, 2, 3) if n == 4 else (1, 2)) for n in range(10)]
    for seed in range(10):
        (fold,) = group_split(samples, method="hold_out", share=0.3, seed=seed).folds
        assert len(fold.val) == 3
        assert 4 in fold.train


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"method": "random"}, "no method 'random'"), ({"method": "hold_out", "share": 1.0}, "between 0 and 1")],
)
def test_unknown_methods_and_shares_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        group_split([sample("a"), sample("b")], **options)


def textured(seed, group, name=""):
    image = np.random.default_rng(seed).integers(0, 255, (24, 24)).astype(np.uint8)
    labels = np.ones((24, 24), np.uint8)
    labels[:9] = 2
    return Sample(image, labels, group=group, name=name or f"{group}-{seed}")


def with_copy():
    """Five groups; an image of b is one of a, turned."""
    samples = [textured(seed, group) for seed, group in enumerate("abcde")]
    turned = Sample(np.rot90(samples[0].image).copy(), np.ones((24, 24), np.uint8), group="b", name="turned")
    return [*samples, turned]


@pytest.mark.parametrize("method", METHODS)
def test_copies_make_two_groups_one_whatever_the_user_says(method):
    samples = with_copy()
    plan = group_split(samples, 4, method=method)
    for fold in plan.folds:
        together = [{0, 1, 5} & set(side) for side in (fold.train, fold.val)]
        assert {0, 1, 5} in together
    (said,) = plan.report.merged
    assert said == "groups 'a' and 'b' count as one: 'turned' is a copy of 'a-0', turned by 90°."
    assert said in plan.report.warnings
    assert any("a + b" in groups for groups in plan.report.groups) or method == "hold_out"
    with pytest.raises(InputError, match=r"only 4 groups .* as one; the largest possible number of folds is 4"):
        group_split(samples, 5)


def test_a_copy_of_a_gold_image_goes_to_gold_with_its_group():
    plan = group_split(with_copy(), 3, gold=["b"])
    assert plan.gold == (0, 1, 5)
    assert plan.report.gold_groups == ("a + b",)


def test_copies_that_are_known_already_are_not_looked_for_again(monkeypatch):
    monkeypatch.setattr("napari_anneal.validation.splits.find_copies", None)
    assert group_split(with_copy(), 5, copies=()).report.merged == ()


def test_a_plan_reads_back_from_its_file_whatever_the_order_of_the_samples(tmp_path):
    samples = [textured(seed, group) for seed, group in enumerate("aabbcd")]
    plan = group_split(samples, 2, gold=["d"])
    path = write_plan(plan, samples, tmp_path / "plan.json")
    assert read_plan(path, samples) == plan
    other = samples[::-1]
    again = read_plan(path, other)
    assert [{other[i].name for i in f.val} for f in again.folds] == [
        {samples[i].name for i in f.val} for f in plan.folds
    ]
    with pytest.raises(OutputError, match="already exists"):
        write_plan(plan, samples, path)


def test_a_plan_that_no_longer_fits_is_refused(tmp_path):
    samples = [textured(seed, group) for seed, group in enumerate("aabbcd")]
    path = write_plan(group_split(samples, 2, gold=["d"]), samples, tmp_path / "plan.json")
    with pytest.raises(InputError, match="'d-5', which is not among"):
        read_plan(path, samples[:-1])
    moved = [replace(s, group="one") for s in samples]
    with pytest.raises(InputError, match=r"fold 1: .* trains and .* validates, but both are of one group \(one\)"):
        read_plan(path, moved)
    copied = [replace(samples[0], image=np.rot90(samples[-1].image).copy()), *samples[1:]]
    with pytest.raises(InputError, match="is gold, but both are of one group"):
        read_plan(path, copied)
    replaced = [*samples[:-1], replace(samples[-1], image=samples[0].image)]
    with pytest.raises(GoldError, match=r"'d-5' is not the image that plan\.json set aside as gold"):
        read_plan(path, replaced)
    with pytest.raises(InputError, match="two samples are called"):
        read_plan(path, [*samples, samples[0]])
    for text in ("{", "[]", '{"format": "other"}', '{"format": "napari-anneal split 1", "folds": 3, "gold": []}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match="is not a split"):
            read_plan(tmp_path / "bad.json", samples)
    (tmp_path / "bad.json").write_text('{"format": "napari-anneal split 1", "folds": [], "gold": []}')
    with pytest.raises(InputError, match="holds no folds"):
        read_plan(tmp_path / "bad.json", samples)
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path / "none.json", samples)
