"""Reader for model bundles: one dropped on the viewer becomes a model of the session, not a layer."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["get_reader"]

CARD = "bundle.json"


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[tuple[Any, ...]]] | None:
    """Return a reader where ``path`` is a model bundle (folder, ``.zip`` or ``bundle.json``), else ``None``."""
    paths = [path] if isinstance(path, str) else list(path)
    return read_bundles if paths and all(looks_like_bundle(Path(p)) for p in paths) else None


def looks_like_bundle(path: Path) -> bool:
    """Whether there is a bundle's card (decided without torch: napari asks this for every folder that is dropped)."""
    if path.is_dir():
        return (path / CARD).is_file()
    if path.name == CARD:
        return path.is_file()
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == CARD for name in archive.namelist())
    return False


def read_bundles(path: str | list[str]) -> list[tuple[Any, ...]]:
    """Open bundles and register them; there is no layer to add, which npe2 writes as ``[(None,)]``."""
    paths = [path] if isinstance(path, str) else list(path)
    for one in paths:
        place = Path(one)
        open_bundle(place.parent if place.name == CARD else place)
    return [(None,)]


def open_bundle(path: Path) -> None:
    """Check and load a bundle off the GUI thread (on this thread where there is no application), then say so."""
    from qtpy.QtCore import QCoreApplication

    def work(report: Any, cancel: Any) -> Any:
        from napari_anneal.widgets._torch_beside_gl import load_triton_apart

        load_triton_apart()
        from napari_anneal.inference import load_model

        return load_model(path, precision="auto")

    if QCoreApplication.instance() is None:
        register(path, work(None, None))
        return
    from napari_anneal.widgets._worker import Job

    job = Job()
    _opening.append(job)  # nothing else holds it until it has ended
    job.done.connect(lambda model: register(path, model))
    job.failed.connect(complain)
    job.ended.connect(lambda: _opening.remove(job))
    job.start(work, "open bundle")


_opening: list[Any] = []


def register(path: Path, model: Any) -> None:
    """Offer the model in *Segment*, and tell the user."""
    from napari.utils.notifications import show_info

    from napari_anneal.widgets._session_models import session_models

    name = session_models().add(model.card.name or path.stem, model)
    show_info(f"Model “{name}” ({', '.join(model.classes)}) is ready: Plugins › napari-anneal › Segment.")


def complain(text: str) -> None:
    """Show why a bundle was not opened."""
    from napari.utils.notifications import show_error

    show_error(text)
