"""Make it safe to load torch in a process that draws with OpenGL already.

On Linux, Mesa's drivers bring libLLVM with global symbols. torch imports triton, whose library has an LLVM of its own;
loaded after Mesa's it takes its symbols from there and the process dies of a segmentation fault (seen with LLVM 15 and
triton of torch 2.14: every time a canvas was shown before torch was first imported). Loading triton first with
``RTLD_DEEPBIND`` makes its library prefer its own symbols.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path

__all__ = ["load_triton_apart"]


def load_triton_apart() -> None:
    """Load triton with its own symbols where Mesa's LLVM is in the process; call before torch is first imported."""
    if "triton" in sys.modules or not llvm_is_loaded() or not hasattr(os, "RTLD_DEEPBIND"):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        # Not installed with CPU builds of torch: then there is nothing to guard against.
        with contextlib.suppress(ImportError):
            importlib.import_module("triton")
    finally:
        sys.setdlopenflags(flags)


def llvm_is_loaded() -> bool:
    """Whether some library has brought an LLVM of the system."""
    try:
        return "libLLVM" in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
