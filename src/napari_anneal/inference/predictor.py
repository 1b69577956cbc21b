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

__all__ = ["Cancelled", "Predictor"]

# Pixels that may go through the network, over pixels of the image, before more memory is used for larger tiles.
ACCEPTED_OVERHEAD = 1.5
# Activations are half as large; the input, the logits and cast weights are not.
SHARE_IN_16_BITS = 0.6


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

    def plan(self, shape: tuple[int, int], tile: int | str | None = "auto") -> TilePlan:
        """Plan the tiles of planes of ``shape`` (Y, X); see ``tiles.plan_tiles`` for ``tile``."""
        if tile is None:
            return plan_tiles(shape, self.stride, None, None, 0)
        if tile != "auto":
            return plan_tiles(shape, self.stride, self._reach, tile, 0)
        height, width = (-(-n // self.stride) * self.stride for n in shape)
        budget, most = memory_budget(self.device)
        if height * width * self._bytes_per_pixel <= budget:
            return plan_tiles(shape, self.stride, None, None, 0)
        # A wide receptive field makes small tiles mostly halo: then memory is spent to save time, as far as there is.
        while True:
            plan = plan_tiles(shape, self.stride, self._reach, "auto", int(budget / self._bytes_per_pixel))
            if plan.computed_pixels <= ACCEPTED_OVERHEAD * height * width or 2 * budget > most:
                return plan
            budget *= 2

    @contextmanager
    def session(self, cancel: CancelSignal | None = None) -> Iterator[Callable[[npt.NDArray[np.float32]], Any]]:
        """Hold the network ready and give the function that computes one tile.

        That function maps standardised float32 ``(C, Y, X)`` to probabilities, a float32 tensor ``(K, Y, X)``
        on the CPU. With ``cancel``, every layer asks it first: a stop takes effect within a layer, not within
        a tile.

        Raises
        ------
        Cancelled
            From inside the function, once ``cancel`` is set.
        """
        network = self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def ask(*_: Any) -> None:
            if cancel is not None and cancel.is_set():
                raise Cancelled

        def compute(tile: npt.NDArray[np.float32]) -> torch.Tensor:
            ask()
            given = torch.from_numpy(np.ascontiguousarray(tile)[np.newaxis])
            logits = network(given.to(self.device, memory_format=torch.channels_last))
            return torch.softmax(logits[0].float(), dim=0).cpu()

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
        compute: Callable[[npt.NDArray[np.float32]], torch.Tensor],
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
        height, width = plane.shape[1:]
        padded = pad_to_stride(plane, self.stride)
        if len(plan) == 1:
            result = compute(padded).numpy()
            self._check(result)
            if on_tile is not None:
                on_tile()
            return result[:, :height, :width]
        total = np.zeros((self.n_classes, *plan.padded), dtype=np.float32)
        weights = np.zeros(plan.padded, dtype=np.float32) if plan.blended else None
        for tile in plan:
            part = compute(padded[:, tile.y.computed, tile.x.computed]).numpy()
            self._check(part)
            self._place(part, tile, total, weights)
            if on_tile is not None:
                on_tile()
        if weights is not None:
            total /= weights
        return total[:, :height, :width]

    @staticmethod
    def _place(
        part: npt.NDArray[np.float32],
        tile: Tile,
        total: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float32] | None,
    ) -> None:
        """Put a tile's result where it belongs."""
        where = (tile.y.kept, tile.x.kept)
        inner = part[:, tile.y.inside, tile.x.inside]
        if weights is None:
            total[:, *where] = inner
            return
        weight = blend_weight(tile)
        total[:, *where] += inner * weight
        weights[where] += weight

    def _check(self, result: npt.NDArray[np.float32]) -> None:
        """Refuse what no class map can be made of, instead of writing it as class 1."""
        if result.shape[0] != self.n_classes:
            raise InputError(
                f"the network gives {result.shape[0]} classes, its card names {self.n_classes}; choose another model."
            )
        if not np.isfinite(result).all():
            raise InputError(
                "the network gives NaN for this image, although the image has none: its weights or their precision are "
                "at fault; use precision='float32' or another model."
            )
