"""The torch backend: the labels of the CPU, exactly, and images that are statistically the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from napari_anneal.errors import InputError
from napari_anneal.synthesis import (
    Appearance,
    MicrostructureRecipe,
    RecipeRanges,
    SyntheticStream,
    synthesize,
    synthesize_batch,
)
from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.on_device import geometry
from napari_anneal.synthesis.on_device.noise import smooth_noise_batch

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


def assert_same_geometry(recipe, seeds, device="cpu"):
    batch = synthesize_batch(recipe, seeds, device)
    for k, seed in enumerate(seeds):
        m = synthesize(recipe, seed)
        # A boundary that runs through pixel centres may give them to either side.
        settled = m.distance > 1e-4
        ours = batch.grains[k].cpu().numpy()
        assert np.array_equal(ours[settled], m.grains[settled])
        assert np.array_equal(batch.phase[k].cpu().numpy()[settled], m.phase[settled])
        np.testing.assert_allclose(batch.distance[k].cpu().numpy(), m.distance, rtol=1e-5, atol=2e-4)
        certain = np.abs(m.distance - recipe.boundary_width / 2) > 2e-4
        assert np.array_equal(batch.boundary[k].cpu().numpy()[certain], m.boundary[certain])
    return batch


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"aspect_ratio": 2.5, "direction_deg": 30.0},
        {"size_dispersion": 0.6, "placement": "blue_noise"},
        {"placement": "clustered", "lloyd_rounds": 2, "second_phase": 0.3},
        {"size_cv": 0.5},
        {"shape": (12, 20, 24), "n_seeds": 30, "aspect_ratio": 1.5, "size_dispersion": 0.3},
    ],
    ids=lambda s: ",".join(s) or "plain",
)
def test_labels_are_those_of_the_cpu(settings_, device):
    recipe = MicrostructureRecipe(**{"shape": (96, 80), "n_seeds": 60, "appearance": Appearance(rung=1), **settings_})
    batch = assert_same_geometry(recipe, [0, 7, 123456789], device)
    for k, seed in enumerate(batch.seeds):
        np.testing.assert_allclose(batch.image[k].cpu().numpy(), synthesize(recipe, seed).image, atol=2e-4)


@settings(max_examples=25)
@given(
    points=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 10)), min_size=1, max_size=20),
    seed=st.integers(0, 2**40),
)
def test_degenerate_points_give_the_distances_of_the_cpu(points, seed):
    recipe = MicrostructureRecipe(
        shape=(9, 11), placement="points", points=tuple(points), boundary_width=0.5, appearance=Appearance(rung=1)
    )
    assert_same_geometry(recipe, [seed])


def test_pieces_make_no_difference(monkeypatch):
    recipe = MicrostructureRecipe(shape=(40, 50), n_seeds=30, appearance=Appearance(rung=2, relief=0.3))
    whole = synthesize_batch(recipe, range(5), "cpu")
    monkeypatch.setattr(geometry, "PIECE", 30 * 700)
    cut = synthesize_batch(recipe, range(5), "cpu")
    assert torch.equal(whole.grains, cut.grains)
    assert torch.equal(whole.distance, cut.distance)
    assert torch.equal(whole.image, cut.image)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "look",
    [
        {"rung": 2, "slope": 0.1, "twins": 0.5},
        {"rung": 2, "groove_width": 6.0, "groove_width_spread": 0.7, "boundary_contrast": -0.4},
        {"rung": 3, "psf_sigma": 1.5, "defocus_variation": 2.0, "astigmatism": 0.3},
        {"rung": 4, "dose": 60.0, "relief": 0.25, "hot_pixels": 0.01},
    ],
    ids=lambda look: f"rung {look['rung']}, {list(look)[1]}",
)
def test_images_have_the_statistics_of_the_cpu(look, device):
    recipe = MicrostructureRecipe(
        shape=(128, 128), n_seeds=40, second_phase=0.3, appearance=Appearance(**{"slope": 0.0, **look})
    )
    seeds = range(24)
    ours = synthesize_batch(recipe, seeds, device).image.cpu().numpy().astype(np.float64)
    made = [synthesize(recipe, seed) for seed in seeds]
    theirs = np.stack([m.image for m in made]).astype(np.float64)
    line = np.stack([m.distance < 1 for m in made])
    for figure in (
        lambda x: x.mean(axis=(1, 2)),
        lambda x: x.std(axis=(1, 2)),
        lambda x: np.abs(np.diff(x, axis=2)).mean(axis=(1, 2)),
        lambda x: np.abs(np.diff(x, axis=1)).mean(axis=(1, 2)),
        lambda x: np.array([a[b].mean() - a[~b].mean() for a, b in zip(x, line, strict=True)]),
    ):
        a, b = figure(ours), figure(theirs)
        # The same geometry on both sides, so what is left is chance: four standard errors of the difference.
        assert abs(a.mean() - b.mean()) < 4 * (a - b).std() / np.sqrt(len(a)) + 1e-6


def test_detector_noise_is_poisson_and_read_noise():
    flat = Appearance(
        rung=4, grain_contrast=0, slope=0, texture=0, boundary_contrast=0, psf_sigma=0, dose=100.0, read_noise=0.02
    )
    recipe = MicrostructureRecipe(shape=(256, 256), n_seeds=5, appearance=flat)
    image = synthesize_batch(recipe, range(4), "cpu").image.double()
    count = image.numel()
    expected = 0.5 / 100 + 0.02**2
    assert abs(image.mean() - 0.5) < 5 * np.sqrt(expected / count)
    assert abs(image.var() / expected - 1) < 5 * np.sqrt(2 / count)


def test_the_same_seeds_give_the_same_bytes_and_others_do_not():
    recipe = MicrostructureRecipe(shape=(48, 48), n_seeds=20)
    first, again, other = (synthesize_batch(recipe, seeds, "cpu") for seeds in ([1, 2], [1, 2], [1, 3]))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image[0], other.image[0])
    assert torch.equal(first.grains[0], other.grains[0])


@pytest.mark.parametrize("length", [1.5, 6.0, 30.0])
def test_smooth_noise_is_the_spline_of_the_cpu(length):
    batch = smooth_noise_batch(48, (96, 96), length, torch.Generator().manual_seed(0)).numpy()
    rng = np.random.default_rng(0)
    made = np.stack([smooth_noise((1, 96, 96), length, rng)[0] for _ in range(48)])
    for figure in (lambda x: x.var(axis=(1, 2)), lambda x: np.diff(x, axis=2).var(axis=(1, 2))):
        a, b = figure(batch), figure(made)
        assert abs(a.mean() - b.mean()) < 4 * np.hypot(a.std(), b.std()) / np.sqrt(48)


@pytest.mark.parametrize(
    ("recipe", "seeds", "device", "says"),
    [
        ({"kind": "objects"}, [0], "cpu", "kind 'objects'"),
        ({"appearance": Appearance(rung=5)}, [0], "cpu", "rung 5"),
        ({"waviness": 1.0}, [0], "cpu", "waviness"),
        ({"appearance": Appearance(rung=2, gaps=0.3)}, [0], "cpu", "appearance.gaps"),
        ({}, [], "cpu", "one whole number"),
        ({}, [-1], "cpu", "one whole number"),
        ({}, [0], "no such device", "cannot be used"),
        ({}, [0], "mps", "device 'mps'"),
    ],
)
def test_what_a_batch_cannot_do_is_one_sentence(recipe, seeds, device, says):
    with pytest.raises(InputError, match=says):
        synthesize_batch(MicrostructureRecipe(shape=(64, 64), n_seeds=9, **recipe), seeds, device)


def test_settings_that_do_not_act_yet_are_no_reason_to_refuse():
    recipe = MicrostructureRecipe(shape=(32, 32), n_seeds=9, appearance=Appearance(rung=3, dose=7.0, scratches=9.0))
    assert synthesize_batch(recipe, [0], "cpu").image.shape == (1, 32, 32)


def test_a_data_loader_with_workers_gives_the_stream_in_order_and_resumes():
    stream = SyntheticStream(RecipeRanges(shape=(32, 32)), seed=5)
    loader = DataLoader(stream.dataset(6), batch_size=2, num_workers=2, multiprocessing_context="spawn")
    images = torch.cat([image for image, _ in loader])
    labels = torch.cat([label for _, label in loader])
    assert images.shape == (6, 1, 32, 32)
    assert labels.dtype == torch.int64
    for k in range(6):
        assert np.array_equal(images[k, 0].numpy(), stream[k].image)
        assert np.array_equal(labels[k].numpy(), stream[k].labels)
    resumed = next(iter(DataLoader(stream.dataset(2, first=4), batch_size=2)))
    assert torch.equal(resumed[0], images[4:])


def test_a_dataset_has_an_end_and_a_beginning():
    stream = SyntheticStream(RecipeRanges(shape=(32, 32)))
    assert len(stream.dataset(3)) == 3
    with pytest.raises(IndexError):
        stream.dataset(3)[3]
    for length, first in ((0, 0), (3, -1)):
        with pytest.raises(InputError, match="length of 1 or more"):
            stream.dataset(length, first)
