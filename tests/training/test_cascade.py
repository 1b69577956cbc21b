"""Arrow after arrow as one call: what it gives is what the runs give by hand, and an interruption changes no byte."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import threading

import numpy as np
import pytest
from painted_halves import SMALL, specimen

from napari_anneal.errors import AnnealError, InputError, OutputError
from napari_anneal.inference import Model, load_model
from napari_anneal.models import build_network
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import MicrostructureRecipe, SyntheticStream
from napari_anneal.training import Arrow, FineTuneRecipe, cascade, fine_tune, keeper, run_arrows
from napari_anneal.training.arrows import ArrowFinished, TaskScored, cascade_arrows
from napari_anneal.training.cascade_record import CascadeRecord
from napari_anneal.training.events import EpochDone, Notice, PartStarted, Predicted, RunStarted, StepDone
from napari_anneal.training.forgetting import all_kept, score_task, task_of
from napari_anneal.training.report import write_report
from napari_anneal.training.run_lock import LOCK, locked
from napari_anneal.training.setup import STREAM_VALIDATION
from napari_anneal.validation import evaluate

GRAINS = ("grain", "boundary")


def recipe(preset="scratch", epochs=1, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | {"classes": GRAINS} | changes))


@pytest.fixture(scope="module")
def stream():
    return SyntheticStream(MicrostructureRecipe(shape=(32, 32), n_seeds=6), seed=3)


@pytest.fixture(scope="module")
def arrows(samples, plan, stream):
    return (Arrow("synthetic", stream, recipe(epochs=2)), Arrow("real", samples, recipe("full", 2), plan))


@pytest.fixture(scope="module")
def done(arrows, tmp_path_factory):
    events, out = [], tmp_path_factory.mktemp("cascade") / "a"
    result = run_arrows(arrows, None, out, events.append)
    return result, events, out


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


def comparable(out):
    """What is on disk of a cascade, but for times and their digests."""
    told = json.loads((out / "cascade.json").read_text())
    told["arrows"] = [{k: v for k, v in a.items() if k != "model"} for a in told["arrows"]]
    for arrow in told["arrows"]:
        arrow["best"].pop("seconds")
    for link in told["lineage"]:
        link.pop("created")
    return told, weights(out / "1-synthetic"), weights(out / "2-real")


def test_a_cascade_is_the_two_runs_done_by_hand(done, arrows, tmp_path):
    result, _, out = done
    first = fine_tune(arrows[0].source, None, arrows[0].recipe, None, tmp_path / "1")
    fine_tune(arrows[1].source, arrows[1].plan, arrows[1].recipe, first.model, tmp_path / "2")
    assert weights(out / "1-synthetic") == weights(tmp_path / "1")
    assert weights(out / "2-real") == weights(tmp_path / "2")
    assert result.complete
    assert [run.reason for run in result.runs] == ["complete", "complete"]


def test_the_chain_in_the_last_bundle_names_the_bundles_before(done, stream):
    result, _, out = done
    chain = json.loads((out / "2-real" / "model" / "bundle.json").read_text())["lineage"]
    assert [link["kind"] for link in chain] == ["scratch", "synthetic", "real"]
    assert chain[1]["weights"] == hashlib.sha256(weights(out / "1-synthetic")).hexdigest()
    assert chain[1]["stream"]["seed"] == 3
    assert chain[2]["train_groups"] + chain[2]["validation_groups"] != []
    assert "g3" not in json.dumps(chain)
    assert result.lineage.startswith("scratch (seed 0) → synthetic (seed 3) → real (")


def test_forgetting_is_what_evaluate_says_of_the_bundles(done, arrows, samples, plan, stream):
    result, _, out = done
    count = arrows[0].recipe.validation_patches
    held = [stream[STREAM_VALIDATION + i] for i in range(count)]
    tasks = {
        "synthetic": [Sample(made.image, made.labels) for made in held],
        "real": [samples[i] for i in plan.folds[0].val],
    }
    assert [(s.task, s.after) for s in result.scores] == [(t, a) for a in tasks for t in tasks]
    for score in result.scores:
        number = 1 if score.after == "synthetic" else 2
        report = evaluate(load_model(out / f"{number}-{score.after}" / "model"), tasks[score.task])
        np.testing.assert_allclose(score.dice, report.mean("dice"), atol=2e-3)
        assert score.images == len(tasks[score.task])
        assert score.mean() == pytest.approx(np.nanmean(score.dice))
    before, after = result.scores[0].mean(), result.scores[2].mean()
    (one,) = result.kept
    assert (one.task, one.before, one.after) == ("synthetic", before, after)
    assert one.sentence.startswith(f"Kept {after:.2f} of {before:.2f} on the synthetic task")
    assert one.sentence in result.table()


def test_the_scores_are_in_the_record_the_bundle_and_the_events(done):
    result, events, out = done
    told = json.loads((out / "cascade.json").read_text())
    metrics = load_model(out / "2-real" / "model").card.metrics
    assert told["kept"] == metrics["kept"] == [one.to_dict() for one in result.kept]
    assert told["scores"] == [s.to_dict() for s in result.scores]
    assert metrics["tasks"] == told["scores"][2:]
    assert result.model.card.metrics["kept"] == metrics["kept"]
    assert [e.score for e in events if isinstance(e, TaskScored)] == list(result.scores)
    assert any(isinstance(e, Notice) and e.text == result.kept[0].sentence for e in events)


def test_the_report_shows_every_score_and_what_was_kept(done):
    result, _, out = done
    page = (out / "report.html").read_text()
    for score in result.scores:
        assert f"<td>{score.mean():.3f}</td>" in page
    assert "after synthetic" in page
    assert result.kept[0].sentence in page.partition("<footer>")[0]
    for part in ("1-synthetic", "2-real"):
        assert 'href="../report.html"' in (out / part / "report.html").read_text()
    (out / "cascade.json").rename(out / "kept.json")
    (out / "cascade.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        write_report(out)
    (out / "kept.json").replace(out / "cascade.json")


def test_events_tell_which_arrow_runs(done):
    _, events, _ = done
    marks = [e for e in events if isinstance(e, PartStarted | RunStarted | ArrowFinished)]
    assert [type(e) for e in marks] == [PartStarted, RunStarted, ArrowFinished] * 2
    assert [(e.number, e.total, e.name) for e in marks[::3]] == [(1, 2, "synthetic"), (2, 2, "real")]
    assert [len(e.kept) for e in marks[2::3]] == [0, 1]


def test_gold_images_are_never_read(arrows, samples, plan):
    class Locked:
        shape, dtype, ndim = (64, 64), np.dtype(np.uint8), 2

        def __getitem__(self, index):
            raise AssertionError("gold was read")

        __array__ = __getitem__

    gold = Sample(Locked(), samples[3].labels, group="g3", name="s3")
    locked = Arrow("real", [*samples[:3], gold], arrows[1].recipe, plan)
    assert run_arrows([arrows[0], locked]).complete


@pytest.mark.parametrize("moment", [("synthetic", 1), ("synthetic", 4), ("real", 2), ("real", 6)])
def test_a_cancelled_cascade_goes_on_to_the_same_bytes(done, arrows, tmp_path, moment):
    cancel, at = threading.Event(), []

    def listen(event):
        if isinstance(event, PartStarted):
            at[:] = [event.name]
        if isinstance(event, StepDone) and (at[0], event.step) == moment:
            cancel.set()

    out = tmp_path / "a"
    cut = run_arrows(arrows, None, out, listen, cancel)
    last = moment == ("real", 6)  # the cancel came after the last step
    assert cut.complete == last
    assert cut.runs[-1].cancelled != last
    assert len(cut.runs) == (1 if moment[0] == "synthetic" else 2)
    assert cut.model.segment(arrows[1].source[0].image).labels.min() >= 1
    before = [p.stat().st_mtime_ns for p in (out / "1-synthetic" / "model").iterdir()]
    resumed = run_arrows(arrows, None, out, resume=True)
    assert resumed.complete
    assert comparable(out) == comparable(done[2])
    if moment[0] == "real":
        assert [p.stat().st_mtime_ns for p in (out / "1-synthetic" / "model").iterdir()] == before


def test_what_a_kill_leaves_at_any_moment_goes_on_to_the_same_bytes(done, arrows, tmp_path, monkeypatch):
    """The folder is copied after every event: what is on disk then is what a kill would leave."""
    monkeypatch.setattr(keeper, "SAVE_EVERY_S", -1e9)
    monkeypatch.setattr(keeper, "LEAST_WORK_PER_WRITE", 0.0)
    out, copies = tmp_path / "a", []
    kinds = (PartStarted, EpochDone, TaskScored, ArrowFinished)

    def listen(event):
        if isinstance(event, kinds) or (isinstance(event, StepDone) and event.step == 2):
            copies.append(tmp_path / f"copy{len(copies)}")
            shutil.copytree(out, copies[-1])
            for lock in copies[-1].rglob(LOCK):  # its process is gone
                lock.unlink()

    run_arrows(arrows, None, out, listen)
    assert comparable(out) == comparable(done[2])
    assert len(copies) == 14
    for copy in copies[::2]:
        assert run_arrows(arrows, None, copy, resume=True).complete
        assert comparable(copy) == comparable(done[2]), copy.name


def test_a_finished_arrow_is_not_run_again_and_its_scores_stay(done, arrows, tmp_path):
    out, events = tmp_path / "a", []
    shutil.copytree(done[2], out)
    result = run_arrows(arrows, None, out, events.append, resume=True)
    assert [e.done for e in events if isinstance(e, PartStarted)] == [True, True]
    assert not [e for e in events if isinstance(e, StepDone | TaskScored)]
    assert [len(e.kept) for e in events if isinstance(e, ArrowFinished)] == [0, 1]
    for name in ("1-synthetic", "2-real"):
        assert (out / name / "model" / "bundle.json").read_bytes() == (
            done[2] / name / "model" / "bundle.json"
        ).read_bytes()
    assert result.to_dict()["scores"] == done[0].to_dict()["scores"]
    assert [row["val_loss"] for row in result.runs[1].history] == [r["val_loss"] for r in done[0].runs[1].history]
    assert result.runs[1].best == done[0].runs[1].best


@pytest.mark.parametrize("change", ["recipe", "images", "start", "arrows", "nothing", "no folder", "damaged", "newer"])
def test_going_on_with_another_cascade_is_refused(done, arrows, samples, tmp_path, change):
    out = tmp_path / "a"
    shutil.copytree(done[2], out)
    record = out / "cascade.json"
    if change == "damaged":
        record.write_text(record.read_text()[:-40])
    if change == "newer":
        record.write_text(json.dumps(json.loads(record.read_text()) | {"version": 99}))
    first, second = arrows
    given, start, folder, says = {
        "recipe": ((Arrow("synthetic", first.source, recipe(epochs=3)), second), None, out, "another recipe"),
        "images": ((first, Arrow("real", samples[::-1], second.recipe)), None, out, "images or labels"),
        "start": (arrows, "voronoi", out, r"another start \(scratch, not voronoi\)"),
        "arrows": ((second,), None, out, r"another arrows|other arrows"),
        "nothing": (arrows, None, tmp_path, "no cascade in"),
        "no folder": (arrows, None, None, "without a folder"),
        "damaged": (arrows, None, out, r"cascade\.json is damaged"),
        "newer": (arrows, None, out, "newer napari-anneal"),
    }[change]
    with pytest.raises(InputError, match=says):
        run_arrows(given, start, folder, resume=True)
    assert weights(out / "2-real") == weights(done[2] / "2-real")


def test_an_arrow_that_began_from_another_model_is_not_built_on(done, arrows, tmp_path):
    out = tmp_path / "a"
    shutil.copytree(done[2], out)
    shutil.rmtree(out / "1-synthetic")
    fine_tune(arrows[0].source, None, arrows[0].recipe, done[0].model, out / "1-synthetic")
    with pytest.raises(InputError, match="2-real is finished, but with another start"):
        run_arrows(arrows, None, out, resume=True)


@pytest.mark.parametrize(
    ("names", "says"), [((), "without arrows"), (("a", "a"), "different names"), (("../a",), "cannot be called")]
)
def test_arrows_that_cannot_be_run_are_one_sentence(arrows, names, says):
    with pytest.raises(InputError, match=says):
        run_arrows([Arrow(name, arrows[0].source, arrows[0].recipe) for name in names])


def test_bad_data_of_a_later_arrow_are_found_before_the_first_step(arrows, tmp_path):
    unpainted = Sample(np.random.default_rng(0).random((64, 64)), np.zeros((64, 64), int))
    events = []
    with pytest.raises(InputError, match="no painted labels"):
        run_arrows([arrows[0], Arrow("real", [unpainted], recipe())], None, tmp_path / "a", events.append)
    assert events == []
    assert not (tmp_path / "a").exists()


def test_a_start_that_cannot_be_had_leaves_no_folder(arrows, tmp_path):
    with pytest.raises(AnnealError, match="no weights file"):
        run_arrows(arrows, tmp_path / "nothing.pth", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(OutputError, match="not empty"):
        run_arrows(arrows, None, tmp_path / "used")


def test_a_second_process_that_resumes_too_early_is_refused_and_deletes_nothing(arrows, tmp_path):
    """The first one holds the lock and has begun no run yet, as when it still looks for its start."""
    out = tmp_path / "a"
    out.mkdir()
    CascadeRecord.of(arrows, None).write(out)
    with locked(out), pytest.raises(OutputError, match="another run is writing"):
        run_arrows(arrows, None, out, resume=True)
    assert (out / "cascade.json").is_file()


def test_a_disk_that_is_full_for_the_record_costs_no_model(done, arrows, tmp_path, monkeypatch):
    def full(*given):
        raise OutputError("the disk is full")

    monkeypatch.setattr(CascadeRecord, "write", full)
    events = []
    result = run_arrows(arrows, None, tmp_path / "a", events.append)
    assert result.complete
    assert any(isinstance(e, Notice) and "disk is full" in e.text for e in events)
    assert weights(tmp_path / "a" / "2-real") == weights(done[2] / "2-real")


def test_an_image_is_watched_where_its_channels_fit(stream, tmp_path):
    grey = specimen(0)
    coloured = [Sample(np.stack([s.image] * 3, -1), s.labels, group=s.group) for s in (grey, specimen(1))]
    given = [Arrow("synthetic", stream, recipe()), Arrow("real", coloured, recipe())]
    events = []
    assert run_arrows(given, on_event=events.append, watch=coloured[0].image).complete
    kinds = [type(e) for e in events if isinstance(e, PartStarted | Predicted)]
    assert kinds == [PartStarted, PartStarted, Predicted]


def test_other_classes_are_scored_by_their_shared_names_or_said_to_be_na(arrows, samples):
    """Across microscopes: the second knows one class by the same name, the third none."""
    given = [
        Arrow("a", samples[:2], recipe(classes=("matrix", "pore"))),
        Arrow("b", samples[2:], recipe(classes=("crack", "matrix"))),
        Arrow("c", samples[2:], recipe(classes=("x", "y"))),
    ]
    result = run_arrows(given)
    found = {(s.task, s.after): s for s in result.scores}
    shared = found["a", "b"]
    assert shared.classes == ("matrix",)
    # By hand: "matrix" is label 1 of the task and label 2 of b; what b calls "crack" is no class of the task.
    held = task_of("a", samples[:2], None, given[0].recipe).samples
    dice = []
    for sample in held:
        guess, truth = result.runs[1].model.segment(sample.image).labels == 2, np.asarray(sample.labels)
        hit = (guess & (truth == 1)).sum()
        dice.append(2 * hit / ((guess & (truth > 0)).sum() + (truth == 1).sum()))
    assert shared.dice[0] == pytest.approx(np.mean(dice))
    before_and_after = {one.task: (one.before, one.after) for one in result.kept}
    assert before_and_after["b"] == (found["b", "b"].mean(), found["b", "c"].mean())
    # None is shared with the third: the features as they are now, under the head that "a" had, put together by hand.
    first, last = (result.runs[i].model for i in (0, 2))
    state = last.network.state_dict() | {
        k: v for k, v in first.network.state_dict().items() if k.startswith("segmentation_head.")
    }
    network = build_network(first.card.architecture)
    network.load_state_dict(state)
    assert found["a", "c"].old_head
    np.testing.assert_allclose(found["a", "c"].dice, evaluate(Model(network.eval(), first.card), held).mean("dice"))
    assert "with its old head put back" in {one.task: one for one in result.kept}["a"].sentence
    # What was not learned yet has no head to put back.
    assert found["c", "a"].why_not.endswith("not among those of the network then (matrix, pore)")
    assert "n/a for c after a" in result.table()
    json.dumps(result.to_dict())


def test_where_no_head_fits_it_says_why(samples):
    named = recipe(classes=("x", "y"))
    bigger = fine_tune(samples, recipe=recipe(decoder_channels=(8, 8, 16)))
    task = task_of("a", samples, None, named)
    learned = fine_tune(samples, recipe=named).model
    score = score_task(bigger.model, task, "b", learned)
    assert math.isnan(score.mean())
    assert "classes (x, y) are not among" in score.why_not
    (one,) = all_kept([score_task(learned, task, "a"), score])
    assert one.sentence == "What is kept of the a task cannot be said: the classes differ."
    assert one.to_dict()["after"] is None


def test_a_cancel_while_scoring_ends_the_cascade_and_loses_no_arrow(done, arrows, tmp_path):
    cancel, out = threading.Event(), tmp_path / "a"

    def listen(event):
        if isinstance(event, TaskScored):
            cancel.set()

    cut = run_arrows(arrows, None, out, listen, cancel)
    assert [run.reason for run in cut.runs] == ["complete"]
    assert cut.scores == ()
    assert not cut.complete
    assert run_arrows(arrows, None, out, resume=True).complete
    assert comparable(out) == comparable(done[2])


def test_from_a_model_the_synthetic_arrow_is_left_out_and_its_task_made_again(done, samples, plan, tmp_path):
    start = done[2] / "1-synthetic" / "model"
    result = cascade(samples, plan, recipe("full", 1), start=start, out=tmp_path / "a")
    assert result.names == ("real",)
    assert [(s.task, s.after) for s in result.scores[:2]] == [("1-synthetic", "1-synthetic"), ("real", "1-synthetic")]
    assert result.scores[0].dice == pytest.approx(done[0].scores[0].dice, abs=1e-3)
    assert result.kept[0].task == "1-synthetic"
    assert [link.kind for link in result.model.card.lineage] == ["scratch", "synthetic", "real"]


def test_the_arrows_of_the_default_cascade(samples, plan, stream):
    real = recipe("canonical", 6)
    synthetic, second = cascade_arrows(samples, plan, real)
    assert (synthetic.name, second.name) == ("synthetic", "real")
    assert synthetic.source.ranges.shape == (32, 32)
    assert synthetic.recipe.preset == "canonical"
    assert synthetic.recipe.classes == GRAINS
    assert (synthetic.recipe.encoder, synthetic.recipe.patch) == (real.encoder, real.patch)
    assert cascade_arrows(samples, plan, real, start=None)[0].recipe.preset == "scratch"
    assert [a.name for a in cascade_arrows(samples, plan, real, start="voronoi")] == ["real"]
    continued = cascade_arrows(samples, plan, real, stream=stream, start="voronoi", then=(Arrow("b", samples, real),))
    assert [a.name for a in continued] == ["synthetic", "real", "b"]


def test_scoring_on_the_way_changes_no_byte_and_finishing_an_arrow_begins_the_next(done, arrows, tmp_path):
    events, out = [], tmp_path / "a"
    run_arrows(arrows, None, out, events.append, score_every=1)
    assert weights(out / "2-real") == weights(done[2] / "2-real")
    on_the_way = [e.score for e in events if isinstance(e, TaskScored) and e.score.epoch is not None]
    assert [(s.task, s.after, s.epoch) for s in on_the_way] == [("synthetic", "real", 1), ("synthetic", "real", 2)]
    told = json.loads((out / "cascade.json").read_text())
    assert [s["epoch"] for s in told["during"]] == [1, 2]

    def finish(event):
        if isinstance(event, PartStarted) and event.number == 1:
            event.control.finish()

    early = run_arrows(arrows, on_event=finish)
    assert [run.reason for run in early.runs] == ["finished", "complete"]
    assert early.complete
