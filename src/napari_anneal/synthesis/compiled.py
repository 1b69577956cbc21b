"""The one way kernels of this package are compiled: without the GIL, and kept on disk where the disk lets us."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

__all__ = ["compiled"]

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(kernel: Kernel) -> Kernel:
    """Compile a kernel on its first call; later processes load it from numba's cache."""
    try:
        fast: Kernel = njit(cache=True, nogil=True)(kernel)
    except RuntimeError:
        # A read-only installation and no home folder: compiling again each time beats not working.
        fast = njit(nogil=True)(kernel)
    return fast
