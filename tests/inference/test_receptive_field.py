from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_anneal.inference.receptive_field import ReceptiveField, evaluating, measure_receptive_field


class SmallUNet(nn.Module):
    """Two levels down and up with a skip: the shape of the networks that are shipped, small enough for brute force."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        high = torch.relu(self.first(image))
        low = torch.nn.functional.max_pool2d(torch.relu(self.down(high)), 2)
        low = torch.nn.functional.interpolate(torch.relu(self.deep(low)), scale_factor=4, mode="nearest")
        return self.last(torch.cat([high, low], dim=1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 3, 5, 7]), st.integers(1, 4)), min_size=1, max_size=5))
def test_reach_of_plain_convolutions_equals_the_arithmetic(layers):
    convolutions = [nn.Conv2d(1, 1, k, padding=d * (k - 1) // 2, dilation=d) for k, d in layers]
    expected = sum(d * (k - 1) // 2 for k, d in layers)
    network = nn.Sequential(*convolutions)
    assert measure_receptive_field(network, 1, 1) == ReceptiveField(expected, expected)


def test_reach_holds_under_zero_weights():
    layer = nn.Conv2d(1, 1, 9, padding=4)
    nn.init.zeros_(layer.weight)
    assert measure_receptive_field(layer, 1, 1) == ReceptiveField(4, 4)


def test_asymmetric_reach_is_told_apart():
    network = nn.Sequential(nn.ZeroPad2d((6, 0, 2, 0)), nn.Conv2d(1, 1, (3, 7)))
    assert measure_receptive_field(network, 1, 1) == ReceptiveField(before=6, after=0)


def test_reach_of_a_unet_equals_brute_force_perturbation():
    torch.manual_seed(0)
    network = SmallUNet().double().eval()
    for parameter in network.parameters():  # positive weights: no dependence can cancel
        nn.init.uniform_(parameter, 0.1, 1.0)
    stride, size, middle = 4, 64, 32
    image = torch.rand(1, 1, size, size, dtype=torch.float64)
    with torch.no_grad():
        base = network(image)
        seen = []
        for column in range(size):
            changed = image.clone()
            changed[..., column] += 10.0
            difference = (network(changed) - base).abs().amax(dim=(0, 1, 2))
            if difference[middle : middle + stride].max() > 0:
                seen.append(column)
    before = -(-(middle - min(seen)) // stride) * stride
    after = -(-(max(seen) - (middle + stride - 1)) // stride) * stride
    assert measure_receptive_field(SmallUNet(), 1, stride) == ReceptiveField(before, after)


class Pooled(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + image.mean(dim=(2, 3), keepdim=True)


class AlignedCorners(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        low = torch.nn.functional.avg_pool2d(image, 4)
        return torch.nn.functional.interpolate(low, scale_factor=4, mode="bilinear", align_corners=True)


class FixedSize(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + torch.zeros(1, 1, 32, 32)


@pytest.mark.parametrize(
    "network", [Pooled(), nn.InstanceNorm2d(1), nn.GroupNorm(1, 1), AlignedCorners(), FixedSize()], ids=repr
)
def test_what_cannot_be_tiled_exactly_counts_as_unbounded(network):
    assert measure_receptive_field(network, 1, 4) is None


def test_measuring_leaves_modes_and_weights_alone(make_model):
    network = make_model().network
    network.train()
    network.encoder.eval()
    modes = [module.training for module in network.modules()]
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    measure_receptive_field(network, 1, 8)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_modes_come_back_after_an_error():
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(1))
    network[1].eval()
    with pytest.raises(RuntimeError), evaluating(network):
        raise RuntimeError
    assert [module.training for module in network.modules()] == [True, True, False]


def test_outputs_beyond_the_measured_field_do_not_change(model):
    """The claim that tiles rest on, on the architecture that is used: whatever lies further away has no effect."""
    field = model.predictor.receptive_field
    assert field is not None
    stride = model.card.architecture.stride
    core = slice(field.before + stride, field.before + 2 * stride)
    width = core.stop + field.after + 2 * stride
    rng = np.random.default_rng(0)
    strip = torch.from_numpy(rng.normal(size=(1, 1, stride, width)).astype(np.float32))
    changed = strip.clone()
    changed[..., : core.start - field.before] = 100.0
    changed[..., core.stop + field.after :] = -100.0
    with torch.no_grad():
        a, b = model.network.eval()(strip), model.network(changed)
    assert torch.equal(a[..., core], b[..., core])
    assert not torch.allclose(a, b)
