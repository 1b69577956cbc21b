"""The public names: all there, loaded on first use, and quick to import."""

import subprocess
import sys

import pytest

import napari_anneal


def fresh(code):
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


@pytest.mark.parametrize("name", [n for n in napari_anneal.__all__ if n != "__version__"])
def test_every_public_name_loads(name):
    assert getattr(napari_anneal, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = napari_anneal.nonsense


def test_import_brings_in_neither_torch_nor_qt_and_takes_under_0_3_seconds():
    code = (
        "import sys, time; t = time.perf_counter(); import napari_anneal; t = time.perf_counter() - t;"
        "heavy = {'torch', 'qtpy', 'napari', 'numpy', 'PyQt6'} & set(sys.modules); print(sorted(heavy), t < 0.3)"
    )
    assert fresh(code) == "[] True"


def test_terminal_help_does_not_load_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from napari_anneal.cli import app;"
        "r = CliRunner().invoke(app, ['train', '--help']); print(r.exit_code, 'torch' in sys.modules)"
    )
    assert fresh(code) == "0 False"


def test_core_works_without_qt_or_napari():
    code = (
        "import sys; sys.modules['napari'] = sys.modules['qtpy'] = None;"
        "import napari_anneal as na; [getattr(na, n) for n in na.__all__]; print('ok')"
    )
    assert fresh(code) == "ok"
