"""``synthesize_batch``: one recipe and many seeds, on a graphics card (or any torch device), in one go."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_anneal.devices import pick_device
from napari_anneal.errors import InputError
from napari_anneal.recipe_base import Recipe
from napari_anneal.synthesis.geometry.cells import DECIMALS
from napari_anneal.synthesis.grains import phases, seeds_and_weights
from napari_anneal.synthesis.on_device.geometry import Tessellations, tessellate_batch
from napari_anneal.synthesis.on_device.microscope import take_batch
from napari_anneal.synthesis.on_device.specimen import clean_batch, polished_batch
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["MicrostructureBatch", "synthesize_batch"]

# What a batch can do. Any other setting must keep its default, so that a new one is refused until it is known here.
GEOMETRY = {
    "kind", "shape", "spacing", "n_seeds", "placement", "points", "cluster_size", "cluster_radius", "lloyd_rounds",
    "aspect_ratio", "direction_deg", "size_dispersion", "size_cv", "target_sizes", "waviness_length", "boundary_width",
    "second_phase", "objects", "appearance",
}  # fmt: skip
LOOK = {
    "mean_grey", "grain_contrast", "phase_contrast", "slope", "texture", "texture_length", "twins",
    "boundary_contrast", "contrast_spread", "groove_width", "groove_width_spread", "groove_roughness", "groove_texture",
    "groove_softness", "faint_boundaries", "relief", "relief_direction_deg", "psf_sigma", "defocus_variation",
    "astigmatism", "dose", "read_noise", "hot_pixels",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class MicrostructureBatch:
    """A batch of microstructures of one recipe, on a torch device; tensors are ``(B, *recipe.shape)``.

    Attributes
    ----------
    image
        float32 in [0, 1].
    grains
        int32, 1 … N without gaps.
    boundary
        bool, within half the recipe's boundary_width of the boundary.
    distance
        float32 px to the nearest boundary; infinite where there is none.
    phase
        uint8, 1 or 2.
    recipe, seeds
        What they were made from.
    """

    image: Tensor
    grains: Tensor
    boundary: Tensor
    distance: Tensor
    phase: Tensor
    recipe: MicrostructureRecipe
    seeds: tuple[int, ...]

    @property
    def labels(self) -> Tensor:
        """Training labels, uint8: 1 grain and 2 boundary."""
        return self.boundary.to(torch.uint8) + 1


def synthesize_batch(
    recipe: MicrostructureRecipe, seeds: Sequence[int], device: str | torch.device | None = None
) -> MicrostructureBatch:
    """Make one microstructure for every seed.

    ``grains``, ``distance``, ``boundary`` and ``phase`` are those that ``synthesize(recipe, seed)`` gives for each seed
    (pixels within 1e-9 px of a boundary aside). The image has the same statistics but other random numbers; it depends
    on the recipe, the list of seeds and the kind of device alone.

    Parameters
    ----------
    recipe
        Straight-edged grains up to rung 4 of the appearance, in 2D or 3D.
    seeds
        One a microstructure.
    device
        A torch device or its name; ``None`` or ``"auto"``: CUDA if there is one, else the CPU.

    Raises
    ------
    InputError
        No seeds, a seed that is no whole number ≥ 0, a device that cannot be used, or a recipe with something that only
        `synthesize` makes (says what).
    """
    refuse_unknown(recipe)
    if not len(seeds) or any(isinstance(s, bool) or not isinstance(s, (int, np.integer)) or s < 0 for s in seeds):
        raise InputError(f"seeds = {seeds!r} cannot be used; give one whole number, 0 or more, for each image.")
    where = _with_float64(device)
    numbers = tuple(int(s) for s in seeds)
    placed = [seeds_and_weights(recipe, s) for s in numbers]
    count = recipe.n_seeds
    weights = [np.zeros(count) if w is None else w for _, w, _ in placed]
    cells = Tessellations(
        torch.from_numpy(np.round(np.stack([s for s, _, _ in placed]), DECIMALS)).to(where),
        torch.from_numpy(np.stack(weights)).to(where),
        torch.from_numpy(placed[0][2]).to(where),
        recipe.shape,
    )
    owner, distance = tessellate_batch(cells)
    phase_of = torch.from_numpy(np.stack([phases(recipe, s, count) for s in numbers])).long().to(where)
    phase = phase_of.gather(1, owner)
    size = (len(numbers), *recipe.shape)
    if recipe.appearance.rung == 1:
        image = clean_batch(distance.reshape(size), phase.reshape(size), recipe.boundary_width)
    else:
        draws = torch.Generator(device=where).manual_seed(_noise_seed(numbers))
        image = polished_batch(recipe, cells, owner, phase_of, draws).reshape(-1, *recipe.shape)
        image = take_batch(image, recipe.appearance, draws)
    return MicrostructureBatch(
        image=image.reshape(size),
        grains=_numbered(owner, count).reshape(size),
        boundary=(distance <= recipe.boundary_width / 2).reshape(size),
        distance=distance.reshape(size),
        phase=phase.to(torch.uint8).reshape(size),
        recipe=recipe,
        seeds=numbers,
    )


def refuse_unknown(recipe: MicrostructureRecipe) -> None:
    """Raise `InputError` for a recipe that needs more than this folder can do."""
    asked = [f"kind {recipe.kind!r}"] if recipe.kind != "grains" else []
    asked += ["appearance.rung 5"] if recipe.appearance.rung > 4 else []
    asked += _changed(recipe, type(recipe).model_fields.keys() - GEOMETRY)
    look = recipe.appearance
    asked += [f"appearance.{name}" for name in _changed(look, set(look.acting()) - LOOK)]
    if asked:
        raise InputError(f"a batch on a torch device cannot make {', '.join(asked)}; use synthesize for this recipe.")


def _changed(recipe: Recipe, names: set[str]) -> list[str]:
    """Those of the settings that do not have their default."""
    fields = type(recipe).model_fields
    return [n for n in fields if n in names and getattr(recipe, n) != fields[n].get_default(call_default_factory=True)]


def _with_float64(device: str | torch.device | None) -> torch.device:
    """The device asked for, if it computes in float64, without which labels would not be exact."""
    where = pick_device(device)
    if where.type != "mps":
        return where
    if device is None or device == "auto":
        return torch.device("cpu")
    raise InputError("device 'mps' has no float64, so labels would not be exact; use 'cpu', or synthesize.")


def _noise_seed(seeds: tuple[int, ...]) -> int:
    """Seed of the random numbers of the images of a batch."""
    digest = hashlib.sha256(",".join(map(str, seeds)).encode()).digest()
    return int.from_bytes(digest[:7], "little")


def _numbered(owner: Tensor, count: int) -> Tensor:
    """Grain numbers 1 … without gaps, int32: a seed whose cell holds no pixel has no grain."""
    present = torch.zeros((len(owner), count), dtype=torch.int32, device=owner.device)
    present.scatter_(1, owner, 1)
    return present.cumsum(1, dtype=torch.int32).gather(1, owner)
