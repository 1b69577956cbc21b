"""How a run is cut up: everything that is decided before the first block, so that a resumed run or another machine
decides nothing anew (automatic tiles depend on the memory that is free).

A mode is a list of *steps*. Each goes over the stack along one axis and adds the probabilities of its planes to what
the steps before it found. The last goes along Z, because results are kept plane by plane. Of "slices" along Z, that is
the only step there is; else what is in between lies in scratch arrays of chunks as thick as the blocks of the steps
that write and read them.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from napari_anneal.errors import InputError
from napari_anneal.inference.blocks import BlockPlan
from napari_anneal.inference.planes import SLAB_BYTES, Planes
from napari_anneal.inference.predictor import Predictor
from napari_anneal.inference.tiles import TilePlan
from napari_anneal.inference.views import AS_IT_IS, View

__all__ = ["AXES", "MODES", "Layout", "Step", "plan_layout"]

T = TypeVar("T")

MODES = ("slices", "triplanar", "twelve", "context")
AXES = "ZYX"
# The axes of the volume in the order in which a step along an axis sees them: its planes, their rows, their columns.
ORDER = {"Z": (0, 1, 2), "Y": (1, 0, 2), "X": (2, 0, 1)}
# Twelve views of a volume such that turning it by a quarter about Z turns the result: planes along Z in all four turns;
# a quarter about Z exchanges planes along Y and X and mirrors one of them, so these come mirrored, never turned by a
# quarter. (No twelve views of the 24 that there are do as much for all three axes.)
TURNED = tuple(View(False, quarters) for quarters in range(4))
MIRRORED = (AS_IT_IS, View(True, 0), View(False, 2), View(True, 2))

# Planes of a block: so many pixels go through the network at once on a CPU and on a GPU …
BATCH_PIXELS, BATCH_PIXELS_GPU = 1 << 17, 1 << 21
# … but a block is no more than this share of the stack, so that there is progress, and a stop loses little.
LEAST_BLOCKS = 16
# A plane above this many pixels is done in several blocks of this side, a multiple of every stride below it.
LARGE_PLANE, LARGE_SIDE = 1 << 26, 4096
# Probabilities of a block of a step that goes through scratch arrays may take this much.
SCRATCH_BLOCK_BYTES = 1 << 26
COPY_BLOCK_BYTES = 1 << 26
THICKEST, THICKEST_COPY = 16, 64


class Step(BaseModel):
    """One sweep over the stack along an axis.

    ``shape`` and ``size`` (of the stack and of a block) count planes along ``axis`` first. ``views`` is empty for the
    steps that only carry pixels or probabilities from one place to another. ``scaled`` is the plane's size as the
    network sees it; ``tiles`` are for planes of that size, ``turned`` for those turned by a quarter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["copy", "predict", "gather"] = "predict"
    axis: Literal["Z", "Y", "X"] = "Z"
    shape: tuple[int, int, int]
    size: tuple[int, int, int]
    slab: int = 1
    views: tuple[View, ...] = (AS_IT_IS,)
    scaled: tuple[int, int]
    tiles: TilePlan | None = None
    turned: TilePlan | None = None

    @property
    def blocks(self) -> BlockPlan:
        """The blocks of this sweep, along its own axes."""
        return BlockPlan(self.shape, self.size, self.slab)

    @property
    def order(self) -> tuple[int, int, int]:
        """Axes of the volume in the order of this step's."""
        return ORDER[self.axis]

    def along_volume(self, along_step: tuple[T, T, T]) -> tuple[T, T, T]:
        """What belongs to the axes of this step, in the order of those of the volume."""
        z, y, x = (along_step[self.order.index(i)] for i in range(3))
        return z, y, x

    @property
    def passes(self) -> int:
        """Tiles that are computed for one plane."""
        return sum(len(self.plan_for(view)) for view in self.views)

    def plan_for(self, view: View) -> TilePlan:
        """Tiles of a plane in this view."""
        plan = self.turned if view.quarter_turns % 2 else self.tiles
        assert plan is not None
        return plan


class Layout(BaseModel):
    """The steps of a run and what they share; goes through JSON and back unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: str
    steps: tuple[Step, ...]
    combine: Literal["mean", "max"] = "mean"
    context: int = Field(1, ge=1)
    limits: tuple[float, float]
    batch_pixels: int

    @property
    def total_tiles(self) -> int:
        """Tiles of all planes of all steps: what progress is counted in."""
        return sum(step.shape[0] * step.passes for step in self.steps)


def plan_layout(
    predictor: Predictor,
    planes: Planes,
    limits: tuple[float, float],
    tile: int | str | None = "auto",
    mode: str = "slices",
    axis: str = "Z",
    combine: str = "mean",
    context: int = 1,
    model_spacing: tuple[float, ...] | None = None,
) -> Layout:
    """Decide how a volume is segmented.

    Parameters
    ----------
    predictor, planes, limits
        The network, the image, and its grey limits.
    tile, mode, axis, combine
        As in ``Model.segment``.
    context
        Neighbouring slices the network takes as channels, itself included (odd; 1: none).
    model_spacing
        Pixel size (Y, X) to resample planes to; ``None``: as they are.

    Raises
    ------
    InputError
        A setting that is not known, or that this image or model cannot be segmented with.
    """
    _check(planes, mode, axis, combine, context)
    along = {"slices": axis, "context": axis}.get(mode, "XYZ")
    shape, single = planes.stack_shape, along == "Z"
    steps = []
    for a in along:
        views = (TURNED if a == "Z" else MIRRORED) if mode == "twelve" else (AS_IT_IS,)
        steps.append(_predicting(predictor, planes, tile, a, views, model_spacing, single))
    if along[-1] != "Z":
        n, h, w = shape
        steps.append(
            Step(kind="gather", shape=shape, size=(_thickness(predictor, n, h, w), h, w), views=(), scaled=(h, w))
        )
    if along != "Z" and not planes.in_memory:
        # Planes along Y and X would be read from chunks that lie across: the pixels are laid out anew, once.
        n, h, w = shape
        plane_bytes = h * w * planes.channels * planes.dtype.itemsize
        thick = max(1, min(n, THICKEST_COPY, COPY_BLOCK_BYTES // plane_bytes))
        steps.insert(0, Step(kind="copy", shape=shape, size=(thick, h, w), views=(), scaled=(h, w)))
    batch = BATCH_PIXELS_GPU if predictor.device.type == "cuda" else BATCH_PIXELS
    return Layout(
        mode=mode,
        steps=tuple(steps),
        combine=combine,
        context=context,
        limits=limits,
        batch_pixels=batch,
    )


def _check(planes: Planes, mode: str, axis: str, combine: str, context: int) -> None:
    if mode not in MODES:
        raise InputError(f"mode {mode!r} is not known; use {', '.join(map(repr, MODES))}.")
    if axis not in tuple(AXES):
        raise InputError(f"axis {axis!r} is not known; use 'Z', 'Y' or 'X'.")
    if combine not in ("mean", "max"):
        raise InputError(f"combine={combine!r} is not known; use 'mean' or 'max'.")
    if "Z" not in planes.axes and (mode not in ("slices", "context") or axis != "Z"):
        asked = f"mode {mode!r}" if mode != "slices" else f"slicing along {axis}"
        raise InputError(f"{asked} needs a stack, but this is a single image; use mode='slices' along 'Z'.")
    if mode == "context" and context == 1:
        raise InputError(
            "mode 'context' needs a model that was trained with neighbouring slices, and the card of this one names "
            "none; use mode='slices'."
        )
    if mode != "context" and context > 1:
        raise InputError(f"this model takes {context} neighbouring slices at a time; use mode='context'.")
    if axis != "Z" and mode in ("triplanar", "twelve"):
        raise InputError(f"mode {mode!r} goes along all three axes; leave axis out.")


def _predicting(
    predictor: Predictor,
    planes: Planes,
    tile: int | str | None,
    axis: str,
    views: tuple[View, ...],
    model_spacing: tuple[float, ...] | None,
    alone: bool,
) -> Step:
    """The step that predicts planes along one axis."""
    shape = tuple(planes.stack_shape[i] for i in ORDER[axis])
    n, h, w = shape
    scaled = h, w
    if model_spacing is not None:
        scaled = _scaled(planes, axis, (h, w), model_spacing)
    cut, size, slab = None, (_thickness(predictor, n, h, w), h, w), 1
    if alone:
        size = (_depth(predictor, n, scaled), h, w)
        slab = max(size[0], planes.slab // size[0] * size[0])
        large = h * w > LARGE_PLANE or (planes.slab > 1 and planes.slab_bytes > SLAB_BYTES)
        if large and tile is not None and scaled == (h, w) and max(h, w) > LARGE_SIDE:
            side = math.lcm(LARGE_SIDE, predictor.stride)
            cut, size = (side, side), (1, min(side, h), min(side, w))
    tiles = predictor.plan(scaled, tile, cut)
    turned = predictor.plan(scaled[::-1], tile) if any(view.quarter_turns % 2 for view in views) else None
    return Step(
        axis=axis, shape=(n, h, w), size=size, slab=slab, views=views, scaled=scaled, tiles=tiles, turned=turned
    )  # fmt: skip


def _depth(predictor: Predictor, planes: int, plane: tuple[int, int]) -> int:
    """Planes of a block that is written at once."""
    pixels = BATCH_PIXELS_GPU if predictor.device.type == "cuda" else BATCH_PIXELS
    return max(1, min(pixels // math.prod(plane), planes // LEAST_BLOCKS))


def _thickness(predictor: Predictor, n: int, h: int, w: int) -> int:
    """Planes of a block that goes through scratch arrays: thick enough for few chunks, thin enough for memory."""
    return max(1, min(n, THICKEST, SCRATCH_BLOCK_BYTES // (h * w * predictor.n_classes * 4)))


def _scaled(planes: Planes, axis: str, plane: tuple[int, int], spacing: tuple[float, ...]) -> tuple[int, int]:
    """Size of a plane at the pixel size of the model."""
    if planes.spacing is None:
        raise InputError(
            "resampling needs the pixel size of the image, which its file does not say; pass spacing=, in the unit of "
            "the model's."
        )
    own = (1.0, *planes.spacing)[-3:]
    rows, columns = (own[i] for i in ORDER[axis][1:])
    height, width = (max(1, round(n * s / m)) for n, s, m in zip(plane, (rows, columns), spacing[-2:], strict=True))
    return height, width
