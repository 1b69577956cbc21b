"""A bundle comes back as it was saved, and nothing that was changed in it is ever used."""

import errno
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from napari_anneal.errors import BundleError, OutputError
from napari_anneal.models import BundleCard, bundle, load_bundle, read_card, save_bundle


@pytest.fixture
def saved(network, card, tmp_path):
    return save_bundle(network, card, tmp_path / "model")


def reseal(folder):
    """Write fresh checksums, as an attacker would after editing."""
    names = ("model.safetensors", "bundle.json", "sample.npz")
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_weights_and_card_survive_the_round_trip(network, card, tmp_path, name):
    path = save_bundle(network, card, tmp_path / name)
    loaded, read = load_bundle(path)
    assert read == card
    assert read_card(path) == card
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    assert not loaded.training


def test_a_bundle_is_four_plain_files(saved):
    assert sorted(p.name for p in saved.iterdir()) == ["SHA256SUMS", "bundle.json", "model.safetensors", "sample.npz"]
    # An independent reader opens the weights; the sample opens with pickling forbidden.
    assert safetensors.torch.load_file(saved / "model.safetensors")
    with np.load(saved / "sample.npz", allow_pickle=False) as sample:
        assert sample["output"].shape[1] == 3


def test_half_precision_halves_the_file_and_still_replays(network, card, tmp_path, saved):
    half = save_bundle(network, card, tmp_path / "half", half=True)
    ratio = (half / "model.safetensors").stat().st_size / (saved / "model.safetensors").stat().st_size
    assert 0.45 < ratio < 0.55
    load_bundle(half)


@pytest.mark.parametrize("name", ["model.safetensors", "bundle.json", "sample.npz"])
@pytest.mark.parametrize("where", [0.0, 0.3, 0.999])
def test_one_flipped_bit_is_refused(saved, name, where):
    content = bytearray((saved / name).read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(BundleError, match=name.replace(".", r"\.") + ".*copy it again"):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "bundle.json", "sample.npz", "SHA256SUMS"])
def test_a_missing_part_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        load_bundle(saved)


def edit_card(saved, **changes):
    raw = json.loads((saved / "bundle.json").read_text())
    (saved / "bundle.json").write_text(json.dumps(raw | changes))
    reseal(saved)


def test_a_newer_bundle_asks_for_an_upgrade(saved):
    edit_card(saved, schema_version=99)
    with pytest.raises(BundleError, match=r"newer napari-anneal.*pip install -U"):
        load_bundle(saved)


def test_an_encoder_name_that_would_reach_the_network_is_refused(saved, card):
    foreign = card.architecture.model_dump() | {"encoder": "hf-hub:somebody/repo"}
    edit_card(saved, architecture=foreign)
    with pytest.raises(BundleError, match="not a timm model"):
        load_bundle(saved)


def test_weights_of_another_architecture_are_refused(saved, card):
    edit_card(saved, architecture=card.architecture.model_dump() | {"encoder": "resnet34"})
    with pytest.raises(BundleError, match="missing"):
        load_bundle(saved)


def test_nan_weights_are_refused_by_name(saved, network):
    state = {k: v.clone() for k, v in network.state_dict().items()}
    state["segmentation_head.0.bias"][1] = float("nan")
    safetensors.torch.save_file(state, saved / "model.safetensors")
    reseal(saved)
    with pytest.raises(BundleError, match=r"segmentation_head\.0\.bias.*NaN"):
        load_bundle(saved)


def test_weights_that_do_not_replay_the_sample_are_refused(saved, network):
    state = {k: v.clone() for k, v in network.state_dict().items()}
    state["segmentation_head.0.bias"] += torch.tensor([3.0, 0.0, 0.0])
    safetensors.torch.save_file(state, saved / "model.safetensors")
    reseal(saved)
    with pytest.raises(BundleError, match="stored output"):
        load_bundle(saved)


def test_a_header_that_points_outside_the_file_is_refused(saved):
    content = (saved / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["segmentation_head.0.bias"]["data_offsets"] = [10**9, 10**9 + 12]
    new = json.dumps(header).encode()
    (saved / "model.safetensors").write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])
    reseal(saved)
    with pytest.raises(BundleError, match="not a valid safetensors"):
        load_bundle(saved)


def test_a_pickled_sample_is_not_executed(saved, tmp_path):
    witness = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    buffer = io.BytesIO()
    np.savez(buffer, input=np.array([Bomb()], dtype=object), output=np.zeros(1))
    (saved / "sample.npz").write_bytes(buffer.getvalue())
    reseal(saved)
    with pytest.raises(BundleError, match=r"sample\.npz"):
        load_bundle(saved)
    assert not witness.exists()


def test_a_zip_bomb_is_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setitem(bundle.MAX_BYTES, "SHA256SUMS", 4096)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("SHA256SUMS", b"0" * 50_000_000)
    with pytest.raises(BundleError, match="not opened"):
        load_bundle(bomb)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"not a zip"])
def test_a_damaged_zip_is_a_sentence(tmp_path, content):
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="copy it again"):
        load_bundle(path)


def test_a_missing_bundle_is_a_sentence(tmp_path):
    with pytest.raises(BundleError, match="no model bundle"):
        load_bundle(tmp_path / "nothing")


def test_an_existing_path_is_not_touched(saved, network, card):
    before = (saved / "bundle.json").read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        save_bundle(network, card, saved)
    assert (saved / "bundle.json").read_bytes() == before


def test_a_full_disk_leaves_the_old_bundle_and_no_rubbish(saved, network, card, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bundle.os, "fsync", full)
    with pytest.raises(OutputError, match=r"disk is full.*nothing was lost"):
        save_bundle(network, card, saved, overwrite=True)
    monkeypatch.undo()
    assert [p.name for p in saved.parent.iterdir()] == ["model"]
    load_bundle(saved)


def test_class_names_must_fit_the_network(spec):
    with pytest.raises(ValueError, match="3 different class names"):
        BundleCard(architecture=spec, classes=("a", "b"))
