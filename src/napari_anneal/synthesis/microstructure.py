"""Recipe and seed in, a microstructure out: the image and everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.memory import refuse_too_large
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["Microstructure", "check_seed", "synthesize"]

# What labels 1 and 2 stand for.
CLASSES = {
    "grains": ("grain", "boundary"),
    "objects": ("matrix", "object"),
    "two_phase": ("matrix", "second phase"),
}


@dataclass(frozen=True, eq=False)
class Microstructure:
    """A synthetic micrograph or volume with its perfect labels; every array has the recipe's shape.

    Attributes
    ----------
    image
        float32 in [0, 1].
    grains
        int32, 1 … N without gaps: one number a grain. For objects 1 is the matrix and each object has its own;
        for two phases 1 is the first phase and each connected domain of the second has its own.
    boundary
        bool, the boundary (or outline) within half the recipe's boundary_width.
    distance
        float32 px to the nearest boundary (or outline, or for dislocations to the line itself); infinite where there
        is none.
    phase
        uint8, 1 or 2: the phase of the grain; for objects 1 matrix, 2 object; for two phases the phase.
    spacing
        Pixel size along each axis, as given by the recipe.
    seeds
        float64 ``(N, ndim)`` pixel indices: where grain k grew from is ``seeds[k - 1]`` (objects: k - 2, and the
        centre of one that an edge cuts may lie outside); of grown grains, and of domains of a second phase (k - 2),
        the centroid.
    recipe, seed
        What it was made from; the same two give the same bytes.
    """

    image: npt.NDArray[np.float32]
    grains: npt.NDArray[np.int32]
    boundary: npt.NDArray[np.bool_]
    distance: npt.NDArray[np.float32]
    phase: npt.NDArray[np.uint8]
    spacing: tuple[float, ...]
    seeds: npt.NDArray[np.float64]
    recipe: MicrostructureRecipe
    seed: int

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Training labels, uint8, never 0: 1 grain and 2 boundary; for other kinds the phase."""
        second = self.boundary if self.recipe.kind == "grains" else self.phase == 2
        return second.astype(np.uint8) + np.uint8(1)

    def boundary_mask(self, width: float) -> npt.NDArray[np.bool_]:
        """Pixels whose centre lies within a boundary ``width`` px wide (bool, like `boundary` for any width)."""
        return np.asarray(self.distance <= _positive_width(width) / 2)

    def boundary_coverage(self, width: float) -> npt.NDArray[np.float32]:
        """Share of each pixel that a boundary ``width`` px wide covers, float32 in [0, 1]: an antialiased mask."""
        from napari_anneal.synthesis.geometry.coverage import boundary_coverage

        return boundary_coverage(self.distance, _positive_width(width))

    @property
    def classes(self) -> tuple[str, str]:
        """Names of labels 1 and 2."""
        return CLASSES[self.recipe.kind]


def _positive_width(width: float) -> float:
    """Check the width of a boundary."""
    if not (np.isfinite(width) and width > 0):
        raise InputError(f"a boundary of width {width:g} px cannot be drawn; give a width above 0.")
    return float(width)


def synthesize(recipe: MicrostructureRecipe, seed: int = 0) -> Microstructure:
    """Make the microstructure of a recipe; the same recipe and seed give the same bytes.

    Geometry depends on the geometric settings alone, so rungs of the appearance can be compared on the same grains.

    Raises
    ------
    InputError
        The seed is not a whole number ≥ 0, or the arrays would not fit into memory (says how much they need).
    """
    check_seed(seed)
    look = recipe.real_look
    objects, matched = recipe.kind == "objects", look is not None
    refuse_too_large(recipe.shape, recipe.n_seeds, recipe.is_curved, recipe.growth_grid, objects, matched)
    drawn = recipe if look is None else recipe.model_copy(update={"appearance": _without_detector(recipe.appearance)})
    # Imported here so that building a recipe (a form, --help) does not load the compiler.
    if recipe.kind == "objects":
        from napari_anneal.synthesis.objects.making import make_objects

        parts = make_objects(drawn, int(seed))
    elif recipe.kind == "two_phase":
        from napari_anneal.synthesis.growth.two_phase import make_two_phases

        parts = make_two_phases(drawn, int(seed))
    elif recipe.growth.method != "none":
        from napari_anneal.synthesis.growth.grains import make_grown_grains

        parts = make_grown_grains(drawn, int(seed))
    else:
        from napari_anneal.synthesis.grains import make_grains

        parts = make_grains(drawn, int(seed))
    image = parts.image
    if look is not None:
        from napari_anneal.synthesis.transfer.matching import match_image
        from napari_anneal.synthesis.transfer.noise import Noise

        bare = Noise(0.0, 0.0)
        image = match_image(image, look, int(seed), noise=bare, grains=parts.grains, distance=parts.distance).image
    return Microstructure(
        image=image,
        grains=parts.grains,
        boundary=parts.distance <= recipe.boundary_width / 2,
        distance=parts.distance,
        phase=parts.phase,
        spacing=recipe.spacing or (1.0,) * len(recipe.shape),
        seeds=parts.seeds,
        recipe=recipe,
        seed=int(seed),
    )


def _without_detector(appearance: Appearance) -> Appearance:
    """All but the noise, which comes from the real images."""
    if appearance.rung == 4:
        return appearance.model_copy(update={"rung": 3})
    # At this dose the noise is far below one grey level of 16 bits.
    return appearance.model_copy(update={"dose": 1e12, "read_noise": 0.0, "hot_pixels": 0.0})


def check_seed(seed: int) -> None:
    """Refuse, with `InputError`, what is no whole number ≥ 0."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed = {seed!r} cannot be used; give a whole number, 0 or more.")
