"""Volumes larger than memory: grains, boundaries and image streamed slab by slab to OME-Zarr 0.5.

Seeds and cells are held whole (they are small); pixels never are. What is written depends on the recipe and the seed
alone, not on how it is cut. The store takes its name when it is complete; until then it is a ``.partial`` beside it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import AnnealError, InputError, OutputError
from napari_anneal.synthesis.memory import refuse_more_memory
from napari_anneal.synthesis.microstructure import check_seed
from napari_anneal.synthesis.recipe import MicrostructureRecipe
from napari_anneal.synthesis.recipe_file import RecipeFile

__all__ = ["synthesize_volume"]

SUFFIXES = (".ome.zarr", ".zarr")
CHUNKS = (32, 256, 256)
# On disk, compressed: noisy 8-bit image, labels and classes; and the distance, whose low bits are noise.
BYTES_PER_VOXEL, BYTES_PER_DISTANCE = 1.5, 4.0
# In memory, of the slab at work: labels, distance and image, twice where they are copied.
BYTES_PER_SLAB_VOXEL = 40
# Of a seed: what finding its cell takes, planes to about 15.5 neighbours, tables of the appearance.
BYTES_PER_SEED = 12_000


def synthesize_volume(
    recipe: MicrostructureRecipe,
    seed: int,
    out: str | Path,
    *,
    chunks: tuple[int, int, int] = CHUNKS,
    distance: bool = False,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
    overwrite: bool = False,
) -> Path | None:
    """Make a volume of grains on disk, of any size.

    The store holds the image (uint8, rungs 1 … 4), ``labels/grains`` (int32, 1 … N, as `synthesize` numbers them),
    ``labels/boundary`` (uint8, 1 grain and 2 boundary) and, if asked for, ``distance`` (float32 px): each a pyramid
    with the recipe's spacing. Its attribute ``napari-anneal`` holds the recipe and the seed, which make it again.
    Geometry and, up to rung 3, grey levels are those of `synthesize`, where that has the memory; at rung 4 the noise
    is another draw.

    Parameters
    ----------
    recipe
        ``shape`` ``(Z, Y, X)``; kind 'grains', straight boundaries, rung 4 at most.
    seed
        Whole number ≥ 0.
    out
        ``.ome.zarr`` or ``.zarr``; it must not exist, unless ``overwrite``.
    chunks
        Of the arrays, ``(Z, Y, X)``; as many planes as a chunk has are in memory at a time.
    distance
        Write the distance to the nearest boundary too.
    progress
        Called with (finished planes, all planes).
    cancel
        Asked before every slab; when it is set, nothing is kept.
    overwrite
        Replace an earlier store, when the new one is complete.

    Returns
    -------
    Path or None
        ``out``; ``None`` after a cancel.

    Raises
    ------
    InputError
        A recipe that cannot be streamed, or one that needs more memory than there is (says how much).
    OutputError
        ``out`` is in use, the disk has too little space (says how much is needed), or it cannot be written; nothing
        is left of the new store then.
    """
    from napari_anneal.samples.placing import put_in_place, refuse_full_disk, remove, why_not_written

    out = Path(out)
    check_seed(seed)
    _refuse_unstreamable(recipe)
    if len(chunks) != 3 or any(isinstance(c, bool) or not isinstance(c, int) or c < 1 for c in chunks):
        raise InputError(f"chunks = {chunks!r} cannot be used; give three whole numbers, 1 or more.")
    partial = _places(out, overwrite)
    what = f"a streamed volume of shape {recipe.shape}"
    refuse_more_memory(_memory_needed(recipe, chunks[0]), what, "thinner chunks or fewer seeds")
    # A pyramid adds an eighth, a sixty-fourth …
    voxels = math.prod(recipe.shape) * 8 / 7
    needed = round(voxels * (BYTES_PER_VOXEL + (BYTES_PER_DISTANCE if distance else 0)))
    refuse_full_disk(out, needed, what)
    try:
        remove(partial)
        partial.parent.mkdir(parents=True, exist_ok=True)
        if not _stream(recipe, seed, partial, chunks, distance, progress, cancel):
            remove(partial)
            return None
        if out.exists() and not overwrite:
            raise OutputError(f"{out} appeared while the volume was made; the volume is in {partial}.")
        put_in_place(partial, out)
    except AnnealError:
        raise
    except OSError as error:
        remove(partial)
        raise OutputError(
            f"{out} could not be written: {why_not_written(error)}; nothing of it was kept, so free some space or "
            "write somewhere else."
        ) from error
    except BaseException:
        remove(partial)
        raise
    return out


def _stream(
    recipe: MicrostructureRecipe,
    seed: int,
    path: Path,
    chunks: tuple[int, int, int],
    with_distance: bool,
    progress: Callable[[int, int], None] | None,
    cancel: CancelSignal | None,
) -> bool:
    """Make and write slab after slab; false when it was cancelled."""
    from napari_anneal.synthesis.appearance.slabs import SlabPainter
    from napari_anneal.synthesis.geometry.cells import find_cells
    from napari_anneal.synthesis.geometry.tessellation import tessellate
    from napari_anneal.synthesis.geometry.transport import pixel_counts
    from napari_anneal.synthesis.grains import phases, seeds_and_weights

    depth, *plane = recipe.shape
    workers = min(4, os.cpu_count() or 1)
    cells = find_cells(*seeds_and_weights(recipe, seed), recipe.shape if recipe.periodic else None)
    phase_of = phases(recipe, seed, cells.n_grains)
    # A seed whose cell holds no pixel has no grain; numbers stay without gaps.
    number = np.cumsum(np.bincount(cells.grain, pixel_counts(cells, recipe.shape)) > 0, dtype=np.int32)[cells.grain]
    painter = SlabPainter(recipe, seed, cells, phase_of, workers)
    store = _open_store(path, recipe, seed, chunks, with_distance)
    for first in range(0, depth, chunks[0]):
        if cancel is not None and cancel.is_set():
            return False
        last = min(first + chunks[0], depth)
        begin, end = max(0, first - painter.reach), min(depth, last + painter.reach)
        labels, distance = tessellate(cells, (end - begin, *plane), origin=(begin, 0, 0), workers=workers)
        inner = slice(first - begin, last - begin)
        image = painter.paint(first, last, labels, distance)
        store["image"].write(first, np.round(image * np.float32(255)).astype(np.uint8))
        store["grains"].write(first, number[labels[inner]])
        store["boundary"].write(first, (distance[inner] <= recipe.boundary_width / 2).astype(np.uint8) + np.uint8(1))
        if with_distance:
            store["distance"].write(first, distance[inner])
        if progress is not None:
            progress(last, depth)
    return True


def _open_store(
    path: Path, recipe: MicrostructureRecipe, seed: int, chunks: tuple[int, int, int], with_distance: bool
) -> dict[str, Any]:
    """Create the arrays, with labels where OME-Zarr has them."""
    import json

    import zarr

    from napari_anneal.samples.ome_zarr import OmeZarrPyramid

    def pyramid(place: Path, dtype: npt.DTypeLike, about: dict[str, Any] | None = None) -> OmeZarrPyramid:
        return OmeZarrPyramid(place, recipe.shape, dtype, chunks, recipe.spacing, about=about)

    store = {"image": pyramid(path, np.uint8)}
    zarr.open_group(path, mode="r+").attrs["napari-anneal"] = json.loads(RecipeFile(recipe, seed).to_json())
    folder = path / "labels"
    zarr.open_group(folder, mode="w-", zarr_format=3).attrs["ome"] = {
        "version": "0.5",
        "labels": ["grains", "boundary"],
    }
    classes = [{"label-value": 1, "class": "grain"}, {"label-value": 2, "class": "boundary"}]
    store["grains"] = pyramid(folder / "grains", np.int32, {"image-label": {"version": "0.5"}})
    about = {"image-label": {"version": "0.5", "properties": classes}}
    store["boundary"] = pyramid(folder / "boundary", np.uint8, about)
    if with_distance:
        store["distance"] = pyramid(path / "distance", np.float32)
    return store


def _memory_needed(recipe: MicrostructureRecipe, thickness: int) -> int:
    """Bytes at the peak: seeds, the slab at work with what the point spread reaches, and the knots of random fields."""
    look, (depth, *plane) = recipe.appearance, recipe.shape
    reach = 3 * math.ceil(look.psf_sigma + look.defocus_variation) if look.rung >= 3 else 0
    slab = min(depth, thickness + 2 * reach) * math.prod(plane)
    knots = 0.0
    if look.rung >= 2:
        for length in look.surface_lengths:
            knots += math.prod(n / max(1.0, length) + 4 for n in recipe.shape)
    return round(slab * BYTES_PER_SLAB_VOXEL + 8 * knots + recipe.n_seeds * BYTES_PER_SEED)


def _refuse_unstreamable(recipe: MicrostructureRecipe) -> None:
    """Refuse what needs the whole volume at once."""
    if len(recipe.shape) != 3:
        raise InputError(
            f"shape {recipe.shape} is an image, not a volume; give (Z, Y, X), or use synthesize for an image."
        )
    if recipe.kind != "grains":
        raise InputError("only grains can be streamed to disk; make objects with synthesize, in a smaller shape.")
    if recipe.growth.method != "none":
        raise InputError("grains that grow need the whole volume at once; set growth.method to 'none' to stream it.")
    if recipe.is_curved:
        raise InputError(
            "curved boundaries need the whole volume at once and cannot be streamed; set waviness, smoothing, "
            "aspect_spread and direction_spread_deg to 0."
        )
    if recipe.real_look is not None:
        raise InputError("a real look is matched to the whole volume and cannot be streamed; leave real_look out.")
    if recipe.appearance.rung > 4:
        raise InputError(
            "the artefacts of rung 5 run through the whole volume and cannot be streamed; choose rung 4 or lower."
        )


def _places(out: Path, overwrite: bool) -> Path:
    """Where the unfinished store lies; refuses names that are no store's and what must not be replaced."""
    suffix = next((s for s in SUFFIXES if out.name.lower().endswith(s) and len(out.name) > len(s)), None)
    if suffix is None:
        raise OutputError(f"{out}: volumes are written as .ome.zarr; end the name in that.")
    stem, ending = out.name[: -len(suffix)], out.name[-len(suffix) :]
    partial = out.with_name(f"{stem}.partial{ending}")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists; choose another name, or overwrite it.")
    for place in (out, partial):
        if place.exists() and not (place / "zarr.json").is_file():
            raise OutputError(f"{place} exists and is no volume, so it is not replaced; choose another name.")
    return partial
