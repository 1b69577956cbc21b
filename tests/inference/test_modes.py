from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.samples.normalisation import intensity_range, standardise

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Scratch data keep probabilities in 65,535ths, once or twice on the way.
CLOSE = 4e-5


def volume(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape, dtype=np.uint8)


def along(model, whole_image, stack: np.ndarray, axis: int, of=lambda plane: [plane], back=None) -> list[np.ndarray]:
    """Probabilities (K, Z, Y, X) of every view of every plane along an axis, by plain forward passes."""
    limits = intensity_range(stack, "ZYX")
    views = []
    for k in range(len(of(stack.take(0, axis)))):
        planes = [whole_image(model, of(stack.take(i, axis))[k], limits) for i in range(stack.shape[axis])]
        planes = planes if back is None else [back[k](plane) for plane in planes]
        views.append(np.stack(planes, axis=1 + axis))
    return views


@few
@given(st.sampled_from("ZYX"), st.tuples(*[st.integers(1, 19)] * 3), st.integers(0, 9))
def test_slices_along_any_axis_are_each_their_own_forward_pass(model, whole_image, axis, shape, seed):
    stack = volume(shape, seed)
    stack.flat[0], stack.flat[-1] = 0, 200 if stack.size > 1 else 0
    if stack.size < 2:
        return
    result = model.segment(stack, axes="ZYX", axis=axis, probabilities=True, tile=16)
    (expected,) = along(model, whole_image, stack, "ZYX".index(axis))
    np.testing.assert_allclose(result.probabilities, expected, atol=CLOSE, rtol=0)
    assert result.labels.shape == stack.shape


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_triplanar_is_the_mean_or_the_maximum_over_the_three_axes(model, whole_image, combine):
    stack = volume((9, 21, 14))
    views = np.stack([along(model, whole_image, stack, axis)[0] for axis in range(3)])
    expected = views.mean(axis=0) if combine == "mean" else views.max(axis=0)
    if combine == "max":
        expected = expected / expected.sum(axis=0)
    result = model.segment(stack, mode="triplanar", combine=combine, probabilities=True, tile=16)
    np.testing.assert_allclose(result.probabilities, expected, atol=CLOSE, rtol=0)
    top = np.sort(expected, axis=0)
    clear = top[-1] - top[-2] > 2 * CLOSE
    assert clear.mean() > 0.9
    assert np.array_equal(result.labels[clear], expected.argmax(axis=0)[clear] + 1)


def test_twelve_directions_are_the_mean_over_twelve_plain_passes(model, whole_image):
    stack = volume((7, 18, 12))
    turned = along(
        model, whole_image, stack, 0,
        lambda plane: [np.rot90(plane, k) for k in range(4)],
        [lambda p, k=k: np.rot90(p, -k, axes=(1, 2)) for k in range(4)],
    )  # fmt: skip
    mirrors = [(), (-1,), (-2,), (-2, -1)]
    mirrored = [
        view
        for axis in (1, 2)
        for view in along(
            model, whole_image, stack, axis,
            lambda plane: [np.flip(plane, m) if m else plane for m in mirrors],
            [lambda p, m=m: np.flip(p, m) if m else p for m in mirrors],
        )
    ]  # fmt: skip
    assert len(turned + mirrored) == 12
    result = model.segment(stack, mode="twelve", probabilities=True)
    np.testing.assert_allclose(result.probabilities, np.mean(turned + mirrored, axis=0), atol=CLOSE, rtol=0)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turning_the_volume_by_a_quarter_turns_what_twelve_directions_give(model, quarters):
    stack = volume((6, 22, 13), seed=3)
    plain = model.segment(stack, mode="twelve", probabilities=True).probabilities
    turned = model.segment(np.rot90(stack, quarters, axes=(1, 2)), mode="twelve", probabilities=True).probabilities
    np.testing.assert_allclose(turned, np.rot90(plain, quarters, axes=(2, 3)), atol=CLOSE, rtol=0)
    slices = model.segment(stack, probabilities=True).probabilities
    other = model.segment(np.rot90(stack, quarters, axes=(1, 2)), probabilities=True).probabilities
    assert np.abs(other - np.rot90(slices, quarters, axes=(2, 3))).max() > 100 * CLOSE  # the test could fail


@pytest.fixture(scope="module")
def context_model(make_model) -> Model:
    plain = make_model(in_channels=3)
    return Model(plain.network, plain.card.model_copy(update={"context": 3}), device="cpu")


@pytest.mark.parametrize("axis", ["Z", "Y"])
@pytest.mark.parametrize("depth", [1, 2, 7])
def test_context_gives_the_network_the_neighbours_as_channels(context_model, axis, depth):
    stack = volume((depth, 19, 11), seed=2)
    limits = intensity_range(stack, "ZYX")
    planes = np.moveaxis(standardise(limits.apply(stack)), "ZYX".index(axis), 0)
    height, width = planes.shape[1:]
    pad = [(0, 0), (0, -height % 8), (0, -width % 8)]
    expected = []
    for i in range(len(planes)):
        three = np.stack([planes[max(0, i - 1)], planes[i], planes[min(len(planes) - 1, i + 1)]])
        padded = torch.from_numpy(np.pad(three, pad, mode="reflect"))
        with torch.no_grad():
            logits = context_model.network.eval()(padded[None])
        expected.append(torch.softmax(logits, 1)[0, :, :height, :width].numpy())
    result = context_model.segment(stack, axes="ZYX", mode="context", axis=axis, probabilities=True)
    expected = np.stack(expected, axis=1 + "ZYX".index(axis))
    np.testing.assert_allclose(result.probabilities, expected, atol=CLOSE, rtol=0)
    if axis == "Z":
        alone = context_model.segment(stack, axes="ZYX", mode="context", only=depth // 2)
        np.testing.assert_allclose(alone.probabilities, expected[:, depth // 2], atol=CLOSE, rtol=0)


def test_a_model_of_neighbouring_slices_says_which_mode_it_needs(context_model):
    with pytest.raises(InputError, match="takes 3 neighbouring slices at a time; use mode='context'"):
        context_model.segment(volume((4, 16, 16)))


def test_planes_of_voxels_that_are_longer_one_way_are_brought_to_the_pixel_size_of_the_model(make_model, whole_image):
    plain = make_model()
    model = Model(plain.network, plain.card.model_copy(update={"spacing": (0.5, 0.5)}), device="cpu")
    stack = volume((8, 20, 12), seed=4)
    result = model.segment(stack, axis="Y", spacing=(1.0, 0.5, 0.25), resample=True, probabilities=True)
    limits = intensity_range(stack, "ZYX")
    expected = []
    for y in range(20):
        plane = torch.from_numpy(standardise(limits.apply(stack[:, y])))[None, None]
        scaled = torch.nn.functional.interpolate(plane, (16, 6), mode="bilinear", antialias=True)[0, 0]
        padded = torch.from_numpy(np.pad(scaled.numpy(), [(0, 0), (0, 2)], mode="reflect"))[None, None]
        with torch.no_grad():
            found = torch.softmax(model.network.eval()(padded), 1)[:, :, :16, :6]
        expected.append(torch.nn.functional.interpolate(found, (8, 12), mode="bilinear")[0].numpy())
    np.testing.assert_allclose(result.probabilities, np.stack(expected, axis=2), atol=CLOSE, rtol=0)
    same = model.segment(stack, spacing=(1.0, 0.5, 0.5), resample=True)
    assert np.array_equal(same.labels, model.segment(stack).labels)
    with pytest.raises(InputError, match="resampling needs the pixel size of the image"):
        model.segment(stack, resample=True)


def test_one_slice_looks_as_it_does_in_the_whole_stack(model):
    stack = volume((9, 20, 20))
    stack[4] //= 8
    whole = model.segment(stack, probabilities=True)
    alone = model.segment(stack, only=4, spacing=(2.0, 0.5, 0.5))
    np.testing.assert_allclose(alone.probabilities, whole.probabilities[:, 4], atol=1e-6)
    assert (alone.done, alone.total, alone.spacing) == (1, 1, (0.5, 0.5))


@pytest.mark.parametrize("mode", ["slices", "triplanar"])
def test_blocks_are_told_of_once_each_and_hold_what_the_result_holds(model, mode, tmp_path):
    stack = volume((40, 16, 17))
    seen = np.zeros(stack.shape, np.uint8)

    def on_block(block, labels, probabilities):
        assert not seen[block.where].any()
        seen[block.where] = labels
        assert probabilities.shape == (3, *block.shape)
        assert np.array_equal(probabilities.argmax(axis=0) + 1, labels)

    result = model.segment(stack, mode=mode, on_block=on_block, probabilities=True)
    assert np.array_equal(seen, result.labels)


def test_the_slice_in_view_comes_first_and_then_its_neighbours(model):
    order: list[int] = []
    stack = volume((12, 16, 16))
    model.segment(stack, first=7, on_block=lambda block, labels, _: order.append(block.start[0]))
    assert sorted(order) == list(range(12))
    assert [abs(z - 7) for z in order] == sorted(abs(z - 7) for z in range(12))


class Chunked:
    """A chunked array that counts how often each of its chunks is read."""

    def __init__(self, data: np.ndarray, chunks: tuple[int, int, int]) -> None:
        self.data, self.chunks = data, chunks
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        self.reads = np.zeros([-(-n // c) for n, c in zip(data.shape, chunks, strict=True)], int)

    def __getitem__(self, index):
        ranges = [
            range(i, i + 1) if isinstance(i, int) else range(n)[i] for i, n in zip(index, self.shape, strict=True)
        ]
        self.reads[np.ix_(*[sorted({k // c for k in r}) for r, c in zip(ranges, self.chunks, strict=True)])] += 1
        return self.data[index]


@pytest.mark.parametrize("chunks", [(1, 16, 16), (4, 7, 9), (5, 40, 40), (40, 40, 40)])
@pytest.mark.parametrize("mode", ["slices", "triplanar"])
def test_every_chunk_is_read_once_beside_what_the_grey_limits_need(model, chunks, mode):
    stack = Chunked(volume((40, 20, 22)), chunks)
    model.segment(np.asarray(stack.data), axes="ZYX")
    from napari_anneal.inference.planes import open_planes

    planes, _ = open_planes(stack, "ZYX", None, 1)
    planes.intensity_limits()
    for_limits = stack.reads.copy()
    assert for_limits.max() == 1
    stack.reads[:] = 0
    model.segment(stack, axes="ZYX", mode=mode)
    once = 1 if chunks[0] == 1 else 1 + for_limits  # planes of their own are kept, slabs are read again
    assert (stack.reads <= once).all()
    assert stack.reads.min() >= 1


@few
@given(st.data(), st.tuples(*[st.integers(1, 24)] * 3), st.sampled_from(["dask", "zarr"]))
def test_chunks_of_any_shape_give_the_same_labels(model, data, shape, kind):
    stack = volume(shape)
    if stack.min() == stack.max():
        return
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    lazy = da.from_array(stack, chunks=chunks) if kind == "dask" else zarr.array(stack, chunks=chunks)
    mode = data.draw(st.sampled_from(["slices", "triplanar"]))
    result = model.segment(lazy, axes="ZYX", mode=mode)
    assert np.array_equal(result.labels, model.segment(stack, axes="ZYX", mode=mode).labels)
