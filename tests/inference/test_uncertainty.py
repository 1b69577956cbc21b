"""Mean, entropy, mutual information and variance over looks, against a plain loop with torch.rot90; bounded memory."""

import threading
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.errors import InputError
from napari_anneal.inference import Model, ensemble, estimate_uncertainty
from napari_anneal.samples.normalisation import intensity_range, standardise


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 64), dtype=np.uint8)


@pytest.fixture(scope="module")
def other(make_model):
    """The same architecture with other weights."""
    found = make_model()
    with torch.no_grad():
        noise = torch.Generator().manual_seed(1)
        for parameter in found.network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=noise))
    return found


def plain_looks(model, image):
    """Probabilities (8, K, Y, X) of the eight looks; sizes are multiples of the stride."""
    unit = torch.from_numpy(standardise(intensity_range(image).apply(image)))[None, None]
    network, found = model.network.eval(), []
    with torch.no_grad():
        for mirrored in (False, True):
            for turns in range(4):
                seen = torch.rot90(unit.flip(3) if mirrored else unit, turns, (2, 3))
                chance = torch.rot90(torch.softmax(network(seen), 1), -turns, (2, 3))
                found.append((chance.flip(3) if mirrored else chance)[0].numpy())
    return np.stack(found).astype(np.float64)


def test_every_figure_equals_that_of_a_plain_loop(model, image):
    looks = plain_looks(model, image)
    ((z, found),) = estimate_uncertainty(model, image)
    mean, classes = looks.mean(axis=0), looks.shape[1]
    total = entropy(mean, base=classes, axis=0)
    assert z is None
    assert found.looks == 8
    np.testing.assert_allclose(found.probabilities, mean, atol=1e-5)
    np.testing.assert_allclose(found.entropy, total, atol=1e-5)
    np.testing.assert_allclose(
        found.mutual_information, total - entropy(looks, base=classes, axis=1).mean(axis=0), atol=1e-5
    )
    np.testing.assert_allclose(found.variance, looks.var(axis=0).mean(axis=0), atol=1e-6)
    assert found.mutual_information.max() > 0.01  # the looks differ, or all of this would say nothing


@pytest.mark.parametrize("tile", [None, 16])
def test_segmenting_with_uncertainty_gives_mean_and_entropy_over_legal_looks(model, image, tile):
    result = model.segment(image, tile=tile, uncertainty=True)
    mean = plain_looks(model, image).mean(axis=0)
    np.testing.assert_allclose(result.probabilities, mean, atol=1e-5)
    np.testing.assert_allclose(result.uncertainty, entropy(mean, base=3, axis=0), atol=1e-5)
    np.testing.assert_array_equal(result.labels, result.probabilities.argmax(axis=0) + 1)
    np.testing.assert_array_equal(result.uncertainty, model.segment(image, tile=tile, uncertainty="tta").uncertainty)


def test_one_look_is_the_model_as_it_is(model, image):
    plain = model.segment(image)
    result = model.segment(image, uncertainty="entropy")
    np.testing.assert_array_equal(result.labels, plain.labels)
    ((_, found),) = estimate_uncertainty(model, image, "entropy")
    np.testing.assert_allclose(found.entropy, result.uncertainty, atol=1e-6)
    assert found.looks == 1
    assert not found.mutual_information.any()
    assert not found.variance.any()


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_mean_over_all_looks_turns_with_the_image(model, image, turns, mirrored):
    def moved(array):
        return np.ascontiguousarray(np.rot90(np.flip(array, -1) if mirrored else array, turns, (-2, -1)))

    before, after = (model.segment(given, uncertainty=True) for given in (image, moved(image)))
    np.testing.assert_allclose(after.probabilities, moved(before.probabilities), atol=1e-5)
    np.testing.assert_allclose(after.uncertainty, moved(before.uncertainty), atol=1e-5)
    single = [model.segment(given).probabilities for given in (image, moved(image))]
    assert np.abs(single[1] - moved(single[0])).max() > 0.01  # which one look does not


def test_an_illegal_turn_is_never_taken(model, image):
    """Shadows from above: a left-right flip is the only other look."""
    recipe = AugmentationRecipe.for_sample("shadowed", light_deg=90.0).model_dump(mode="json")
    lit = Model(model.network, model.card.model_copy(update={"recipe": {"augmentation": recipe}}), device="cpu")
    ((_, found),) = estimate_uncertainty(lit, image)
    np.testing.assert_allclose(found.probabilities, plain_looks(model, image)[[0, 4]].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(lit.segment(image, uncertainty=True).probabilities, found.probabilities, atol=1e-5)


def test_a_temperature_is_applied_to_every_look(model, image):
    hot = model.calibrated(2.0)
    looks = plain_looks(model, image) ** 0.5
    mean = (looks / looks.sum(axis=1, keepdims=True)).mean(axis=0)
    ((_, found),) = estimate_uncertainty(hot, image)
    np.testing.assert_allclose(found.probabilities, mean, atol=1e-5)
    np.testing.assert_allclose(hot.segment(image, uncertainty=True).probabilities, mean, atol=1e-5)


def test_an_ensemble_is_the_mean_of_its_members_each_with_its_temperature(model, other, image):
    voters = [model.calibrated(2.0), other]
    mean = np.mean([voter.segment(image).probabilities for voter in voters], axis=0)
    both = ensemble(voters)
    np.testing.assert_allclose(both.segment(image).probabilities, mean, atol=1e-5)
    unsure = both.segment(image, uncertainty="ensemble")
    np.testing.assert_allclose(unsure.uncertainty, entropy(mean, base=3, axis=0), atol=1e-5)
    ((_, found),) = estimate_uncertainty(both, image, "ensemble")
    assert found.looks == 2
    np.testing.assert_allclose(found.probabilities, mean, atol=1e-5)
    ((_, every),) = estimate_uncertainty(both, image, "tta")
    assert every.looks == 16
    np.testing.assert_allclose(both.segment(image, uncertainty=True).probabilities, every.probabilities, atol=1e-5)


def test_an_ensemble_can_be_calibrated_and_not_saved(model, other, image, tmp_path):
    both = ensemble([model, other])
    warm = both.calibrated(3.0)
    np.testing.assert_array_equal(warm.segment(image).labels, both.segment(image).labels)
    powers = both.segment(image).probabilities.astype(np.float64) ** (1 / 3)
    ((_, found),) = estimate_uncertainty(warm, image, "ensemble")
    np.testing.assert_allclose(found.probabilities, powers / powers.sum(axis=0), atol=1e-5)
    with pytest.raises(InputError, match="its members"):
        both.save(tmp_path / "both")


def test_models_that_do_not_belong_together_are_refused(model, make_model, colour_model, tmp_path):
    slices = Model(make_model(in_channels=3).network, colour_model.card.model_copy(update={"context": 3}), device="cpu")
    for given, says in [
        ([colour_model, slices], "neighbouring slice"),
        ([model], "two models or more"),
        (model, "list of two"),
        ([model, model], "twice"),
        ([model, make_model(n_classes=2)], "same classes"),
        ([model, colour_model], "channel"),
        ([str(tmp_path), str(tmp_path)], "twice"),
    ]:
        with pytest.raises(InputError, match=says):
            ensemble(given)


@pytest.mark.parametrize("asked", ["ensemble", "dropout", 3])
def test_an_estimator_that_cannot_be_had_is_refused(model, image, asked):
    with pytest.raises(InputError, match="uncertainty"):
        model.segment(image, uncertainty=asked)
    with pytest.raises(InputError, match="uncertainty"):
        list(estimate_uncertainty(model, image, asked))


def test_a_model_of_neighbouring_slices_is_refused(colour_model, image):
    card = colour_model.card.model_copy(update={"context": 3})
    with pytest.raises(InputError, match="3 neighbouring slices"):
        estimate_uncertainty(Model(colour_model.network, card, device="cpu"), np.stack([image] * 4))


def test_slices_of_a_stack_come_one_at_a_time_as_asked(model):
    stack = np.random.default_rng(1).integers(0, 255, (4, 24, 32), dtype=np.uint8)
    seen = []
    found = dict(estimate_uncertainty(model, stack, slices=[3, 1], progress=lambda *step: seen.append(step)))
    assert list(found) == [3, 1]
    assert seen == [(1, 2), (2, 2)]
    whole = model.segment(stack, uncertainty=True)
    np.testing.assert_allclose(found[1].entropy, whole.uncertainty[1], atol=1e-5)
    with pytest.raises(InputError, match="slice 4"):
        estimate_uncertainty(model, stack, slices=[4])


def test_a_stop_ends_the_slices(model):
    stack = np.random.default_rng(1).integers(0, 255, (4, 24, 32), dtype=np.uint8)
    stop = threading.Event()
    found = []
    for z, _ in estimate_uncertainty(model, stack, cancel=stop):
        found.append(z)
        stop.set()
    assert found == [0]


def test_memory_does_not_grow_with_looks_or_slices(model):
    """NumPy's peak over 12 slices of 8 looks stays that of a few planes: sums, never a pile of looks."""
    stack = np.random.default_rng(1).integers(0, 255, (12, 96, 96), dtype=np.uint8)
    sum(1 for _ in estimate_uncertainty(model, stack[:1]))  # imports and what is measured once
    tracemalloc.start()
    for _ in estimate_uncertainty(model, stack):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    probabilities = 3 * 96 * 96 * 8  # one (K, Y, X) in double precision
    assert peak < 10 * probabilities
