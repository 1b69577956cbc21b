"""Every parameter is in exactly one group, and what is frozen does not move by one bit."""

import pytest
import torch

from napari_anneal.models import GROUPS, ArchitectureSpec, build_network, freeze_all_but, layer_groups
from napari_anneal.models.layer_groups import keep_frozen_statistics

ENCODERS = ("resnet18", "resnet10t", "convnext_atto", "mobilenetv3_small_100", "efficientnet_b0", "regnety_002")


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_parameter_is_in_exactly_one_group(encoder):
    network = build_network(ArchitectureSpec(encoder=encoder))
    groups = layer_groups(network)
    names = [name for members in groups.values() for name, _ in members]
    assert sorted(names) == sorted(name for name, _ in network.named_parameters())
    assert set(groups) == set(GROUPS)


def test_groups_of_a_resnet_are_its_stages():
    groups = layer_groups(build_network(ArchitectureSpec(encoder="resnet18")))
    assert {n.split(".")[2] for n, _ in groups["stem+layer1"]} == {"conv1", "bn1", "layer1"}
    for stage in ("layer2", "layer3", "layer4"):
        assert {n.split(".")[2] for n, _ in groups[stage]} == {stage}
    assert all(not n.startswith("encoder.") for n, _ in groups["head"])


@pytest.mark.parametrize("decoder", ["unet", "unetplusplus", "fpn", "deeplabv3plus", "linknet", "segformer"])
def test_decoders_give_logits_of_the_image_size(decoder):
    network = build_network(ArchitectureSpec(decoder=decoder, encoder="resnet18", n_classes=4)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 64, 96)).shape == (2, 4, 64, 96)


def test_frozen_weights_and_statistics_do_not_move():
    network = build_network(ArchitectureSpec(encoder="resnet18", encoder_depth=3, decoder_channels=(16, 16, 16)))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    freeze_all_but(network, {"head", "layer2"})
    for _ in range(2):
        network.train()
        keep_frozen_statistics(network)
        network(torch.randn(2, 1, 32, 32)).square().mean().backward()
        optimizer.step()
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert any(k.startswith("decoder") for k in moved)
    assert any("layer2" in k and "running_mean" in k for k in moved)
    frozen = ("encoder.model.conv1", "encoder.model.bn1", "encoder.model.layer1")
    assert not [k for k in moved if k.startswith(frozen)]
