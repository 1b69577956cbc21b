"""What the makers of grains and of objects hand to `synthesize`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Parts"]


@dataclass(frozen=True, eq=False)
class Parts:
    """Arrays of a microstructure in the recipe's shape; see `Microstructure` for their meaning."""

    image: npt.NDArray[np.float32]
    grains: npt.NDArray[np.int32]
    distance: npt.NDArray[np.float32]
    phase: npt.NDArray[np.uint8]
    seeds: npt.NDArray[np.float64]
