"""A run from painted samples to a model: what it learns from, what it never sees, and that nothing is lost."""

import csv
import errno
import json
import threading

import numpy as np
import pytest
import torch

from napari_anneal.errors import AnnealError, InputError, OutputError
from napari_anneal.inference import load_model
from napari_anneal.models import bundle
from napari_anneal.samples.sample import Sample
from napari_anneal.training import FineTuneRecipe, fine_tune, loop, step
from napari_anneal.training.events import EpochDone, Notice, RunFinished, RunStarted, StageStarted, StepDone
from napari_anneal.training.losses import class_weights
from napari_anneal.training.plan import plan_run
from napari_anneal.training.setup import prepare_run
from napari_anneal.validation import evaluate, group_split

SMALL = {
    "encoder": "resnet10t",
    "encoder_depth": 3,
    "decoder_channels": (16, 16, 16),
    "patch": 64,
    "batch_size": 4,
    "steps_per_epoch": 2,
    "device": "cpu",
}


def specimen(seed, size=96, name="", group=""):
    """Bright discs on a noisy ground; a stroke across the ground and a dab in every disc: labels mostly unpainted."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    inside = np.zeros((size, size), dtype=bool)
    for cy, cx in rng.integers(12, size - 12, (6, 2)):
        inside |= (y - cy) ** 2 + (x - cx) ** 2 < 64
    image = (60 + 90 * inside + rng.normal(0, 12, inside.shape)).clip(0, 255).astype(np.uint8)
    truth = np.where(inside, 2, 1)
    paint = np.where(rng.random(inside.shape) < 0.15, truth, 0).astype(np.uint8)
    return Sample(image, paint, group=group or f"g{seed}", name=name or f"s{seed}"), truth


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed)[0] for seed in range(5)]


def recipe(preset="canonical", epochs=3, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


@pytest.fixture(scope="module")
def finished(samples, tmp_path_factory):
    events = []
    out = tmp_path_factory.mktemp("runs") / "a"
    run = fine_tune(samples, None, recipe(), None, out, on_event=events.append)
    return run, events, out


def test_the_network_learns_what_was_painted(samples):
    image, truth = specimen(99)
    run = fine_tune(samples, recipe=recipe("scratch", epochs=8, steps_per_epoch=8))
    report = evaluate(run.model, [Sample(image.image, truth, name="unseen")])
    assert report.mean("dice").min() > 0.8


def test_events_tell_the_whole_run_in_order(finished):
    run, events, _ = finished
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert [e.name for e in events if isinstance(e, StageStarted)] == ["head", "all layers", "SGD"]
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == list(range(1, events[0].total_steps + 1))
    assert steps[-1].seconds_left == 0
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert [e.epoch for e in epochs] == [1, 2, 3]
    assert run.reason == "complete"


def test_the_best_of_all_stages_is_kept(finished):
    run, events, _ = finished
    losses = {e.epoch: e.val_loss for e in events if isinstance(e, EpochDone)}
    assert run.best["epoch"] == min(losses, key=losses.get)
    assert run.best["val_loss"] == min(losses.values())
    assert run.model.card.metrics["val_loss"] == min(losses.values())


def test_the_kept_weights_have_the_best_loss_when_validated_again(finished, samples):
    run, _, _ = finished
    made = recipe()
    prepared = prepare_run(samples, None, made)
    weights = loop.PaintedLoss(made.cross_entropy, made.dice, class_weights(prepared.painted))
    loss, _ = loop.validate(run.model.network, prepared.data.validation, made, weights, torch.device("cpu"))
    assert loss == pytest.approx(run.best["val_loss"], abs=2e-2)


def test_the_folder_holds_model_history_and_recipe(finished):
    run, _, out = finished
    loaded = load_model(out / "model")
    assert loaded.classes == run.model.classes
    with (out / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["val_loss"]) for r in rows] == [r["val_loss"] for r in run.history]
    again = FineTuneRecipe(**json.loads((out / "recipe.json").read_text()))
    assert again == recipe()
    assert set(loaded.card.fingerprints) == {f"s{i}" for i in range(5)}


def test_the_same_seed_gives_the_same_model_bit_for_bit(samples):
    made = [fine_tune(samples, recipe=recipe(epochs=3, seed=s)).model.network.state_dict() for s in (4, 4, 5)]
    assert all(torch.equal(made[0][k], made[1][k]) for k in made[0])
    assert any(not torch.equal(made[0][k], made[2][k]) for k in made[0])


def test_dropout_falls_by_the_seed_of_the_recipe_and_leaves_torchs_random_state_alone(samples):
    settings = {"decoder": "fpn", "encoder_depth": 5, "decoder_channels": (), "epochs": 1}
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = fine_tune(samples, recipe=recipe("scratch", **settings)).model.network
    assert any(isinstance(m, torch.nn.Dropout2d) and m.p > 0 for m in first.modules())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    second = fine_tune(samples, recipe=recipe("scratch", **settings)).model.network
    assert all(torch.equal(first.state_dict()[k], v) for k, v in second.state_dict().items())


def test_a_used_folder_is_refused_and_left_alone(finished, samples):
    _, _, out = finished
    before = sorted(p.name for p in out.iterdir())
    with pytest.raises(OutputError, match="already exists"):
        fine_tune(samples, recipe=recipe(), out=out)
    assert sorted(p.name for p in out.iterdir()) == before


@pytest.mark.parametrize("after", [0, 1, 3, 4])
def test_cancelled_at_any_moment_a_usable_model_remains(samples, tmp_path, after):
    cancel, steps = threading.Event(), []

    def listen(event):
        if isinstance(event, StepDone):
            steps.append(event)
            if len(steps) == after:
                cancel.set()

    if after == 0:
        cancel.set()
    run = fine_tune(samples, recipe=recipe(), out=tmp_path / "run", on_event=listen, cancel=cancel)
    assert run.cancelled
    assert len(steps) == after
    assert load_model(tmp_path / "run" / "model").segment(samples[0].image).labels.min() >= 1


def test_a_failure_in_the_middle_keeps_the_best_weights_on_disk(samples, tmp_path, monkeypatch):
    def listen(event):
        if isinstance(event, EpochDone) and event.epoch == 2:
            raise RuntimeError("CUDA error: device-side assert")

    monkeypatch.setattr("napari_anneal.training.keeper.SAVE_EVERY_S", 1e9)
    with pytest.raises(RuntimeError, match="device-side"):
        fine_tune(samples, recipe=recipe(), out=tmp_path / "run", on_event=listen)
    assert load_model(tmp_path / "run" / "model").card.metrics["epoch"] in (1, 2)


def test_too_little_memory_halves_what_passes_at_once_and_says_so(samples, monkeypatch):
    real, sizes = step.backward, []

    def small(forward, network, loss_of, images, labels, micro_batch, *rest):
        sizes.append(micro_batch)
        if micro_batch > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(forward, network, loss_of, images, labels, micro_batch, *rest)

    monkeypatch.setattr(step, "backward", small)
    run = fine_tune(samples, recipe=recipe("scratch", epochs=2))
    assert sizes == [4, 2, 1, 1, 1, 1]
    assert sum("computed at a time" in text for text in run.notices) == 1
    assert run.reason == "complete"


def test_out_of_memory_with_a_single_patch_says_what_to_do(samples, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step, "backward", full)
    with pytest.raises(AnnealError, match="even with one patch of 64 px"):
        fine_tune(samples, recipe=recipe())


def test_a_full_disk_keeps_the_model_in_memory_and_says_so(samples, tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bundle.os, "fsync", full)
    run = fine_tune(samples, recipe=recipe(), out=tmp_path / "run")
    assert run.out is None
    assert "disk is full" in run.notices[-1]
    monkeypatch.undo()
    run.model.save(tmp_path / "elsewhere")
    assert load_model(tmp_path / "elsewhere").classes == run.model.classes


def test_a_diverging_run_never_calls_nan_its_best(samples, monkeypatch):
    calls = []
    real = loop.PaintedLoss.forward

    def poisoned(self, logits, labels):
        calls.append(1)
        return real(self, logits, labels) * (float("nan") if torch.is_grad_enabled() and len(calls) > 6 else 1.0)

    monkeypatch.setattr(loop.PaintedLoss, "forward", poisoned)
    run = fine_tune(samples, recipe=recipe("scratch", epochs=6))
    assert run.reason == "diverged"
    assert np.isfinite(run.best["val_loss"])
    assert all(torch.isfinite(v).all() for v in run.model.network.state_dict().values())


def test_early_stopping_ends_the_stage_and_goes_on_from_the_best(samples, monkeypatch):
    losses = iter([1.0, 2.0, 3.0, 0.5, 4.0])
    monkeypatch.setattr(loop, "validate", lambda *args: (next(losses), (0.5, 0.5)))
    stages = tuple(s.model_copy(update={"epochs": e}) for s, e in zip(recipe().stages[1:], (5, 2), strict=True))
    run = fine_tune(samples, recipe=recipe(stages=stages, patience=2))
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4, 5]
    assert [row["stage"] for row in run.history] == ["all layers"] * 3 + ["SGD"] * 2
    assert run.best["epoch"] == 4
    assert run.reason == "stopped early"


# Who learns and who judges


def test_gold_and_validation_images_never_reach_training(samples):
    plan = group_split(samples, folds=4, gold=("g2",))
    prepared = prepare_run(samples, plan, recipe())
    train, validation = set(prepared.train), set(prepared.validation)
    assert prepared.data.source.slices
    assert {s.sample for s in prepared.data.source.slices} == train
    assert {t.sample for t in prepared.data.validation} == validation
    assert not train & validation
    assert 2 not in train | validation


def test_without_a_split_whole_groups_are_held_out(samples):
    twins = [*samples, specimen(50, group="g0")[0]]
    prepared = prepare_run(twins, None, recipe())
    groups = [{twins[i].group for i in part} for part in (prepared.train, prepared.validation)]
    assert groups[0] | groups[1] == {f"g{i}" for i in range(5)}
    assert not groups[0] & groups[1]


def test_one_specimen_is_judged_by_paint_held_out_and_the_user_is_told(samples):
    prepared = prepare_run(samples[:1], None, recipe())
    trained = prepared.data.source.slices[0].labels
    judged = sum(int((t.labels > 0).sum()) for t in prepared.data.validation)
    painted = int((samples[0].labels > 0).sum())
    assert int((trained > 0).sum()) + judged == painted
    assert 0.1 < judged / painted < 0.4
    assert any("flatters" in text for text in prepared.notices)


def test_a_volume_painted_on_two_slices_trains_on_those_two():
    volume = np.random.default_rng(0).integers(0, 255, (20, 70, 70), dtype=np.uint8)
    labels = np.zeros(volume.shape, dtype=np.uint8)
    labels[3, :30, :30], labels[3, 40:, 40:], labels[11, :20], labels[11, 50:] = 1, 2, 1, 2
    prepared = prepare_run([Sample(volume, labels)], None, recipe())
    assert {s.z for s in prepared.data.source.slices} == {3, 11}


def test_patches_are_smaller_than_the_image_so_that_paint_lies_near_their_edges():
    labels = np.zeros((128, 140), np.uint8)
    labels[60:66, 40:60], labels[60:66, 80:100] = 1, 2
    sample = Sample(np.random.default_rng(0).random(labels.shape).astype(np.float32), labels)
    prepared = prepare_run([sample], None, recipe(patch=256))
    assert prepared.data.source.patch == 96
    assert any("96 px" in text for text in prepared.notices)
    large = Sample(np.random.default_rng(0).random((400, 400)).astype(np.float32), np.pad(labels, ((0, 272), (0, 260))))
    assert prepare_run([large], None, recipe(patch=256)).data.source.patch == 256


def test_validation_is_never_augmented(samples, monkeypatch):
    seen = []
    real = loop.validate
    monkeypatch.setattr(
        loop, "validate", lambda n, tiles, *rest: seen.append([t.image.copy() for t in tiles]) or real(n, tiles, *rest)
    )
    fine_tune(samples, recipe=recipe())
    unit = [s.image for s in prepare_run(samples, None, recipe()).data.validation]
    for tiles in seen:
        assert all(np.array_equal(a, b) for a, b in zip(tiles, unit, strict=True))


# Bad input


def with_labels(labels, image=None):
    image = np.random.default_rng(0).integers(0, 255, (80, 80), dtype=np.uint8) if image is None else image
    return Sample(image, labels, name="a")


def quarters(*values):
    labels = np.zeros((80, 80), dtype=np.uint8)
    for n, value in enumerate(values):
        labels[20 * n : 20 * n + 20] = value
    return labels


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ([], "no samples"),
        ([Sample(np.zeros((9, 9), np.uint8))], "none of the samples has labels"),
        ([with_labels(quarters())], "no painted labels"),
        ([with_labels(quarters(2))], r"only one class \(class 2\)"),
        ([with_labels(quarters(1, 3))], r"label 2 \(class 2\) is painted nowhere"),
        ([with_labels(quarters(1, 2), np.full((80, 80), 9, np.uint8))], "constant"),
        ([with_labels(quarters(1, 2), np.full((80, 80), np.nan, np.float32))], "NaN"),
        (
            [with_labels(quarters(1, 2)), with_labels(quarters(1, 2), np.zeros((80, 80, 3), np.uint8))],
            "grey and .* is colour",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_no_folder_is_left(samples, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence) as caught:
        fine_tune(samples, recipe=recipe(), out=tmp_path / "run")
    assert str(caught.value).count(". ") == 0
    assert not (tmp_path / "run").exists()


def test_more_labels_than_names_is_a_sentence():
    with pytest.raises(InputError, match="label 3 is painted but only 2 class names"):
        fine_tune([with_labels(quarters(1, 2, 3))], recipe=recipe(classes=("a", "b")))


@pytest.mark.parametrize(
    ("start", "sentence"), [("nothing.pth", "no weights file"), ("no-such-model", "no-such-model")]
)
def test_a_start_that_is_not_there_is_a_sentence(samples, start, sentence):
    with pytest.raises(AnnealError, match=sentence):
        fine_tune(samples, recipe=recipe(), start=start)


def test_an_image_smaller_than_a_patch_trains():
    small = with_labels(quarters(1, 2)[:40, :33], np.random.default_rng(0).random((40, 33)).astype(np.float32))
    assert fine_tune([small], recipe=recipe()).reason == "complete"


@pytest.mark.parametrize("change", [{"patch": 50}, {"batch_size": 0}, {"colour": 1}, {"cross_entropy": 0, "dice": 0}])
def test_a_wrong_setting_is_named(change):
    with pytest.raises(InputError, match=next(iter(change))):
        recipe(**change)


# Starts and plans


def test_a_run_continues_from_a_model_and_records_its_lineage(finished, samples):
    run, _, out = finished
    assert run.model.card.start["kind"] == "scratch"
    again = fine_tune(samples, recipe=recipe(), start=out / "model")
    assert again.model.card.start["name"] == run.model.card.name
    assert [link.kind for link in again.model.card.lineage] == ["scratch", "real", "real"]
    assert again.model.card.architecture == run.model.card.architecture


def test_the_start_model_itself_is_not_changed(finished, samples):
    run, _, _ = finished
    before = {k: v.clone() for k, v in run.model.network.state_dict().items()}
    fine_tune(samples, recipe=recipe(), start=run.model)
    assert all(torch.equal(v, run.model.network.state_dict()[k]) for k, v in before.items())


def test_new_classes_get_a_new_head_and_the_user_is_told(finished, samples):
    run, _, _ = finished
    named = recipe(classes=("matrix", "void"))
    again = fine_tune(samples, recipe=named, start=run.model)
    assert again.model.classes == ("matrix", "void")
    assert any("head was replaced" in text for text in again.notices)


def test_the_bundle_keeps_the_colours_that_were_painted_with(samples):
    card = fine_tune(samples, recipe=recipe(colours=("#102030",))).model.card
    assert card.colours[0] == "#102030"
    assert len(card.colours) == 2
    with pytest.raises(InputError, match="#rrggbb"):
        recipe(colours=("red",))


def test_the_plan_names_the_rates_that_the_run_uses(samples):
    made = recipe()
    used = []
    fine_tune(samples, recipe=made, on_event=lambda e: used.append(e.rates) if isinstance(e, StepDone) else None)
    planned = plan_run(samples, None, made, None)
    flat = [
        {name: rates[step] for name, rates in stage["rates"].items()}
        for stage in planned.stages
        for step in range(stage["steps"])
    ]
    assert flat == used
    json.dumps(planned.to_dict())


def test_notices_reach_the_listener(samples):
    told = []
    run = fine_tune(
        samples[:1], recipe=recipe(), on_event=lambda e: told.append(e.text) if isinstance(e, Notice) else None
    )
    assert tuple(told) == run.notices
    assert told
