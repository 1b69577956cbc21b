"""A machine without the GUI's libraries stops the whole run with the line that installs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from system_packages import APT, LIBRARIES, complaint, missing_packages


def test_nothing_is_missing_here() -> None:
    assert missing_packages() == []


def test_every_missing_library_is_named(monkeypatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)

    def absent(name: str) -> object:
        raise OSError(name)

    assert missing_packages(absent, lambda name: None) == ["xvfb", *LIBRARIES.values()]
    assert all(package in APT for package in LIBRARIES.values())
    assert APT in complaint(["xvfb"])


def test_a_run_on_a_bare_machine_ends_with_the_apt_line_and_no_test_result(tmp_path: Path) -> None:
    # A copy of the two files in a folder of its own, with a loader that finds nothing, as on a bare machine.
    here = Path(__file__).parent
    (tmp_path / "conftest.py").write_text((here / "conftest.py").read_text())
    source = (here / "system_packages.py").read_text()
    (tmp_path / "system_packages.py").write_text(source.replace('"libGL.so.1"', '"libNoSuchLibrary.so.1"'))
    (tmp_path / "test_any.py").write_text("def test_any():\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode not in (0, 5)
    assert APT in done.stderr + done.stdout
    assert "libgl1" in done.stderr + done.stdout
    assert "passed" not in done.stdout
