"""One run a fold, each judged by groups it never trained on; the figures are those of NumPy over the folds."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from painted_halves import SMALL, specimen

from napari_anneal.errors import InputError
from napari_anneal.inference import load_model
from napari_anneal.training import CrossValidation, FineTuneRecipe, RunControl, cross_validate
from napari_anneal.training.events import EpochDone
from napari_anneal.validation import ImageScores, Report, SplitPlan, evaluate, fit_controls, group_interval, group_split


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(5)]


@pytest.fixture(scope="module")
def plan(samples):
    return group_split(samples, folds=4, gold=["g4"], seed=0)


RECIPE = FineTuneRecipe.from_preset("scratch", epochs=2, **SMALL)


@pytest.fixture(scope="module")
def done(samples, plan, tmp_path_factory):
    events = []
    out = tmp_path_factory.mktemp("cross") / "x"
    result = cross_validate(samples, plan, RECIPE, out=out, on_event=lambda fold, event: events.append((fold, event)))
    return result, events, out


def test_every_fold_is_a_run_from_the_same_start_scored_on_its_own_groups(done, samples, plan):
    result, events, out = done
    assert len(result) == len(list(result)) == 4
    assert {fold for fold, event in events if isinstance(event, EpochDone)} == {1, 2, 3, 4}
    for number, (run, report, fold) in enumerate(zip(result, result.reports, plan.folds, strict=True), start=1):
        assert {image.name for image in report.images} == {samples[i].name for i in fold.val}
        trained = set(run.model.card.fingerprints)
        assert trained == {samples[i].name for i in (*fold.train, *fold.val)}
        assert "s4" not in trained
        again = evaluate(load_model(out / f"fold-{number}" / "model"), [samples[i] for i in fold.val])
        np.testing.assert_allclose(again.mean(), report.mean(), atol=0.02)


def test_mean_and_spread_are_taken_over_folds(done):
    result = done[0]
    folds = np.array([report.mean("iou") for report in result.reports])
    np.testing.assert_allclose(result.mean("iou"), folds.mean(axis=0))
    np.testing.assert_allclose(result.std("iou"), folds.std(axis=0, ddof=1))
    table = result.table()
    assert "over 4 folds" in table
    assert f"{result.mean()[0]:.3f} ± {result.std()[0]:.3f}" in table
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["mean"]["dice"] == pytest.approx(list(result.mean("dice")))
    assert [fold["groups"] for fold in plain["folds"]] == [list(g) for g in result.groups]


def test_classical_methods_fitted_on_the_training_images_stand_beside_every_fold(done, samples, plan):
    result, _, out = done
    found = result.classical_dice()
    assert set(found) == {"Otsu", "multi-Otsu", "watershed", "Sauvola", "Canny"}
    for number, fold in enumerate(plan.folds):
        fitted = fit_controls([samples[i] for i in fold.train], result.classes)
        for name, control in fitted.items():
            expected = evaluate(control, [samples[i] for i in fold.val]).mean()
            np.testing.assert_allclose(found[name][number], expected)
    best = next(iter(found))
    assert f"{best}: {found[best].mean(axis=0)[0]:.3f} ± " in result.table()
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))["classical"]
    assert told[best]["mean"] == pytest.approx(list(found[best].mean(axis=0)))
    for page in (out / "report.html", out / "fold-1" / "report.html"):
        text = page.read_text(encoding="utf-8")
        assert all(name in text for name in found)
    assert "Beside classical methods" in (out / "fold-1" / "report.html").read_text(encoding="utf-8")


def test_figures_beyond_overlap_and_pixel_accuracy_have_mean_and_spread_over_folds(done):
    result, _, out = done
    assert result.metrics == ("iou", "dice", "precision", "recall", "boundary_f1")
    told = json.loads((out / "cross-validation.json").read_text(encoding="utf-8"))
    folds = np.array([report.mean("boundary_f1") for report in result.reports])
    assert told["mean"]["boundary_f1"] == pytest.approx(list(folds.mean(axis=0)), nan_ok=True)
    assert told["tolerance"] == "2 px"
    right = [np.mean([np.trace(i.confusion) / i.confusion.sum() for i in report.images]) for report in result.reports]
    assert told["accuracy"] == pytest.approx({"mean": np.mean(right), "std": np.std(right, ddof=1)})
    assert f"Pixel accuracy {np.mean(right):.3f} ± {np.std(right, ddof=1):.3f}." in result.table()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "boundary f1" in page
    assert f"Pixel accuracy {np.mean(right):.3f}" in page


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"metrics": ["beauty"]}, "no figure called 'beauty'"),
        ({"tolerance": 0}, "tolerance"),
        ({"tolerance_um": 1.0}, "has no pixel size"),
    ],
)
def test_figures_that_cannot_be_had_are_refused_before_anything_is_trained(samples, plan, options, reason):
    def told(run, event):
        pytest.fail("a run has begun")

    with pytest.raises(InputError, match=reason):
        cross_validate(samples, plan, RECIPE, on_event=told, **options)


def test_with_several_seeds_the_spread_is_that_of_all_runs_and_the_seeds_share_is_told(samples, plan, tmp_path):
    short, heard = FineTuneRecipe.from_preset("scratch", epochs=1, **SMALL), set()
    folds = SplitPlan(plan.folds[:2], plan.gold, plan.report)
    out = tmp_path / "x"
    done = cross_validate(samples, folds, short, out=out, seeds=(3, 4), on_event=lambda run, event: heard.add(run))
    assert (done.fold_numbers, done.seeds) == ((1, 2, 1, 2), (3, 3, 4, 4))
    assert heard == {1, 2, 3, 4}
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        f"fold-{fold}-seed-{seed}" for fold in (1, 2) for seed in (3, 4)
    ]
    assert [run.model.card.recipe["seed"] for run in done] == [3, 3, 4, 4]
    dice = np.array([report.mean() for report in done.reports])
    np.testing.assert_allclose(done.mean(), dice.mean(axis=0))
    np.testing.assert_allclose(done.std(), dice.std(axis=0, ddof=1))
    within = (dice[[0, 1]] - dice[[2, 3]]) ** 2 / 2
    np.testing.assert_allclose(done.std_of_seeds(), np.sqrt(within.mean(axis=0)))
    assert done.std_of_seeds().max() > 0
    assert "2 folds, seeds 3, 4" in done.table()
    assert "the seed alone" in done.table()
    written = json.loads(json.dumps(done.to_dict(), allow_nan=False))
    assert written["seeds"] == [3, 4]
    assert [(fold["fold"], fold["seed"]) for fold in written["folds"]] == [(1, 3), (2, 3), (1, 4), (2, 4)]
    with pytest.raises(InputError, match="different seeds"):
        cross_validate(samples, folds, short, seeds=(1, 1))


def test_the_interval_resamples_specimens_each_image_once_with_its_mean_over_seeds():
    def report(dice, names):
        hits = [round(1000 * d) for d in dice]
        images = (ImageScores(n, n, np.array([[h, 1000 - h], [0, 0]])) for h, n in zip(hits, names, strict=True))
        return Report(("a", "b"), tuple(images))

    rng = np.random.default_rng(0)
    first, second = rng.uniform(0.6, 0.9, (2, 6))
    names = [f"g{i}" for i in range(6)]
    reports = tuple(report(dice[half], names[half]) for dice in (first, second) for half in (slice(3), slice(3, 6)))
    done = CrossValidation((), reports, ((),) * 4, (1, 2, 1, 2), (0, 0, 1, 1))
    low, high = done.interval("recall")[0]
    expected = group_interval((np.round(first, 3) + np.round(second, 3)) / 2, names)
    np.testing.assert_allclose([low, high], expected)
    assert np.isnan(done.interval("recall")[1]).all()


def test_controls_are_run_in_every_fold_and_compared_over_all(samples, done, tmp_path):
    plan = group_split(samples[:3], folds=2, seed=0)
    head = FineTuneRecipe.from_preset("full", epochs=1, **SMALL)
    with pytest.raises(InputError, match="a control itself"):
        cross_validate(samples[:3], plan, head, controls=True)
    result = cross_validate(samples[:3], plan, head, done[0].runs[0].model, tmp_path / "x", controls=True)
    assert len(result.compared) == len(result) == 2
    found = result.controls()
    for name in ("main", "scratch", "feature_extraction"):
        for number, one in enumerate(result.compared, start=1):
            place = tmp_path / "x" / f"fold-{number}" / ("." if name == "main" else f"controls/{name}")
            dice = load_model(place / "model").card.metrics["val_dice"].values()
            assert found[name][number - 1] == pytest.approx(np.mean(list(dice)))
            assert one.scores[name].steps == 3
    lost = found["scratch"] - found["feature_extraction"]
    doubt = 2 * lost.std(ddof=1) / np.sqrt(2)
    assert (result.finding is not None) == (lost.mean() > max(doubt, 0.01))
    assert f"scratch {found['scratch'].mean():.3f} ± {found['scratch'].std(ddof=1):.3f}" in result.table()
    assert json.loads(json.dumps(result.to_dict()))["controls"]["main"] == found["main"].tolist()
    assert done[0].controls() == {}


def test_cancelling_keeps_the_folds_that_are_done(samples, plan):
    cancel = threading.Event()

    def listen(fold, event):
        if fold == 2:
            cancel.set()

    result = cross_validate(samples, plan, RECIPE, on_event=listen, cancel=cancel)
    assert len(result) == len(result.groups) == 1
    cancel.set()
    with pytest.raises(InputError, match="before its first fold"):
        cross_validate(samples, plan, RECIPE, cancel=cancel)


def test_a_plan_without_folds_is_refused_and_no_plan_makes_one(samples, plan):
    with pytest.raises(InputError, match="no folds"):
        cross_validate(samples, SplitPlan((), plan.gold, plan.report), RECIPE)
    assert len(cross_validate(samples[:2], recipe=RECIPE)) == 2


def test_every_run_has_a_control_of_its_own(samples, plan):
    asked = []

    def control_of(number, total):
        asked.append((number, total))
        control = RunControl()
        if number == 2:
            control.finish()
        return control

    result = cross_validate(samples, plan, RECIPE, control_of=control_of)
    assert asked == [(k, 4) for k in (1, 2, 3, 4)]
    assert [run.reason == "finished" for run in result] == [False, True, False, False]
