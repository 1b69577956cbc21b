from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_anneal.errors import InputError


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (4, 30, 26), dtype=np.uint16)


def test_numpy_dask_zarr_pyramids_and_channel_first_give_the_same_labels(model, stack, tmp_path):
    stored = zarr.create_array(tmp_path / "raw.zarr", data=stack, chunks=(1, 16, 16))
    expected = model.segment(stack).labels
    for image in (
        da.from_array(stack, chunks=(2, 7, 9)),
        stored,
        [stack, stack[:, ::2, ::2]],
        (da.from_array(stack), da.from_array(stack[:, ::2, ::2])),
        np.repeat(stack[..., None], 3, axis=-1),
        np.repeat(stack[..., None], 4, axis=-1),
    ):
        assert np.array_equal(model.segment(image).labels, expected)
    channels_first = np.repeat(stack[:, None], 3, axis=1)
    assert np.array_equal(model.segment(channels_first, axes="ZCYX").labels, expected)


def test_a_nested_list_of_numbers_is_an_image(model):
    numbers = [[0, 1, 2], [5, 4, 3]]
    assert np.array_equal(model.segment(numbers).labels, model.segment(np.array(numbers)).labels)


def test_a_lazy_stack_is_read_one_slice_at_a_time(model, stack):
    class Watched:
        shape, dtype, ndim = stack.shape, stack.dtype, stack.ndim

        def __init__(self) -> None:
            self.reads: list[tuple[int, ...]] = []

        def __getitem__(self, index):
            self.reads.append(np.shape(stack[index]))
            return stack[index]

    image = Watched()
    model.segment(image, axes="ZYX")
    assert set(image.reads) == {stack.shape[1:]}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_anywhere_names_its_slice(model, bad):
    stack = np.random.default_rng(0).random((40, 20, 20)).astype(np.float32)
    stack[23, 19, 19] = bad  # a slice that the intensity limits are not read from
    with pytest.raises(InputError, match="slice 23 of the image holds NaN or infinite pixels"):
        model.segment(stack)
    with pytest.raises(InputError, match="the image holds NaN or infinite pixels"):
        model.segment(stack[23])


def test_a_value_beyond_float32_counts_as_infinite(model):
    image = np.random.default_rng(0).random((20, 20))
    image[3, 3] = 1e300
    with pytest.raises(InputError, match="infinite"):
        model.segment(image)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_constant_image_is_refused(model, value):
    with pytest.raises(InputError, match="constant"):
        model.segment(np.full((20, 20), value, np.uint16))


def test_a_constant_slice_inside_a_stack_is_segmented(model, stack):
    stack[2] = 5
    assert model.segment(stack).labels[2].min() >= 1


def test_colour_and_grey_are_not_mixed_up(model, colour_model):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="colour image but the model takes grey"):
        model.segment(colour)
    with pytest.raises(InputError, match="is grey but the model was trained on images with 3 channels"):
        colour_model.segment(colour[..., 0])
    stack = np.repeat(rng.integers(0, 255, (3, 20, 20, 1), dtype=np.uint8), 3, axis=-1)
    stack[2, 5, 5, 0] ^= 1
    with pytest.raises(InputError, match="slice 2 of the image is a colour image"):
        model.segment(stack)


def test_the_last_axis_of_three_can_be_declared_space(model):
    image = np.random.default_rng(0).integers(0, 255, (5, 20, 3), dtype=np.uint8)
    assert model.segment(image, axes="ZYX").labels.shape == (5, 20, 3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 5)),
        np.zeros(5),
        np.zeros((2, 2, 2, 2, 2)),
        np.zeros((8, 8), complex),
        np.array([["a", "b"]]),
        [],
        [[1, 2], [3]],
        None,
        object(),
        7,
        [np.zeros((4, 4)), np.zeros((4, 4))],
    ],
    ids=["empty", "1D", "5D", "complex", "text", "no levels", "ragged", "None", "object", "number", "slices"],
)
def test_what_is_no_image_gets_a_sentence(model, image):
    with pytest.raises(InputError) as error:
        model.segment(image)
    assert len(str(error.value)) > 20


def test_five_channels_are_refused_with_a_way_out(model):
    with pytest.raises(InputError, match="5 channels but the model takes 1"):
        model.segment(np.random.default_rng(0).random((20, 20, 5)), axes="YXC")


def test_a_slice_that_cannot_be_read_is_named(model, stack):
    class Broken:
        shape, dtype, ndim = stack.shape, stack.dtype, stack.ndim

        def __getitem__(self, index):
            if index[0] == 2:
                raise OSError("input/output error")
            return stack[index]

    with pytest.raises(InputError, match="slice 2 of the image cannot be read"):
        model.segment(Broken(), axes="ZYX")


def test_a_slice_of_another_size_is_named(model, stack):
    class Uneven:
        shape, dtype, ndim = stack.shape, stack.dtype, stack.ndim

        def __getitem__(self, index):
            return stack[index][:-1] if index[0] == 1 else stack[index]

    with pytest.raises(InputError, match="slice 1 of the image has shape"):
        model.segment(Uneven(), axes="ZYX")


def test_spacing_goes_through(model, stack):
    assert model.segment(stack, spacing=(2, 0.5, 0.5)).spacing == (2.0, 0.5, 0.5)
    assert model.segment(stack).spacing is None


def test_files_of_every_kind_give_the_same_labels(model, stack, tmp_path, monkeypatch):
    import h5py
    import tifffile

    import napari_anneal.samples.image_files as image_files

    monkeypatch.setattr(image_files, "LAZY_BYTES", 100)
    tifffile.imwrite(tmp_path / "plain.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "small.tif", stack, photometric="minisblack", compression="zlib")
    np.save(tmp_path / "stack.npy", stack)
    (tmp_path / "folder").mkdir()
    for z, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / "folder" / f"{z}.tif", plane, photometric="minisblack")
    zarr.create_array(tmp_path / "a.zarr", data=stack, chunks=(3, 8, 9))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=stack, chunks=(2, 30, 5))
    for mode in ("slices", "triplanar"):
        expected = model.segment(stack, mode=mode).labels
        for name in ("plain.tif", "small.tif", "stack.npy", "folder", "a.zarr", "a.h5"):
            assert np.array_equal(model.segment(tmp_path / name, axes="ZYX", mode=mode).labels, expected), name
    with pytest.raises(InputError, match="choose within a file"):
        model.segment(stack, channel=0)
