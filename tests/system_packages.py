"""Which system packages a bare Linux box lacks for the GUI tests, and the one line that installs them."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable

APT = (
    "apt-get install -y xvfb libgl1 libegl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
    "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libdbus-1-3 "
    "libfontconfig1 libglib2.0-0"
)
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
}


def missing_packages(
    load: Callable[[str], object] = ctypes.CDLL, which: Callable[[str], str | None] = shutil.which
) -> list[str]:
    """Debian names of what is missing; Xvfb is not needed where there is a display already."""
    missing = [] if which("Xvfb") or os.environ.get("DISPLAY") else ["xvfb"]
    for library, package in LIBRARIES.items():
        try:
            load(library)
        except OSError:
            missing.append(package)
    return missing


def complaint(missing: list[str]) -> str:
    """What to tell someone whose machine lacks these packages."""
    return (
        f"the GUI tests need system packages that are not installed: {', '.join(missing)}.\n"
        "Qt's offscreen platform has no OpenGL context for the canvas, so the tests run in a virtual display (Xvfb).\n"
        f"On Debian or Ubuntu:\n\n    {APT}\n"
    )
