"""Claims about the data that ship: they are what their SOURCE says, and strokes hit what they claim to hit."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_anneal.errors import InputError
from napari_anneal.samples.shipped import SHIPPED, paint_strokes, shipped_folder, shipped_samples

SUPERALLOY = shipped_samples("superalloy")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_file_has_the_hash_it_was_shipped_with_and_no_other_file_is_there(name):
    folder = shipped_folder(name)
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == set(listed) | {"SHA256SUMS", "SOURCE.md"}
    for file, digest in listed.items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", SHIPPED)
def test_every_set_names_its_source_and_carries_its_licence(name):
    folder = shipped_folder(name)
    assert "https://github.com/" in (folder / "SOURCE.md").read_text(encoding="utf-8")
    assert (folder / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert len(SHIPPED[name].classes) == len(SHIPPED[name].colours)


def test_all_data_together_are_under_4_and_a_half_megabytes():
    sizes = (p.stat().st_size for name in SHIPPED for p in shipped_folder(name).rglob("*") if p.is_file())
    assert sum(sizes) < 4.5e6


def test_the_superalloy_set_is_what_its_source_says():
    assert len(SUPERALLOY) == 18
    assert {s.group for s in SUPERALLOY} == {f"spot{n}" for n in range(1, 8)}
    for sample in SUPERALLOY:
        assert sample.image.shape == sample.labels.shape == (512, 512)
        assert sample.name.startswith(sample.group)
        # Every pixel is labelled, and each image has all three classes.
        assert set(np.unique(sample.labels)) == {1, 2, 3}


def test_gamma_prime_is_darker_than_the_matrix_and_secondary_is_coarser_than_tertiary():
    # Swapped classes would pass every other test; these two facts are the physics of the picture.
    sizes = {2: [], 3: []}
    for sample in SUPERALLOY:
        grey = [sample.image[sample.labels == k].mean() for k in (1, 2, 3)]
        assert grey[0] > grey[1]
        assert grey[0] > grey[2]
        for k in (2, 3):
            sizes[k].append(np.median(np.bincount(ndimage.label(sample.labels == k)[0].ravel())[1:]))
    assert np.mean(sizes[3]) > 5 * np.mean(sizes[2])


def test_the_cement_strokes_lie_on_two_slices_and_hit_the_grey_levels_they_name():
    (cement,) = shipped_samples("cement")
    assert cement.image.shape == (128, 128, 128)
    assert [painted.z for painted in cement.painted_slices()] == [32, 96]
    for painted in cement.painted_slices():
        matrix, void, inclusion = (painted.image[0][painted.labels == k] for k in (1, 2, 3))
        assert min(matrix.size, void.size, inclusion.size) > 50
        assert void.max() < 67 < np.percentile(matrix, 1)
        assert 45 < inclusion.min() <= inclusion.max() < 85
        assert np.median(void) < np.median(inclusion) - 20 < np.median(matrix) - 50


@pytest.mark.parametrize("sample", SUPERALLOY[::5], ids=lambda s: s.name)
def test_strokes_lie_inside_the_masks_and_are_few(sample):
    strokes = paint_strokes(sample.labels, seed=1, strokes_per_class=(6, 12, 6))
    painted = strokes > 0
    np.testing.assert_array_equal(strokes[painted], sample.labels[painted])
    assert set(np.unique(strokes)) == {0, 1, 2, 3}
    assert painted.mean() < 0.02


def test_strokes_keep_their_distance_from_the_edge_of_wide_regions():
    labels = np.ones((120, 120), int)
    labels[:, 60:] = 2
    strokes = paint_strokes(labels, 0, strokes_per_class=20, margin_px=3)
    assert (strokes[:, 57:63] == 0).all()
    assert (strokes[:, :57] == 1).any()


@given(seed=st.integers(0, 2**31), number=st.integers(0, 8), width=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_strokes_never_leave_their_class_on_any_map(seed, number, width):
    labels = np.random.default_rng(seed).integers(0, 4, (12, 15)).repeat(3, 0).repeat(3, 1)
    strokes = paint_strokes(labels, seed, number, width)
    assert strokes.dtype == np.uint8
    assert ((strokes == 0) | (strokes == labels)).all()
    np.testing.assert_array_equal(strokes, paint_strokes(labels, seed, number, width))
    if number == 0:
        assert not strokes.any()


def test_a_small_particle_still_gets_a_dab():
    labels = np.ones((40, 40), np.uint8)
    labels[20, 20] = 2
    assert paint_strokes(labels, 0)[20, 20] == 2


def test_bad_input_to_the_strokes_is_a_sentence():
    for labels in (np.ones((3, 4, 5), int), np.ones((4, 4)), np.full((4, 4), 300), np.zeros((0, 4), int)):
        with pytest.raises(InputError, match="strokes are painted on 2D labels"):
            paint_strokes(labels, 0)
    with pytest.raises(InputError, match="strokes_per_class"):
        paint_strokes(np.array([[1, 2, 3]]), 0, (1, 2))
    with pytest.raises(InputError, match="choose one of superalloy, cement"):
        shipped_samples("gold")
