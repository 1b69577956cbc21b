"""Objects in their places: what every form hands to its appearance and to `make_objects`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Laid"]


@dataclass(frozen=True, eq=False)
class Laid:
    """Geometry of objects, in (Z, Y, X) with one plane for 2D.

    ``outside`` is the distance (px) to the nearest outline, negative in objects. ``number`` is 1 in the matrix and
    k + 2 where object k shows, whose centre is ``seeds[k]`` (px) and whose contrast is ``show[k]`` times the common.
    ``distance`` is what the microstructure reports, where that is not the distance to the outlines.
    """

    outside: npt.NDArray[np.float32]
    number: npt.NDArray[np.int32]
    seeds: npt.NDArray[np.float64]
    show: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float32] | None = None
