"""The lineage in a card: bundles from before it still open, what is not a lineage is refused, and it never outgrows."""

import hashlib
import json

import pytest
import safetensors.torch

from napari_anneal.errors import BundleError
from napari_anneal.models import BundleCard, load_bundle, read_card, save_bundle
from napari_anneal.models.bundle import replace_card
from napari_anneal.models.card import SCHEMA_VERSION
from napari_anneal.models.lineage import MOST_FINGERPRINTS, MOST_LINKS, Link, described, lineage_of, shortened

DIGEST = "0123456789abcdef" * 4
CHAIN = (Link(kind="scratch", seed=3), Link(kind="synthetic", stream={"seed": 7}, weights=DIGEST), Link(kind="real"))


@pytest.fixture
def saved(network, card, tmp_path):
    return save_bundle(network, card.model_copy(update={"lineage": CHAIN}), tmp_path / "model")


def edit(saved, **changes):
    """Change the card as somebody would by hand, checksums included; ``None`` takes a field out."""
    raw = json.loads((saved / "bundle.json").read_text()) | changes
    (saved / "bundle.json").write_text(json.dumps({k: v for k, v in raw.items() if v is not None}))
    names = ("model.safetensors", "bundle.json", "sample.npz")
    lines = [f"{hashlib.sha256((saved / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (saved / "SHA256SUMS").write_text("".join(lines))


def file_digest(saved):
    return hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()


def test_the_lineage_survives_the_round_trip_and_goes_on_with_the_digest_of_the_file(saved):
    loaded, card = load_bundle(saved)
    assert card.lineage == CHAIN
    inherited = lineage_of(loaded, card)
    assert inherited[:-1] == CHAIN[:-1]
    assert inherited[-1] == CHAIN[-1].model_copy(update={"weights": file_digest(saved)})


def test_of_a_bundle_in_half_precision_the_digest_is_that_of_the_network_it_opens_to(network, card, tmp_path):
    half = save_bundle(network, card, tmp_path / "half", half=True)
    loaded, read = load_bundle(half)
    full = safetensors.torch.save({k: v.contiguous() for k, v in loaded.state_dict().items()})
    assert lineage_of(loaded, read)[-1].weights == hashlib.sha256(full).hexdigest()


@pytest.mark.parametrize(
    ("start", "fingerprints", "kinds"),
    [
        ({"kind": "scratch", "seed": 5}, {}, ["scratch", "synthetic"]),
        ({"kind": "imagenet", "weights": "timm/resnet18"}, {"a": DIGEST}, ["imagenet", "real"]),
        ({"kind": "model", "before": {"kind": "scratch"}}, {}, ["scratch", "unknown", "synthetic"]),
        ({}, {"a": DIGEST}, ["unknown", "real"]),
        ({"kind": "model", "before": "rubbish"}, {}, ["unknown", "unknown", "synthetic"]),
        ({"kind": "rubbish"}, {}, ["unknown"]),
    ],
)
def test_a_bundle_of_version_1_opens_and_gives_what_its_card_tells(saved, start, fingerprints, kinds):
    edit(saved, schema_version=1, lineage=None, start=start, fingerprints=fingerprints, recipe={"preset": "full"})
    loaded, card = load_bundle(saved)
    assert (card.lineage, card.schema_version) == ((), SCHEMA_VERSION)
    links = lineage_of(loaded, card)
    assert [link.kind for link in links] == kinds
    assert links[-1].weights == file_digest(saved)


@pytest.mark.parametrize(
    "lineage",
    [
        [{"kind": "real", "run": "this"}],
        [{"kind": "magic"}],
        [{"kind": "real", "weights": "sha"}],
        [{"kind": "real"}] * (MOST_LINKS + 1),
        "scratch",
    ],
)
def test_what_is_not_a_lineage_is_refused_with_one_sentence(saved, lineage):
    edit(saved, lineage=lineage)
    with pytest.raises(BundleError, match=r"lineage.* is not valid"):
        read_card(saved)


def test_a_chain_never_outgrows_the_card():
    many = {f"image {i}": DIGEST for i in range(MOST_FINGERPRINTS // 2 + 1)}
    links = (CHAIN[0], *(Link(kind="real", name=str(i), train=many) for i in range(2 * MOST_LINKS)))
    kept = shortened(links)
    assert len(kept) == MOST_LINKS
    assert kept[0] == CHAIN[0]
    assert [link.name for link in kept[1:]] == [link.name for link in links[-MOST_LINKS + 1 :]]
    assert [bool(link.train) for link in kept[-3:]] == [False, False, True]
    assert shortened(CHAIN) == CHAIN


def test_a_chain_reads_as_one_line():
    chain = (Link(kind="imagenet", name="timm/resnet34"), CHAIN[1], Link(kind="real", train_groups=tuple("abcde")))
    assert described(chain) == "ImageNet (timm/resnet34) → synthetic (seed 7) → real (a, b, c, d …)"


def test_another_card_leaves_weights_sample_and_what_lies_beside_them_as_they_are(saved, card):
    (saved / "gold-openings.json").write_text("{}")
    before = {p.name: p.read_bytes() for p in saved.iterdir()}
    replace_card(saved, BundleCard(architecture=card.architecture, classes=card.classes, name="new"))
    after = {p.name: p.read_bytes() for p in saved.iterdir()}
    assert {n for n in before if before[n] != after[n]} == {"bundle.json", "SHA256SUMS"}
    assert load_bundle(saved)[1].name == "new"
    (saved / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(BundleError, match="checksum"):
        replace_card(saved, card)
