"""Packages that only exporting needs: looked for when they are needed, and asked for in a sentence."""

from __future__ import annotations

import importlib.util

from napari_anneal.errors import InputError

__all__ = ["need"]


def need(*modules: str, what: str) -> None:
    """Check that packages are installed.

    Raises
    ------
    InputError
        One is missing; says how all of them are installed.
    """
    missing = [module for module in modules if not _found(module)]
    if missing:
        raise InputError(
            f"{what} export needs {', '.join(missing)}, not installed here; run "
            "pip install 'napari-anneal[export]', or export a plain folder, which needs nothing more."
        )


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that a submodule would be in
        return False
