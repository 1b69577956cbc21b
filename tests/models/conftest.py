"""A small network shared by the tests of this folder."""

import pytest

from napari_anneal.models import ArchitectureSpec, BundleCard, build_network


@pytest.fixture(scope="session")
def spec():
    return ArchitectureSpec(encoder="resnet18", encoder_depth=3, decoder_channels=(16, 16, 16), n_classes=3)


@pytest.fixture(scope="session")
def network(spec):
    return build_network(spec).eval()


@pytest.fixture
def card(spec):
    return BundleCard(architecture=spec, classes=("matrix", "fine", "coarse"), name="test")
