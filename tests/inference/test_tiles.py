from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anneal.errors import InputError
from napari_anneal.inference.tiles import blend_weight, pad_to_stride, plan_tiles

sizes = st.integers(1, 400)
strides = st.sampled_from([1, 4, 8, 32])


@given(sizes, sizes, strides, st.integers(0, 5), st.integers(0, 5), st.integers(1, 200))
def test_cores_cover_every_pixel_once_and_hold_their_halo(height, width, stride, before, after, tile):
    plan = plan_tiles((height, width), stride, (before * stride, after * stride), tile, 0)
    count = np.zeros(plan.padded, dtype=int)
    for part in plan:
        count[part.y.kept, part.x.kept] += 1
        for span, length in ((part.y, plan.padded[0]), (part.x, plan.padded[1])):
            assert span.start % stride == span.stop % stride == 0
            assert span.start == max(0, span.keep_start - before * stride)
            assert span.stop == min(length, span.keep_stop + after * stride)
    assert (count == 1).all()
    assert all(0 <= p - n < stride for p, n in zip(plan.padded, (height, width), strict=True))


@given(sizes, sizes, strides, st.integers(1, 200))
def test_blended_tiles_cover_every_pixel_with_positive_weight_and_are_equally_large(height, width, stride, tile):
    plan = plan_tiles((height, width), stride, None, tile, 0)
    weight = np.zeros(plan.padded)
    for part in plan:
        w = blend_weight(part)
        assert (w > 0).all()
        weight[part.y.kept, part.x.kept] += w
    assert (weight > 0).all()
    assert len({(p.y.stop - p.y.start, p.x.stop - p.x.start) for p in plan}) == 1


def test_neighbouring_blended_tiles_take_over_smoothly():
    plan = plan_tiles((64, 1024), 8, None, 256, 0)
    left, right = (blend_weight(part)[32] for part in list(plan)[:2])
    overlap = plan.xs[0].stop - plan.xs[1].start
    share = left[-overlap:] / (left[-overlap:] + right[:overlap])
    assert overlap == 64
    assert (np.diff(share) < 0).all()
    assert share[0] > 0.999
    assert share[-1] < 0.001


@settings(deadline=None)
@given(sizes, sizes, strides, st.integers(0, 4), st.integers(200, 60_000))
def test_auto_stays_within_the_pixels_allowed_or_is_the_smallest_core(height, width, stride, reach, allowed):
    plan = plan_tiles((height, width), stride, (reach * stride, reach * stride), "auto", allowed)
    largest = max((p.y.stop - p.y.start) * (p.x.stop - p.x.start) for p in plan)
    smallest = all(p.y.keep_stop - p.y.keep_start == p.x.keep_stop - p.x.keep_start == stride for p in plan)
    assert largest <= allowed or smallest
    if np.prod(plan.padded) <= allowed:
        assert len(plan) == 1


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 3), st.integers(9, 200))
def test_auto_computes_as_few_pixels_as_any_grid_of_equal_cores(rows, columns, reach, allowed):
    """Brute force over all core sizes; the planner may only look at even divisions, and must still not lose."""
    halo = (reach, reach)
    if (1 + 2 * reach) ** 2 > allowed:
        return
    plan = plan_tiles((rows, columns), 1, halo, "auto", allowed)
    best = min(
        candidate
        for y in range(1, rows + 1)
        for x in range(1, columns + 1)
        if (candidate := _cost(rows, columns, y, x, reach, allowed)) is not None
    )
    assert plan.computed_pixels <= best


def _cost(rows: int, columns: int, y: int, x: int, reach: int, allowed: int) -> int | None:
    def lengths(n: int, core: int) -> list[int]:
        return [min(n, a + core + reach) - max(0, a - reach) for a in range(0, n, core)]

    if min(rows, y + 2 * reach) * min(columns, x + 2 * reach) > allowed:
        return None
    return sum(lengths(rows, y)) * sum(lengths(columns, x))


@given(st.integers(1, 50), st.integers(1, 50), strides)
def test_padding_reflects_at_the_far_edges_only(height, width, stride):
    plane = np.arange(height * width, dtype=np.float32).reshape(1, height, width)
    padded = pad_to_stride(plane, stride)
    assert padded.shape[1] % stride == padded.shape[2] % stride == 0
    assert np.array_equal(padded[:, :height, :width], plane)
    if height > 1 and padded.shape[1] > height:
        assert np.array_equal(padded[:, height, :width], plane[:, height - 2])


@pytest.mark.parametrize("tile", [0, -3, True, "large", 2.5])
def test_a_tile_that_is_no_size_is_refused(tile):
    with pytest.raises(InputError, match="not a tile size"):
        plan_tiles((10, 10), 2, (2, 2), tile, 100)
