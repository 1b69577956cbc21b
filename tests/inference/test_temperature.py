"""A calibrated model: other probabilities, the very same labels, and a bundle that remembers."""

import json

import numpy as np
import pytest

from napari_anneal.errors import InputError
from napari_anneal.inference import load_model
from napari_anneal.models import BundleCard


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, (70, 90), dtype=np.uint8)


@pytest.mark.parametrize("temperature", [0.3, 2.5, 20.0])
@pytest.mark.parametrize("tile", [None, 32])
def test_labels_stay_and_probabilities_are_the_softmax_of_logits_over_the_temperature(
    model, image, whole_image, temperature, tile
):
    plain = model.segment(image, tile=tile)
    tempered = model.calibrated(temperature).segment(image, tile=tile, uncertainty="entropy")
    np.testing.assert_array_equal(tempered.labels, plain.labels)
    powers = whole_image(model, image).astype(np.float64) ** (1 / temperature)
    np.testing.assert_allclose(tempered.probabilities, powers / powers.sum(axis=0), atol=1e-3)
    hotter = tempered.uncertainty.mean() > model.segment(image, tile=tile, uncertainty="entropy").uncertainty.mean()
    assert hotter == (temperature > 1)


def test_the_bundle_keeps_the_temperature_and_one_without_it_means_one(model, image, tmp_path):
    path = model.calibrated(1.7).save(tmp_path / "model")
    again = load_model(path, device="cpu")
    assert again.card.temperature == 1.7
    np.testing.assert_allclose(
        again.segment(image).probabilities, model.calibrated(1.7).segment(image).probabilities, atol=1e-5
    )
    written = json.loads((path / "bundle.json").read_text())
    del written["temperature"]
    assert BundleCard(**written).temperature == 1


def test_a_temperature_comes_on_top_of_the_one_a_model_has(model, image):
    twice = model.calibrated(2.0).calibrated(1.5)
    assert twice.card.temperature == 3
    assert model.card.temperature == 1
    np.testing.assert_allclose(
        twice.segment(image).probabilities, model.calibrated(3.0).segment(image).probabilities, atol=1e-5
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_cannot_be_is_refused(model, temperature):
    with pytest.raises(InputError, match="temperature"):
        model.calibrated(temperature)
