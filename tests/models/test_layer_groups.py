"""Every parameter is in exactly one group, and what is frozen does not move by one bit."""

from typing import get_args

import pytest
import torch

from napari_anneal.models import GROUPS, ArchitectureSpec, build_network, freeze_all_but, layer_groups
from napari_anneal.models.architecture import Decoder, empty_network
from napari_anneal.models.layer_groups import keep_frozen_statistics

ENCODERS = (
    "resnet10t", "resnet18", "resnet34", "resnet50", "resnext50_32x4d", "seresnet50", "res2net50_26w_4s",
    "convnext_atto", "convnext_tiny", "convnextv2_nano",
    "mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv3_large_100", "mobilenetv4_conv_small",
    "efficientnet_b0", "tf_efficientnetv2_b0", "regnetx_002", "regnety_004",
    "densenet121", "repvgg_a0", "dla34", "ghostnet_100", "hrnet_w18",
    "swin_tiny_patch4_window7_224", "maxvit_tiny_tf_224", "pvt_v2_b0", "coatnet_nano_rw_224", "edgenext_small",
)  # fmt: skip
VISION_TRANSFORMERS = (
    "vit_tiny_patch16_224",
    "deit3_small_patch16_224",
    "vit_base_patch16_224",
    "deit3_small_patch16_224",
)
DECODERS = get_args(Decoder)


def assert_partition(network):
    groups = layer_groups(network)
    names = [name for members in groups.values() for name, _ in members]
    assert sorted(names) == sorted(name for name, _ in network.named_parameters())
    assert set(groups) == set(GROUPS)
    assert all(not name.startswith("encoder.") for name, _ in groups["head"])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_parameter_is_in_exactly_one_group(encoder):
    assert_partition(empty_network(ArchitectureSpec(encoder=encoder)))


@pytest.mark.parametrize("encoder", VISION_TRANSFORMERS)
def test_blocks_of_a_vision_transformer_are_four_groups_in_order(encoder):
    network = empty_network(ArchitectureSpec(decoder="dpt", encoder=encoder))
    assert_partition(network)
    groups = layer_groups(network)
    blocks = {g: sorted({int(n.split(".")[3]) for n, _ in groups[g] if ".blocks." in n}) for g in GROUPS[:4]}
    assert list(blocks.values()) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert any("patch_embed" in name for name, _ in groups["stem+layer1"])
    assert any("pos_embed" in name for name, _ in groups["stem+layer1"])


@pytest.mark.parametrize(("encoder", "side"), [("vit_tiny_patch16_224", 96), ("deit3_small_patch16_224", 64)])
def test_a_vision_transformer_takes_any_multiple_of_its_stride(encoder, side):
    spec = ArchitectureSpec(decoder="dpt", encoder=encoder)
    assert side % spec.stride == 0
    with torch.inference_mode():
        assert build_network(spec).eval()(torch.zeros(1, 1, side, 2 * side)).shape == (1, 2, side, 2 * side)


def test_patches_that_the_decoder_cannot_join_are_refused():
    with pytest.raises(ValueError, match="14 px; try vit_base_patch16_224"):
        ArchitectureSpec(decoder="dpt", encoder="vit_small_patch14_dinov2")


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_has_all_groups_and_every_parameter_in_one(decoder):
    encoder = "vit_tiny_patch16_224" if decoder == "dpt" else "resnet18"
    assert_partition(empty_network(ArchitectureSpec(decoder=decoder, encoder=encoder)))


def test_groups_of_a_resnet_are_its_stages():
    groups = layer_groups(build_network(ArchitectureSpec(encoder="resnet18")))
    assert {n.split(".")[2] for n, _ in groups["stem+layer1"]} == {"conv1", "bn1", "layer1"}
    for stage in ("layer2", "layer3", "layer4"):
        assert {n.split(".")[2] for n, _ in groups[stage]} == {stage}
    assert all(not n.startswith("encoder.") for n, _ in groups["head"])


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_give_logits_of_the_image_size(decoder):
    encoder = "vit_tiny_patch16_224" if decoder == "dpt" else "resnet18"
    network = build_network(ArchitectureSpec(decoder=decoder, encoder=encoder, n_classes=4)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 128, 160)).shape == (2, 4, 128, 160)


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
