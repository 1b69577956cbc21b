"""Four smallest specimens and their split, for tests of several runs in a row; a test module may have its own."""

from __future__ import annotations

import pytest
from painted_halves import specimen

from napari_anneal.validation import group_split


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def plan(samples):
    return group_split(samples, folds=3, gold=["g3"], seed=0)
