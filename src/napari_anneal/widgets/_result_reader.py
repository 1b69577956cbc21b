"""Reader for results on disk: labels with classes and colours, probabilities a layer a class, where the image lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.widgets._layers import GROUP_KEY, class_colormap

__all__ = ["get_reader"]

# A layer of levels cannot be painted on, so what fits into memory comes as one.
MOST_BYTES = 256 << 20


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[tuple[Any, ...]]] | None:
    """Return a reader where ``path`` is a result of this package (OME-Zarr, TIFF with class names), else ``None``."""
    from napari_anneal.samples.stored_results import open_stored

    paths = [path] if isinstance(path, str) else list(path)
    return read_results if paths and all(open_stored(one) is not None for one in paths) else None


def read_results(path: str | list[str]) -> list[tuple[Any, ...]]:
    """Layers of results, as napari's readers return them."""
    from napari_anneal.samples.stored_results import open_stored

    layers: list[tuple[Any, ...]] = []
    for one in [path] if isinstance(path, str) else path:
        result = open_stored(one)
        if result is not None:
            layers += _layers(result, _name(Path(one)))
    return layers


def _layers(result: Any, name: str) -> list[tuple[Any, ...]]:
    placed: dict[str, Any] = {}
    dims = len(result.levels[0].shape) - int(result.has_channels)
    if result.spacing is not None:
        placed["scale"] = result.spacing
    if result.translation is not None:
        placed["translate"] = result.translation
    if result.unit is not None:
        placed["units"] = (result.unit,) * dims
    if result.kind == "labels":
        about = {
            "name": name,
            "metadata": {GROUP_KEY: {"classes": list(result.names), "made": "segmentation"}},
            "features": {"index": list(range(len(result.names) + 1)), "class": ["not segmented", *result.names]},
            **({"colormap": class_colormap(result.colours)} if result.colours else {}),
        }
        data, more = _data(result.levels)
        return [(data, {**placed, **about, **more}, "labels")]
    layers = []
    for k, (channel, colour) in enumerate(zip(result.names, result.colours, strict=True)):
        data, more = _data(result.levels, k if result.has_channels else None)
        about = {
            "name": f"{name}: {channel}",
            "contrast_limits": (0.0, 1.0),
            "colormap": ["#000000", colour],
            "blending": "additive",
            "visible": k == 0,
            "metadata": {GROUP_KEY: {"made": "probability" if result.has_channels else "uncertainty"}},
        }
        layers.append((data, {**placed, **about, **more}, "image"))
    return layers


def _data(levels: Any, channel: int | None = None) -> tuple[Any, dict[str, Any]]:
    """An array in memory, or levels that are read as they are shown; and what napari must know of them."""
    parts = levels if channel is None else [_lazy(level)[channel] for level in levels]
    if parts[0].nbytes <= MOST_BYTES:
        values = np.asarray(parts[0])
        return values.astype(np.float32) if values.dtype == np.float16 else values, {}
    if len(parts) == 1:
        return _lazy(parts[0]), {}
    return [_lazy(part) for part in parts], {"multiscale": True}


def _lazy(level: Any) -> Any:
    import dask.array

    return level if isinstance(level, dask.array.Array) else dask.array.from_array(level)


def _name(path: Path) -> str:
    from napari_anneal.samples.image_files import stem

    return stem(path)
