"""The folder of a run: empty at its beginning, created once everything else is good, found again to go on with."""

from __future__ import annotations

import os
from pathlib import Path

from napari_anneal.errors import InputError, OutputError
from napari_anneal.training.checkpoint import has_checkpoint

__all__ = ["create_folder", "folder_to_resume", "unused_or_refused"]


def unused_or_refused(out: str | os.PathLike[str] | None) -> Path | None:
    """Refuse an output folder that holds something."""
    if out is None:
        return None
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} already exists and is not empty; choose another folder for this run.")
    return folder


def folder_to_resume(out: str | os.PathLike[str] | None) -> Path:
    """Folder of a run that can be gone on with."""
    if out is None:
        raise InputError("there is nothing to resume without a folder; say which run (out) is to go on.")
    folder = Path(out)
    if not has_checkpoint(folder):
        if (folder / "model").exists():
            raise InputError(
                f"the run in {folder} has come to its end, so there is nothing to resume; its model is there."
            )
        raise InputError(f"there is no checkpoint in {folder} to go on from; start the run without resuming.")
    return folder


def create_folder(folder: Path | None) -> None:
    """Create the output folder, once everything else has been found good."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be created ({error.strerror}); choose another.") from error
