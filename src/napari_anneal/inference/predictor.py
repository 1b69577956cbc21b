"""A network at work: probabilities of one plane, whole or in tiles, on the device and in the precision chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.cancelling import CancelSignal
from napari_anneal.devices import computing, pick_device, resolve_precision
from napari_anneal.errors import InputError
from napari_anneal.inference.footprint import bytes_per_pixel, memory_budget
from napari_anneal.inference.receptive_field import ReceptiveField, evaluating, measure_receptive_field
from napari_anneal.inference.tiles import Tile, TilePlan, blend_weight, pad_to_stride, plan_tiles

__all__ = ["Cancelled", "Forward", "Predictor"]

# Pixels that may go through the network, over pixels of the image, before more memory is used for larger tiles.
ACCEPTED_OVERHEAD = 1.5
# Activations are half as large; the input, the logits and cast weights are not.
SHARE_IN_16_BITS = 0.6


# A batch of standardised float32 (N, C, Y, X) → probabilities, a float32 tensor (N, K, Y, X) on the CPU.
Forward = Callable[[npt.NDArray[np.float32]], torch.Tensor]


class Cancelled(Exception):
    """The caller asked to stop; never leaves this package."""


class Predictor:
    """Computes class probabilities of planes with one network.

    Parameters
    ----------
    network
        Maps standardised ``(N, C, Y, X)`` to logits ``(N, K, Y, X)``. It is moved to the device and laid out
        channels last; its weights and its mode stay what they are.
    in_channels, n_classes, stride
        C, K, and the number of pixels that Y and X must be multiples of.
    device
        ``None``: the best there is.
    precision
        ``"float32"`` (tiles equal the whole image to 1e-5), ``"bfloat16"``, or ``"auto"``: bfloat16 where the
        processor computes it in hardware (about twice as fast, probabilities good to about 0.01); ``"float16"`` on a
        GPU, else float32.
    """

    def __init__(
        self,
        network: nn.Module,
        in_channels: int,
        n_classes: int,
        stride: int,
        device: str | torch.device | None = None,
        precision: str = "float32",
    ) -> None:
        self.network = network
        self.in_channels, self.n_classes, self.stride = in_channels, n_classes, stride
        self.device = pick_device(device)
        self.dtype = resolve_precision(precision, self.device)

    @cached_property
    def receptive_field(self) -> ReceptiveField | None:
        """What an output depends on (``None``: unbounded), measured once."""
        return measure_receptive_field(self.network, self.in_channels, self.stride)

    @property
    def _reach(self) -> tuple[int, int] | None:
        field = self.receptive_field
        return None if field is None else (field.before, field.after)

    @cached_property
    def _bytes_per_pixel(self) -> float:
        single = bytes_per_pixel(self.network, self.in_channels, self.stride)
        return single * (1.0 if self.dtype is torch.float32 else SHARE_IN_16_BITS)

    def plan(
        self, shape: tuple[int, int], tile: int | str | None = "auto", cut: tuple[int, int] | None = None
    ) -> TilePlan:
        """Plan the tiles of planes of ``shape`` (Y, X); see ``tiles.plan_tiles`` for ``tile`` and ``cut``."""
        if tile is None:
            return plan_tiles(shape, self.stride, None, None, 0)
        if tile != "auto":
            return plan_tiles(shape, self.stride, self._reach, tile, 0, cut)
        height, width = (-(-n // self.stride) * self.stride for n in shape)
        budget, most = memory_budget(self.device)
        if height * width * self._bytes_per_pixel <= budget and cut is None:
            return plan_tiles(shape, self.stride, None, None, 0)
        # A wide receptive field makes small tiles mostly halo: then memory is spent to save time, as far as there is.
        while True:
            plan = plan_tiles(shape, self.stride, self._reach, "auto", int(budget / self._bytes_per_pixel), cut)
            if plan.computed_pixels <= ACCEPTED_OVERHEAD * height * width or 2 * budget > most:
                return plan
            budget *= 2

    @contextmanager
    def session(self, cancel: CancelSignal | None = None) -> Iterator[Forward]:
        """Hold the network ready and give the function that computes tiles.

        That function maps a batch of standardised float32 ``(N, C, Y, X)`` to probabilities, a float32 tensor
        ``(N, K, Y, X)`` on the CPU. With ``cancel``, every layer asks it first: a stop takes effect within a layer, not
        within a tile.

        Raises
        ------
        Cancelled
            From inside the function, once ``cancel`` is set.
        """
        network = self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def ask(*_: Any) -> None:
            if cancel is not None and cancel.is_set():
                raise Cancelled

        def compute(tiles: npt.NDArray[np.float32]) -> torch.Tensor:
            ask()
            given = torch.from_numpy(np.ascontiguousarray(tiles))
            logits = network(given.to(self.device, memory_format=torch.channels_last))
            return torch.softmax(logits.float(), dim=1).cpu()

        layers = [module for module in network.modules() if not any(module.children())]
        hooks = [] if cancel is None else [layer.register_forward_pre_hook(ask) for layer in layers]
        try:
            with evaluating(network), computing(self.device, self.dtype):
                yield compute
        finally:
            for hook in hooks:
                hook.remove()

    def predict(
        self,
        plane: npt.NDArray[np.float32],
        plan: TilePlan,
        compute: Forward,
        on_tile: Callable[[], None] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Probabilities of one plane.

        Parameters
        ----------
        plane
            Standardised ``(C, Y, X)``, any size.
        plan
            From ``plan`` for this size.
        compute
            From ``session``.
        on_tile
            Called after each tile.

        Returns
        -------
        numpy.ndarray
            float32 ``(K, Y, X)``, non-negative, summing to 1 over K.
        """
        return self.predict_planes(plane[np.newaxis], plan, compute, on_tile)[0].numpy()

    def predict_planes(
        self,
        planes: npt.NDArray[np.float32],
        plan: TilePlan,
        compute: Forward,
        on_tile: Callable[[], None] | None = None,
        batch_pixels: int = 0,
    ) -> torch.Tensor:
        """Probabilities of several planes, ``(N, C, Y, X)`` → float32 ``(N, K, Y, X)``; see ``predict``.

        Tiles of equal shape, of one plane or of several, go through the network together as long as a batch has no more
        than ``batch_pixels`` pixels. Which do is decided by the plan, so that the same planes give the same bytes.
        """
        count, _, height, width = planes.shape
        padded = pad_to_stride(planes, self.stride)
        if len(plan) == count == 1:
            result = compute(padded)
            self._check(result)
            if on_tile is not None:
                on_tile()
            return result[:, :, :height, :width]
        total = torch.zeros((count, self.n_classes, *plan.padded), dtype=torch.float32)
        weights = torch.zeros(plan.padded, dtype=torch.float32) if plan.blended else None
        for tiles in self._batches(count, plan, batch_pixels):
            pieces = [padded[n, :, tile.y.computed, tile.x.computed] for n, tile in tiles]
            parts = compute(np.stack(pieces))
            self._check(parts)
            for part, (n, tile) in zip(parts, tiles, strict=True):
                self._place(part, tile, total[n], weights if n == 0 else None, plan.blended)
                if on_tile is not None:
                    on_tile()
        if weights is not None:
            total /= weights
        return total[:, :, :height, :width]

    @staticmethod
    def _batches(count: int, plan: TilePlan, pixels: int) -> Iterator[list[tuple[int, Tile]]]:
        """Tiles of all planes, those of one shape together, in the order in which their shapes come up."""
        shapes: dict[tuple[int, int], list[tuple[int, Tile]]] = {}
        for tile in plan:
            same = shapes.setdefault((tile.y.stop - tile.y.start, tile.x.stop - tile.x.start), [])
            same += [(n, tile) for n in range(count)]
        for (height, width), tiles in shapes.items():
            most = max(1, pixels // (height * width))
            yield from (tiles[i : i + most] for i in range(0, len(tiles), most))

    @staticmethod
    def _place(
        part: torch.Tensor, tile: Tile, total: torch.Tensor, weights: torch.Tensor | None, blended: bool
    ) -> None:
        """Put a tile's result where it belongs; ``weights`` are added up for the first plane only."""
        where = (tile.y.kept, tile.x.kept)
        inner = part[:, tile.y.inside, tile.x.inside]
        if not blended:
            total[:, *where] = inner
            return
        weight = torch.from_numpy(blend_weight(tile))
        total[:, *where] += inner * weight
        if weights is not None:
            weights[where] += weight

    def _check(self, result: torch.Tensor) -> None:
        """Refuse what no class map can be made of, instead of writing it as class 1."""
        if result.shape[1] != self.n_classes:
            raise InputError(
                f"the network gives {result.shape[1]} classes, its card names {self.n_classes}; choose another model."
            )
        if not bool(torch.isfinite(result.sum())):  # of numbers from 0 to 1: finite only if all of them are
            raise InputError(
                "the network gives NaN for this image, although the image has none: its weights or their precision are "
                "at fault; use precision='float32' or another model."
            )
