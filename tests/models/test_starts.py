"""Where a run starts: each choice gives the weights it claims, or a sentence that says what to do."""

import time

import pytest
import safetensors.torch
import timm
import torch

from napari_anneal.errors import StartError
from napari_anneal.models import ArchitectureSpec, build_network
from napari_anneal.models import starts as starting
from napari_anneal.models.starts import continue_from, start_from_file, start_from_imagenet, start_from_scratch


@pytest.fixture(scope="module")
def donor():
    """Stands in for downloaded ImageNet weights: a full timm ResNet-18 with its classifier."""
    torch.manual_seed(1)
    return timm.create_model("resnet18", pretrained=False)


@pytest.fixture
def weights(donor, tmp_path):
    path = tmp_path / "resnet18.safetensors"
    safetensors.torch.save_file(donor.state_dict(), path)
    return path


def test_scratch_depends_on_the_seed_alone(spec):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = (start_from_scratch(spec, seed).network.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected), "the global random state was disturbed"
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_weights_file_fills_the_encoder(spec, donor, tmp_path, suffix):
    path = tmp_path / f"r18{suffix}"
    if suffix == ".pth":
        torch.save(donor.state_dict(), path)
    else:
        safetensors.torch.save_file(donor.state_dict(), path)
    encoder = start_from_file(spec, path, 0).network.encoder.model
    assert torch.equal(encoder.layer2[1].conv2.weight, donor.layer2[1].conv2.weight)


def test_grey_network_on_grey_equals_rgb_network_on_three_equal_channels(donor, weights):
    rgb_spec, grey_spec = (ArchitectureSpec(encoder="resnet18", in_channels=c) for c in (3, 1))
    rgb = start_from_file(rgb_spec, weights, 0).network.eval()
    grey = start_from_file(grey_spec, weights, 0).network.eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(grey.encoder(image)[1:], rgb.encoder(image.expand(-1, 3, -1, -1))[1:], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_weights_of_another_encoder_are_refused(weights):
    for other in ("resnet50", "convnext_atto"):
        with pytest.raises(StartError, match=f"does not hold the weights of a {other}"):
            start_from_file(ArchitectureSpec(encoder=other), weights, 0)


def test_a_pickle_with_code_is_not_opened(spec, tmp_path):
    witness = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    torch.save({"weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(StartError, match="could run code"):
        start_from_file(spec, tmp_path / "bomb.pth", 0)
    assert not witness.exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 100])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_weights_file_is_a_sentence(spec, tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(StartError, match="weights file"):
        start_from_file(spec, path, 0)


def test_imagenet_without_network_names_the_file_within_five_seconds(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ANNEAL_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(starting, "_answers", lambda address: time.sleep(60) or True)
    began = time.monotonic()
    with pytest.raises(StartError) as caught:
        start_from_imagenet(spec, 0)
    assert time.monotonic() - began < 5
    assert str(tmp_path / "resnet18.safetensors") in str(caught.value)
    assert "model.safetensors" in str(caught.value)


def test_imagenet_weights_put_where_the_sentence_says_are_used(spec, weights, donor, monkeypatch):
    monkeypatch.setenv("NAPARI_ANNEAL_WEIGHTS", str(weights.parent))
    begun = start_from_imagenet(spec, 0)
    assert begun.pretrained
    assert torch.equal(begun.network.encoder.model.layer1[0].conv1.weight, donor.layer1[0].conv1.weight)


def test_continuing_keeps_all_but_the_head_of_other_classes(spec, network):
    other = spec.model_copy(update={"n_classes": 2})
    begun = continue_from(network, spec, other, same_classes=False, seed=0)
    assert "head was replaced" in begun.notices[0]
    old, new = network.state_dict(), begun.network.state_dict()
    assert all(torch.equal(old[k], new[k]) for k in old if not k.startswith("segmentation_head"))
    assert new["segmentation_head.0.bias"].shape == (2,)


def test_continuing_with_the_same_classes_is_the_same_network(spec, network):
    begun = continue_from(network, spec, spec, same_classes=True, seed=0)
    assert all(torch.equal(v, begun.network.state_dict()[k]) for k, v in network.state_dict().items())
    assert begun.network is not network


def test_continuing_in_grey_from_colour_folds_the_stem(spec):
    colour = spec.model_copy(update={"in_channels": 3})
    network = build_network(colour).eval()
    grey = continue_from(network, colour, spec, same_classes=True, seed=0).network.eval()
    image = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(grey(image), network(image.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


def test_imagenet_weights_in_the_hub_cache_need_no_network(spec, weights, donor, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ANNEAL_WEIGHTS", str(tmp_path / "empty"))
    asked = []
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, name: asked.append(repo) or str(weights))
    monkeypatch.setattr(starting, "_answers", lambda address: pytest.fail("the network was asked"))
    begun = start_from_imagenet(spec, 0)
    assert asked[0].startswith("timm/resnet18")
    assert begun.origin["weights"] == asked[0]
    assert torch.equal(begun.network.encoder.model.layer1[0].conv1.weight, donor.layer1[0].conv1.weight)


def test_imagenet_weights_are_downloaded_when_the_hub_answers(spec, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ANNEAL_WEIGHTS", str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(starting, "_answers", lambda address: address.startswith("https://"))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, name: str(weights))
    assert start_from_imagenet(spec, 0).pretrained
