"""Scaled, averaged and compiled steps against the plain ones: the same weights wherever they must be the same."""

from __future__ import annotations

import math

import pytest
import torch
from painted_halves import SMALL, specimen
from test_resume import comparable, interrupted_at
from torch import nn

from napari_anneal import devices
from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.inference import load_model
from napari_anneal.inference.predictor import Predictor
from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.samples.patches import PatchSampler, painted_tiles, prepare_slices
from napari_anneal.training import FineTuneRecipe, fine_tune, run_setup, step
from napari_anneal.training.averaging import decay_after
from napari_anneal.training.checkpoint import read_checkpoint
from napari_anneal.training.events import EpochDone, NoiseScaleRead, Predicted, StepDone
from napari_anneal.training.judging import validate
from napari_anneal.training.loop import TrainingSet, train
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.optimizers import build_optimizer
from napari_anneal.training.state import RunState
from napari_anneal.training.step import Stepper

CPU = torch.device("cpu")
SPEC = ArchitectureSpec(encoder="resnet10t", encoder_depth=3, decoder_channels=(8, 8, 8))
LOSS = PaintedLoss(1.0, 1.0, None)


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def data(samples):
    slices = prepare_slices(samples, [0, 1, 2])
    return TrainingSet(PatchSampler(slices, 32, 2, 0), painted_tiles(slices, 32, 2), steps_per_epoch=4)


def fresh():
    torch.manual_seed(3)
    return build_network(SPEC).to(memory_format=torch.channels_last)


def recipe(preset="scratch", epochs=2, **changes):
    changes = {"augmentation": AugmentationRecipe.none(), "precision": "float32"} | changes
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


def followed(state, data, settings, loss_of=LOSS):
    """Weights after every step, and the other events, of a run through the loop."""
    weights, events = [], []
    for event in train(state, data, settings, loss_of, CPU, lambda: False):
        if isinstance(event, StepDone):
            weights.append({name: t.clone() for name, t in state.network.state_dict().items()})
        else:
            events.append(event)
    return weights, events


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def half(monkeypatch):
    """Let a CPU compute in float16, slowly, as a GPU does."""
    monkeypatch.setattr(devices, "has_float16", lambda device: True)
    monkeypatch.setattr(run_setup, "has_float16", lambda device: True)


# Gradient scaler


@pytest.mark.parametrize("micro_batch", [None, 1])
def test_a_scaled_run_is_the_unscaled_one_bit_for_bit(data, micro_batch):
    """Scaling by a power of two and back is exact, so clipping and the noise scale must see unscaled gradients."""
    settings = recipe(micro_batch=micro_batch, noise_scale_every=2, batch_norm="frozen", max_gradient=0.1)
    plain, told = followed(RunState(fresh()), data, settings)
    scaled, scaled_told = followed(
        RunState(fresh(), scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10)), data, settings
    )
    assert all(same(a, b) for a, b in zip(scaled, plain, strict=True))
    readings = [[e for e in events if isinstance(e, NoiseScaleRead)] for events in (told, scaled_told)]
    assert readings[0] == readings[1]
    assert bool(readings[0]) == (micro_batch is None)


def one_batch(data):
    images, labels = zip(*(data.source.draw(i) for i in range(2)), strict=True)
    return torch.tensor(images), torch.tensor(labels)


def test_steps_that_overflow_are_left_out_until_the_scale_fits_and_are_no_divergence(data):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    state = RunState(fresh(), ema_decay=0.9, scaler=scaler)
    settings = recipe()
    optimizer = build_optimizer(state.network, settings.stages[0])
    take_step = Stepper(state, settings, lambda logits, labels: 2.0**20 * LOSS(logits, labels))
    images, labels = one_batch(data)
    # The loss times 2¹⁴⁷ is beyond float32.
    before = [p.clone() for p in state.network.parameters()]
    first = take_step(optimizer, images, labels)
    assert math.isfinite(first.loss)
    assert not first.diverged
    assert all(torch.equal(a, b) for a, b in zip(before, state.network.parameters(), strict=True))
    assert state.averaged.n_averaged == 0
    assert scaler.get_scale() == 2.0**126
    for _ in range(40):
        assert not take_step(optimizer, images, labels).diverged
    assert any(not torch.equal(a, b) for a, b in zip(before, state.network.parameters(), strict=True))
    assert 0 < state.averaged.n_averaged < 35


def test_gradients_that_overflow_unscaled_are_a_divergence(data):
    state = RunState(fresh(), scaler=torch.amp.GradScaler("cpu", init_scale=4.0))
    settings = recipe()
    optimizer = build_optimizer(state.network, settings.stages[0])
    take_step = Stepper(state, settings, lambda logits, labels: logits.sum() * torch.inf)
    assert [take_step(optimizer, *one_batch(data)).diverged for _ in range(3)] == [False, False, True]


def test_a_loss_that_overflows_once_in_float16_costs_one_step_and_no_rate(data, monkeypatch):
    calls = []

    def spiked(logits, labels):
        calls.append(logits.requires_grad)
        loss = LOSS(logits, labels)
        return loss * float("nan") if sum(calls) == 3 and logits.requires_grad else loss

    state = RunState(fresh(), scaler=torch.amp.GradScaler("cpu"))
    weights, events = followed(state, data, recipe(), spiked)
    assert len(weights) == 8
    assert same(weights[2], weights[1]) is False  # the running statistics have seen the batch
    assert all(torch.equal(weights[2][n], weights[1][n]) for n, _ in state.network.named_parameters())
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert [e.epoch for e in epochs] == [1, 2]
    assert all(math.isfinite(e.train_loss) for e in epochs)
    assert state.progress.rate_scale == 1.0


@pytest.mark.parametrize("step", [4])
def test_a_float16_run_resumes_bit_for_bit_with_its_scale(samples, tmp_path, monkeypatch, step):
    half(monkeypatch)
    settings = recipe("canonical", 3, precision="float16")
    whole = fine_tune(samples, recipe=settings)
    assert not any("float32" in text for text in whole.notices)
    interrupted_at(step, samples, tmp_path / "run", settings, monkeypatch)
    kept = read_checkpoint(tmp_path / "run").captured.numbers["scaler"]
    assert kept["scale"] <= 65536
    assert kept["_growth_tracker"] == step
    resumed = fine_tune(samples, recipe=settings, out=tmp_path / "run", resume=True)
    assert comparable(resumed.history) == comparable(whole.history)
    assert same(resumed.model.network.state_dict(), whole.model.network.state_dict())


def test_float16_on_a_cpu_is_float32_and_says_so(samples):
    runs = [fine_tune(samples, recipe=recipe(epochs=1, precision=p)) for p in ("float16", "float32")]
    assert any("float16, so the run computes in float32" in text for text in runs[0].notices)
    assert same(*(r.model.network.state_dict() for r in runs))


# Average of the weights


def test_the_average_is_the_formula(data):
    state = RunState(fresh(), ema_decay=0.5)
    weights, _ = followed(state, data, recipe())
    expected = {name: t.double() for name, t in weights[0].items() if t.is_floating_point()}
    for updates, newest in enumerate(weights[1:], start=1):
        decay = min(0.5, (1 + updates) / (10 + updates))
        expected = {n: decay * old + (1 - decay) * newest[n].double() for n, old in expected.items()}
    # The loop leaves the best weights in the network; those of the last epoch are the last average.
    found = state.averaged.module.state_dict()
    assert all(torch.allclose(found[n].double(), t, rtol=1e-5, atol=1e-6) for n, t in expected.items())
    assert decay_after(0, 0.999) == pytest.approx(0.1)
    assert decay_after(10**6, 0.999) == 0.999


def test_the_average_is_what_is_validated_kept_and_shown(samples, data):
    state, settings = RunState(fresh(), ema_decay=0.9), recipe()
    for event in train(state, data, settings, LOSS, CPU, lambda: False):
        if isinstance(event, EpochDone):
            assert event.val_loss == validate(state.averaged.module, data.validation, settings, LOSS, CPU)[0]
            assert event.val_loss != validate(state.network, data.validation, settings, LOSS, CPU)[0]
            if event.best:
                assert same(state.best.state, state.averaged.module.state_dict())
    assert same(state.network.state_dict(), state.best.state)
    image, shown = specimen(7).image, []
    listen = lambda e: shown.append(e.labels) if isinstance(e, Predicted) else None  # noqa: E731
    run = fine_tune(samples, recipe=recipe(ema_decay=0.9), watch=image, on_event=listen)
    assert (shown[run.best["epoch"] - 1] == run.model.segment(image).labels).all()


def test_what_a_kill_would_leave_is_the_average_that_was_judged(samples, tmp_path):
    judged, on_disk = {}, []

    def probe(epoch, model):
        judged.setdefault(epoch, {name: t.clone() for name, t in model.network.state_dict().items()})

    def listen(event):
        if isinstance(event, StepDone) and judged and not on_disk:
            on_disk.append(load_model(tmp_path / "run" / "model").network.state_dict())

    fine_tune(samples, recipe=recipe(ema_decay=0.9), out=tmp_path / "run", on_event=listen, probe=probe)
    assert same(on_disk[0], judged[1])


@pytest.mark.parametrize("step", [1, 4])
def test_an_averaged_run_resumes_bit_for_bit(samples, tmp_path, monkeypatch, step):
    settings = recipe("canonical", 3, ema_decay=0.9)
    whole = fine_tune(samples, recipe=settings)
    interrupted_at(step, samples, tmp_path / "run", settings, monkeypatch)
    resumed = fine_tune(samples, recipe=settings, out=tmp_path / "run", resume=True)
    assert comparable(resumed.history) == comparable(whole.history)
    assert same(resumed.model.network.state_dict(), whole.model.network.state_dict())


def test_what_is_frozen_does_not_move_in_the_average_either(samples):
    begun = fine_tune(samples, recipe=recipe(epochs=1)).model
    run = fine_tune(samples, recipe=recipe("feature_extraction", ema_decay=0.9), start=begun)
    before, after = begun.network.state_dict(), run.model.network.state_dict()
    frozen = [name for name in before if name.startswith("encoder.")]
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_from_before_these_settings_is_gone_on_with(samples, tmp_path, monkeypatch):
    from napari_anneal.training import keeper

    real = keeper.write_checkpoint
    settings = recipe("canonical", 3)

    def as_before(folder, captured, about):
        new = ("ema_decay", "compile", "batch_norm")
        captured.numbers.pop("scaler")
        real(folder, captured, about | {"recipe": {k: v for k, v in about["recipe"].items() if k not in new}})

    monkeypatch.setattr(keeper, "write_checkpoint", as_before)
    interrupted_at(4, samples, tmp_path / "run", settings, monkeypatch)
    resumed = fine_tune(samples, recipe=settings, out=tmp_path / "run", resume=True)
    assert comparable(resumed.history) == comparable(fine_tune(samples, recipe=settings).history)


# Compiled


def test_compiled_steps_are_the_plain_ones(data, monkeypatch):
    real, made = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda network: made.append(1) or real(network, backend="eager"))
    images, labels = one_batch(data)

    def stepped(compile):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
        take_step = Stepper(RunState(network), recipe(compile=compile), LOSS)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        assert not any(take_step(optimizer, images, labels).told for _ in range(3))
        return network.state_dict()

    assert same(stepped(True), stepped(False))
    assert made == [1]


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_network_that_cannot_be_compiled_is_trained_without_and_the_user_is_told(data, monkeypatch, where):
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits):
            return logits.clone()

        @staticmethod
        def backward(ctx, slope):
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore")

    def broken(network):
        def forward(images):
            logits = network(images)
            if where == "forward":
                raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore")
            return Fails.apply(logits)

        return forward

    monkeypatch.setattr(step.torch, "compile", broken)
    plain, _ = followed(RunState(fresh()), data, recipe(epochs=1))
    compiled, events = followed(RunState(fresh()), data, recipe(epochs=1, compile=True))
    notices = [e.text for e in events if hasattr(e, "text")]
    assert notices == [
        "The network could not be compiled (InvalidCxxCompiler: No working C++ compiler found), so the run goes on "
        "without, only slower."
    ]
    assert all(same(a, b) for a, b in zip(compiled, plain, strict=True))


@pytest.mark.nightly
def test_compiled_by_the_compiler_of_this_machine_the_losses_are_the_same(samples):
    losses = [
        [row["train_loss"] for row in fine_tune(samples, recipe=recipe(epochs=2, compile=c)).history]
        for c in (False, True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_segmenting_in_float16_is_close_to_float32(monkeypatch):
    half(monkeypatch)
    network, image = fresh(), torch.randn((1, 64, 64), generator=torch.Generator().manual_seed(0)).numpy()
    found = []
    for precision in ("float16", "float32"):
        predictor = Predictor(network, 1, 2, SPEC.stride, "cpu", precision)
        with predictor.session() as compute:
            found.append(predictor.predict(image, predictor.plan((64, 64)), compute))
    assert abs(found[0] - found[1]).max() < 1e-2
    assert abs(found[0] - found[1]).max() > 0
