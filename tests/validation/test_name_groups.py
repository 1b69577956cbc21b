"""Claims about groups from file names: what the pattern takes, what it leaves over, and patterns that are none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample
from napari_anneal.validation import grouped_by_name, groups_from_names

NAMES = ("steelA_day1_03", "steelA_day2_01", "steelB_day1_07", "blank")


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"^[^_]+", ("steelA", "steelA", "steelB", "blank")),
        (r"^(.+?)_", ("steelA", "steelA", "steelB", None)),
        (r"(steel.)_(day\d)", ("steelA-day1", "steelA-day2", "steelB-day1", None)),
        (r"(steel.)|(blank)", ("steelA", "steelA", "steelB", "blank")),
        (r"day\d|$", ("day1", "day2", "day1", None)),
    ],
)
def test_the_group_is_what_the_parentheses_take_or_the_whole_match(pattern, groups):
    assert groups_from_names(NAMES, pattern).groups == groups


def test_what_is_left_over_is_said():
    found = groups_from_names(NAMES, r"(steelA)")
    assert found.unmatched == ("steelB_day1_07", "blank")
    assert found.sentence == "1 group from 2 of 4 names; the pattern does not match 'steelB_day1_07' and 1 more."
    assert groups_from_names(NAMES, ".").sentence == "2 groups from 4 of 4 names."


@given(names=st.lists(st.text(max_size=8)), pattern=st.text(max_size=6))
def test_any_pattern_gives_one_answer_a_name_or_one_sentence(names, pattern):
    try:
        found = groups_from_names(names, pattern)
    except InputError:
        return
    assert len(found.groups) == len(names)
    assert all(group is None or group.strip() for group in found.groups)


@pytest.mark.parametrize(("pattern", "words"), [("(a", "character 1"), ("*", "nothing to repeat"), ("  ", "is empty")])
def test_a_bad_pattern_is_one_sentence(pattern, words):
    with pytest.raises(InputError, match=words):
        groups_from_names(NAMES, pattern)


def test_samples_get_their_groups_and_none_may_be_left_over():
    samples = [Sample(np.zeros((4, 4)), name=name, group="old") for name in NAMES]
    assert [s.group for s in grouped_by_name(samples, "^[^_]+")] == ["steelA", "steelA", "steelB", "blank"]
    with pytest.raises(InputError, match="does not match 'blank'; widen the pattern"):
        grouped_by_name(samples, "steel.")
