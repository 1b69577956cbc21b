"""Gold cannot be reached: every public entry is tried with gold whose pixels ring a bell, and none rings it.

The bell is not the package's own lock: it is an array that notes and refuses any access, put in place of the gold image
and its labels, so that the lock itself is under test too.
"""

from __future__ import annotations

import ast
import threading
import traceback
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from painted_halves import SMALL, specimen

import napari_anneal
from napari_anneal.errors import AnnealError, GoldError
from napari_anneal.inference import load_model, rank
from napari_anneal.samples import Sample, is_locked, lock
from napari_anneal.samples.patches import prepare_slices
from napari_anneal.synthesis import MicrostructureRecipe, SyntheticStream
from napari_anneal.training import (
    FineTuneRecipe,
    cascade,
    cross_validate,
    find_rate,
    fine_tune,
    fine_tune_with_controls,
)
from napari_anneal.training.calibrating import calibrate_run
from napari_anneal.training.plan import Planner, plan_run
from napari_anneal.training.runs import order_of
from napari_anneal.validation import calibrate, evaluate, fit_classical, group_split

RECIPE = FineTuneRecipe.from_preset("scratch", epochs=1, **SMALL)
FULL = FineTuneRecipe.from_preset("full", epochs=1, **SMALL)


class Bell:
    """Looks like an array; any access to its content is noted and refused."""

    rung: ClassVar[list[str]] = []

    def __init__(self, array):
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def _ring(self, what):
        Bell.rung.append("".join(traceback.format_stack(limit=8)))
        raise RuntimeError(f"gold was read: {what}")

    def __array__(self, *args, **kwargs):
        self._ring("__array__")

    def __getitem__(self, index):
        self._ring(f"[{index}]")

    def __iter__(self):
        self._ring("iter")


@pytest.fixture
def plain():
    return [specimen(seed) for seed in range(4)]


@pytest.fixture
def plan(plain):
    return group_split(plain, folds=2, gold=["g3"], seed=0)


@pytest.fixture
def belled(plain):
    Bell.rung.clear()
    gold = plain[3]
    return [*plain[:3], Sample(Bell(gold.image), Bell(gold.labels), gold.group, None, gold.name, "YX")]


ENTRIES = {
    "fine_tune": lambda s, plan, out: fine_tune(s, plan, RECIPE, out=out),
    "fine_tune, resumed": lambda s, plan, out: _interrupted(s, plan, out),
    "cross_validate": lambda s, plan, out: cross_validate(s, plan, RECIPE, out=out),
    "plan_run": lambda s, plan, out: plan_run(s, plan, RECIPE, None),
    "plan_run, measured": lambda s, plan, out: plan_run(s, plan, RECIPE, None, measure=True),
    "find_rate": lambda s, plan, out: find_rate(s, plan, RECIPE, steps=20),
    "fine_tune_with_controls": lambda s, plan, out: fine_tune_with_controls(s, plan, FULL, _started(), out),
    "cascade": lambda s, plan, out: cascade(s, plan, RECIPE, RECIPE, _stream(), None, out),
    "order_of": lambda s, plan, out: (fine_tune(s, plan, RECIPE, out=out), order_of(out, s)),
    "calibrate": lambda s, plan, out: calibrate(load_model("voronoi"), s, plan),
    "calibrate_run": lambda s, plan, out: _calibrated(s, plan, out),
}


def _calibrated(samples, plan, out):
    noisy = [
        s
        if i in plan.gold
        else Sample(s.image, np.where(np.eye(64, k=3) > 0, 3 - s.labels, s.labels), s.group, None, s.name)
        for i, s in enumerate(samples)
    ]
    calibrate_run(fine_tune(noisy, plan, RECIPE, out=out), noisy, plan)


def _started():
    return fine_tune([specimen(5), specimen(6)], None, RECIPE).model


def _stream():
    return SyntheticStream(MicrostructureRecipe(shape=(32, 32), n_seeds=6), seed=0)


def _interrupted(samples, plan, out):
    cancel = threading.Event()
    fine_tune(samples, plan, RECIPE, out=out, on_event=lambda event: cancel.set(), cancel=cancel)
    fine_tune(samples, plan, RECIPE, out=out, resume=True)


@pytest.mark.parametrize("entry", ENTRIES)
def test_with_a_plan_nothing_reads_gold_and_the_work_is_done(entry, belled, plan, tmp_path):
    ENTRIES[entry](belled, plan, tmp_path / "run")
    assert Bell.rung == []


def test_gold_in_sight_changes_nothing_at_all(plain, belled, plan, tmp_path):
    """Not by a normaliser's limits, nor by a count: the weights are the same, byte for byte, whatever gold shows."""
    one, other = (fine_tune(s, plan, RECIPE).model.network.state_dict() for s in (plain, belled))
    assert all(np.array_equal(one[name].numpy(), other[name].numpy()) for name in one)


def test_without_a_plan_locked_gold_neither_trains_nor_judges_and_it_is_said(plain):
    closed = [*plain[:3], lock(plain[3])]
    run = fine_tune(closed, None, RECIPE)
    assert set(run.model.card.fingerprints) == {"s0", "s1", "s2"}
    assert any("gold" in notice and "s3" in notice for notice in run.notices)
    done = cross_validate(closed, None, RECIPE)
    assert {name for groups in done.groups for name in groups} == {"g0", "g1", "g2"}
    assert "s3" not in plan_run(closed, None, RECIPE, None).train
    assert Planner(closed).painted == 3
    assert group_split(closed, 3).gold == (3,)


def test_a_copy_of_locked_gold_does_not_train_either(plain):
    rng = np.random.default_rng(0)
    textured = [Sample(rng.integers(0, 255, (64, 64), dtype=np.uint8), s.labels, s.group, None, s.name) for s in plain]
    copied = Sample(np.rot90(textured[3].image).copy(), textured[3].labels, "g9", None, "turned gold")
    run = fine_tune([*textured[:3], lock(textured[3]), copied], None, RECIPE)
    assert set(run.model.card.fingerprints) == {"s0", "s1", "s2"}
    assert any("turned gold" in notice for notice in run.notices)


READERS = {
    "evaluate": lambda s: evaluate(load_model("voronoi"), [s]),
    "evaluate, controls": lambda s: evaluate(load_model("voronoi"), [specimen(8)], controls_from=[s]),
    "fit_classical": lambda s: fit_classical([s]),
    "segment": lambda s: load_model("voronoi").segment(s.image),
    "prepare_slices": lambda s: prepare_slices([s], [0]),
    "painted_slices": lambda s: list(s.painted_slices()),
    "rank": lambda s: rank(load_model("voronoi"), [s]),
    "watch": lambda s: fine_tune([specimen(0), specimen(1)], None, RECIPE, watch=s.image),
    "train on it alone": lambda s: fine_tune([s], None, RECIPE),
}


@pytest.mark.parametrize("reader", READERS)
def test_given_locked_gold_by_itself_every_reader_refuses_it(reader):
    with pytest.raises(AnnealError) as refused:
        READERS[reader](lock(specimen(7)))
    if reader not in ("train on it alone", "rank"):
        assert isinstance(refused.value, GoldError), refused.value
        assert "is gold" in str(refused.value)


def test_only_the_search_for_copies_the_locking_and_the_opening_unlock():
    """Whoever adds another place that unlocks gold has to come by here."""
    root = Path(napari_anneal.__file__).parent
    users = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if any(
            (isinstance(node, ast.Name) and node.id == "unlocked")
            or (isinstance(node, ast.Attribute) and node.attr in ("unlocked", "_behind_lock"))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert users == {"samples/gold.py", "samples/gold_folder.py", "validation/leakage/search.py", "inference/gold.py"}
    assert is_locked(lock(specimen(0)))
