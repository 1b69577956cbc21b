"""Claims about samples: what they accept, how they name axes, and which slices carry paint."""

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample


@pytest.mark.parametrize(
    ("shape", "labels", "axes"),
    [
        ((8, 9), None, "YX"),
        ((8, 9, 3), None, "YXC"),
        ((8, 9, 4), None, "YXC"),
        ((5, 8, 9), None, "ZYX"),
        ((5, 8, 9, 3), None, "ZYXC"),
        ((5, 8, 3), (5, 8, 3), "ZYX"),  # labels of the same shape: three columns, not three colours
        ((8, 9, 3), (8, 9), "YXC"),
    ],
)
def test_axes_are_named_from_the_shapes(shape, labels, axes):
    sample = Sample(np.zeros(shape), None if labels is None else np.zeros(labels, int))
    assert sample.axes == axes
    assert sample.is_stack == ("Z" in axes)
    assert sample.channels == (3 if "C" in axes else 1)
    assert sample.spatial_shape == tuple(n for n, a in zip(shape, axes, strict=True) if a != "C")


@given(painted=st.sets(st.integers(0, 6)), lazy=st.booleans())
def test_exactly_the_painted_slices_are_yielded_and_no_other_is_read(painted, lazy):
    volume = np.random.default_rng(0).integers(0, 99, (7, 4, 5))
    labels = np.zeros(volume.shape, np.uint8)
    for z in painted:
        labels[z, 1, 2] = 2

    class Recorder:
        shape, dtype, ndim = volume.shape, volume.dtype, 3

        def __init__(self):
            self.read = set()

        def __getitem__(self, z):
            self.read.add(z)
            return volume[z]

    recorder = Recorder()
    slices = list(Sample(recorder, dask.array.from_array(labels) if lazy else labels).painted_slices())
    assert [part.z for part in slices] == sorted(painted)
    assert recorder.read == painted
    for part in slices:
        np.testing.assert_array_equal(part.image, volume[part.z][np.newaxis])
        np.testing.assert_array_equal(part.labels, labels[part.z])


def test_colour_comes_channels_first_without_alpha():
    image = np.random.default_rng(0).integers(0, 255, (6, 7, 4)).astype(np.uint8)
    (part,) = Sample(image, np.ones((6, 7), int)).painted_slices()
    np.testing.assert_array_equal(part.image, np.moveaxis(image[..., :3], -1, 0))
    assert part.z is None


def test_nothing_painted_yields_nothing():
    assert list(Sample(np.zeros((4, 4))).painted_slices()) == []
    assert list(Sample(np.zeros((4, 4)), np.zeros((4, 4), int)).painted_slices()) == []
    assert list(Sample(np.zeros((3, 4, 5)), np.zeros((3, 4, 5), int)).painted_slices()) == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"image": np.zeros((4, 4)), "labels": np.zeros((4, 5), int)}, "differ in shape"),
        ({"image": np.zeros((4, 4)), "labels": np.zeros((4, 4))}, "whole numbers"),
        ({"image": np.zeros((4, 4)), "labels": np.full((4, 4), -1)}, "negative"),
        ({"image": np.zeros((4, 4), complex)}, "complex128"),
        ({"image": np.zeros((0, 4))}, "empty"),
        ({"image": np.zeros(4)}, "not an image"),
        ({"image": np.zeros((2, 3, 4, 5))}, "not an image"),
        ({"image": np.zeros((4, 4)), "axes": "ZYX"}, "2 axes but"),
        ({"image": np.zeros((4, 4)), "spacing": (1.0,)}, "2 positive numbers"),
        ({"image": np.zeros((4, 4)), "spacing": (1.0, 0.0)}, "2 positive numbers"),
        ({"image": np.zeros((4, 4)), "spacing": (1.0, float("nan"))}, "2 positive numbers"),
    ],
)
def test_what_cannot_be_a_sample_is_refused_by_name(settings, reason):
    with pytest.raises(InputError, match=reason) as caught:
        Sample(**settings, name="slice 7")
    assert "slice 7" in str(caught.value)
