"""What every test shares: the check for the GUI's system packages, threads, and hypothesis without deadlines."""

from __future__ import annotations

import os
import sys

# Before NumPy and torch are imported: the tests' arrays are small, and threads only fight over two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import hypothesis
import pytest
from system_packages import complaint, missing_packages

# On a CI machine the same examples every time: a red run there must be reproducible. Elsewhere new ones, to find more.
hypothesis.settings.register_profile("shared-machine", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("shared-machine")


# Before pytest-qt imports Qt and pytest-xvfb looks for Xvfb: their own errors name a .so file, not what to install.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    missing = missing_packages() if sys.platform.startswith("linux") else []
    if missing:
        raise pytest.UsageError(complaint(missing))
