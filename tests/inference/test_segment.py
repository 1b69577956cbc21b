from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.inference.predictor import Predictor
from napari_anneal.samples.normalisation import intensity_range

few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# 1-pixel axes, primes, below the stride (8), just around it, and a few tiles wide.
side = st.one_of(st.sampled_from([1, 2, 3, 7, 8, 9, 13, 31, 97]), st.integers(1, 120))
dtypes = st.sampled_from([np.bool_, np.uint8, np.uint16, np.int16, np.int64, np.float16, np.float32, np.float64])


def noise(shape: tuple[int, ...], dtype: type, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random(shape)
    values.flat[0], values.flat[-1] = 0.0, 1.0  # never constant
    return (values > 0.5 if dtype is np.bool_ else values * 200).astype(dtype)


@few
@given(side, side, dtypes, st.sampled_from([1, 8, 16, 24, 50, 64, "auto", None]), st.integers(0, 99))
def test_any_image_in_any_tiles_equals_one_plain_forward_pass(model, whole_image, height, width, dtype, tile, seed):
    if height * width < 2:
        width = 2
    if tile in (1, 8) and height * width > 3000:
        tile = 16
    image = noise((height, width), dtype, seed)
    result = model.segment(image, axes="YX", tile=tile)
    expected = whole_image(model, image)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-5, rtol=0)
    ranked = np.sort(expected, axis=0)
    clear = ranked[-1] - ranked[-2] > 1e-4
    assert result.labels.dtype == np.uint8
    assert np.array_equal(result.labels[clear], expected.argmax(axis=0)[clear] + 1)
    assert result.complete
    assert (result.done, result.total) == (1, 1)


def test_labels_vary_and_are_never_zero(model):
    """Guards the other tests: a model that always gives one class would pass them."""
    labels = model.segment(noise((90, 70), np.uint8, 1), tile=32).labels
    assert len(np.unique(labels)) >= 2
    assert labels.min() >= 1
    assert labels.max() <= 3


@few
@given(st.integers(1, 4), side, side, dtypes)
def test_every_slice_of_a_stack_equals_its_own_forward_pass(model, whole_image, depth, height, width, dtype):
    stack = noise((depth, height, max(2, width)), dtype, 3)
    limits = intensity_range(stack, "ZYX")
    result = model.segment(stack, axes="ZYX", tile=40, probabilities=True)
    assert result.labels.shape == stack.shape
    for z in range(depth):
        expected = whole_image(model, stack[z], limits)
        np.testing.assert_allclose(result.probabilities[:, z], expected, atol=1e-5, rtol=0)


@few
@given(hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=40), dtypes, st.booleans())
def test_colour_images_equal_a_plain_forward_pass_with_and_without_alpha(
    colour_model, whole_image, shape, dtype, alpha
):
    image = noise((*shape, 3), dtype, 5)
    given_image = np.concatenate([image, np.ones((*shape, 1), dtype)], axis=-1) if alpha else image
    result = colour_model.segment(given_image, axes="YXC", tile=16)
    np.testing.assert_allclose(result.probabilities, whole_image(colour_model, image), atol=1e-5, rtol=0)


def test_a_wide_network_with_the_default_encoder_is_tiled_exactly(make_model, whole_image):
    """ResNet-34 with five stages reaches over 500 pixels: the halo must be that wide."""
    from napari_anneal.inference import Model
    from napari_anneal.models import ArchitectureSpec, BundleCard, build_network

    torch.manual_seed(0)
    spec = ArchitectureSpec(encoder="resnet34", encoder_depth=5, decoder_channels=(16, 8, 8, 8, 8))
    model = Model(build_network(spec), BundleCard(architecture=spec, classes=("a", "b")), device="cpu")
    image = noise((33, 1400), np.uint8, 0)
    plan = model.predictor.plan(image.shape, 128)
    assert any(t.x.stop - t.x.start < plan.padded[1] for t in plan)
    result = model.segment(image, tile=128)
    np.testing.assert_allclose(result.probabilities, whole_image(model, image), atol=1e-5, rtol=0)


def test_bfloat16_stays_close_and_auto_is_one_of_the_two(make_model, whole_image):
    image = noise((64, 48), np.uint8, 2)
    expected = whole_image(make_model(), image)
    reduced = make_model(precision="bfloat16").segment(image).probabilities
    assert 0 < np.abs(reduced - expected).max() < 0.1
    assert make_model(precision="auto").predictor.dtype in (torch.float32, torch.bfloat16)


class GlobalMean(nn.Module):
    """A network with global context: its output depends on the mean of all it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mean = image.mean(dim=(2, 3), keepdim=True)
        return torch.cat([image, self.scale * mean + 0 * image], dim=1)


def test_networks_with_global_context_are_blended_without_a_seam():
    predictor = Predictor(GlobalMean(), in_channels=1, n_classes=2, stride=4, device="cpu")
    ramp = np.linspace(-1, 1, 400, dtype=np.float32)
    plane = np.tile(ramp, (8, 1))[None]
    plan = predictor.plan(plane.shape[1:], 64)
    assert plan.blended
    with predictor.session() as compute:
        blended = predictor.predict(plane, plan, compute)
    np.testing.assert_allclose(blended.sum(axis=0), 1, atol=1e-5)
    # Hard edges would make steps of about a tile's difference in means; the blend spreads them over the overlap.
    means = [ramp[t.x.computed].mean() for t in plan]
    hard_step = float(np.diff(means).min()) / 4
    assert np.abs(np.diff(blended[0, 4])).max() < 0.2 * hard_step


class Far(nn.Module):
    """Half of each output comes from exactly 12 pixels away: a halo one block too narrow is plain to see.

    In real networks the rim of the receptive field weighs next to nothing, so that they cannot test it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.far = nn.Conv2d(1, 2, 25, padding=12, bias=False)
        with torch.no_grad():
            self.far.weight.zero_()
            self.far.weight[0, 0, 0, 12] = self.far.weight[0, 0, 24, 12] = 1.0
            self.far.weight[1, 0, 12, 0] = self.far.weight[1, 0, 12, 24] = 1.0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(nn.functional.max_pool2d(self.far(image), 4), scale_factor=4)


@few
@given(side, side, st.sampled_from([4, 8, 12, 20, 48]), st.integers(0, 99))
def test_the_rim_of_the_receptive_field_is_in_the_halo(height, width, tile, seed):
    predictor = Predictor(Far(), in_channels=1, n_classes=2, stride=4, device="cpu")
    plane = np.random.default_rng(seed).normal(size=(1, height, width)).astype(np.float32)
    with predictor.session() as compute:
        whole = predictor.predict(plane, predictor.plan((height, width), None), compute)
        tiled = predictor.predict(plane, predictor.plan((height, width), tile), compute)
    np.testing.assert_allclose(tiled, whole, atol=1e-5, rtol=0)


def test_auto_tiles_within_the_budget_equal_the_whole(make_model, whole_image, monkeypatch):
    import napari_anneal.inference.predictor as predictor

    model = make_model()
    image = noise((150, 230), np.uint8, 4)
    budget = int(model.predictor._bytes_per_pixel * 160**2)
    monkeypatch.setattr(predictor, "memory_budget", lambda device: (budget, budget))
    plan = model.predictor.plan(image.shape, "auto")
    assert len(plan) > 1
    assert max((t.y.stop - t.y.start) * (t.x.stop - t.x.start) for t in plan) <= 160**2
    result = model.segment(image).probabilities
    np.testing.assert_allclose(result, whole_image(model, image), atol=1e-5, rtol=0)


def test_uncertainty_is_the_entropy_of_the_probabilities(model):
    from scipy.stats import entropy

    result = model.segment(noise((30, 20), np.uint8, 0), uncertainty=True)
    np.testing.assert_allclose(result.uncertainty, entropy(result.probabilities, base=3, axis=0), atol=1e-5)
    assert result.uncertainty.dtype == np.float32


def test_probabilities_of_a_stack_are_kept_on_request_only(model):
    stack = noise((2, 16, 16), np.uint8, 0)
    assert model.segment(stack).probabilities is None
    assert model.segment(stack, probabilities=True).probabilities.shape == (3, 2, 16, 16)
    assert model.segment(stack[0], probabilities=False).probabilities is None


def test_one_pair_of_limits_serves_the_whole_stack(model, whole_image):
    """A dim slice stays dim: scaled by its own limits it would look like any other."""
    stack = noise((3, 24, 24), np.uint16, 0)
    stack[1] //= 10
    labels = model.segment(stack, probabilities=True)
    alone = model.segment(stack[1])
    assert np.abs(labels.probabilities[:, 1] - alone.probabilities).max() > 0.01


def test_progress_counts_every_tile_up_to_the_total(model):
    seen: list[tuple[int, int]] = []
    model.segment(noise((3, 64, 64), np.uint8, 0), tile=32, progress=lambda *step: seen.append(step))
    assert seen == [(k, 12) for k in range(1, 13)]


def test_the_network_comes_back_in_the_mode_it_was_in(make_model):
    model = make_model()
    model.network.train()
    model.network.encoder.eval()
    modes = [m.training for m in model.network.modules()]
    hooks = [len(m._forward_pre_hooks) for m in model.network.modules()]
    model.segment(noise((16, 16), np.uint8, 0), tile=8, cancel=threading.Event())
    assert [m.training for m in model.network.modules()] == modes
    assert [len(m._forward_pre_hooks) for m in model.network.modules()] == hooks


def test_cancel_keeps_the_finished_slices_and_leaves_the_rest_zero(model):
    stack = noise((5, 32, 32), np.uint8, 0)
    cancel = threading.Event()

    def progress(done: int, total: int) -> None:
        if done == 2:
            cancel.set()

    result = model.segment(stack, tile=None, progress=progress, cancel=cancel)
    assert (result.complete, result.done, result.total) == (False, 2, 5)
    assert np.array_equal(result.labels[:2], model.segment(stack).labels[:2])
    assert not result.labels[2:].any()


def test_cancel_takes_effect_inside_a_tile(make_model):
    """The stop comes from within the first layer: the image is one tile, and no tile is ever finished."""
    model = make_model()
    cancel = threading.Event()
    model.network.encoder.model.conv1.register_forward_hook(lambda *_: cancel.set())
    calls: list[int] = []
    model.network.segmentation_head.register_forward_hook(lambda *_: calls.append(1))
    model.predictor.plan((64, 64), "auto")  # measured beforehand: that runs the network, too
    calls.clear()
    cancel.clear()
    result = model.segment(noise((64, 64), np.uint8, 0), cancel=cancel)
    assert not result.complete
    assert not calls
    assert not result.labels.any()


def test_a_network_that_gives_nan_is_an_error_and_not_class_one(make_model):
    model = make_model()
    with torch.no_grad():
        model.network.segmentation_head[0].bias.fill_(torch.nan)
    with pytest.raises(InputError, match="gives NaN"):
        model.segment(noise((16, 16), np.uint8, 0))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"mode": "fourplanar"}, "mode 'fourplanar' is not known; use 'slices', 'triplanar'"),
        ({"mode": "triplanar"}, "mode 'triplanar' needs a stack"),
        ({"axis": "Y"}, "slicing along Y needs a stack"),
        ({"mode": "context"}, "needs a model that was trained with neighbouring slices"),
        ({"combine": "median"}, "combine='median' is not known"),
        ({"resample": True}, "does not say at which pixel size it was trained"),
        ({"resume": True}, "only a run that writes to a file can be gone on with"),
        ({"only": 0}, "there is no slice 0"),
        ({"tile": "big"}, "tile='big' is not a tile size"),
        ({"axes": "TYX"}, "axes='TYX' cannot be segmented"),
        ({"axes": "XY"}, "axes='XY' cannot be segmented"),
        ({"axes": "ZYX"}, "2 axes but axes='ZYX'"),
        ({"spacing": (1.0,)}, "must be 2 positive numbers"),
        ({"spacing": (0.0, 1.0)}, "must be 2 positive numbers"),
    ],
    ids=lambda value: str(value),
)
def test_a_setting_that_cannot_be_is_named(model, setting, sentence):
    with pytest.raises(InputError) as error:
        model.segment(noise((16, 16), np.uint8, 0), **setting)
    assert sentence in str(error.value)


@pytest.mark.parametrize("setting", [{"precision": "float8"}, {"device": "abacus"}, {"device": "cuda:77"}])
def test_a_device_or_precision_that_is_not_there_is_named(model, setting):
    with pytest.raises(InputError, match=str(next(iter(setting.values())))):
        Model(model.network, model.card, **setting).segment(noise((16, 16), np.uint8, 0))
