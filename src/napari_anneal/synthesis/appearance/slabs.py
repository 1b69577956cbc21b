"""Rungs 1 to 4 of a volume that is never in memory as a whole: any planes of its image, the same however it is cut.

Every random field is known by its knots and every grain by its row of a table, so a plane needs nothing but its own
labels; the point spread needs the planes within its reach as well. Up to rung 3 this is the image that `synthesize`
makes; at rung 4 the noise is drawn anew for every plane, with the same statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.microscope import TRUNCATE, detect, focus_field, focused, gain_pattern
from napari_anneal.synthesis.appearance.paint import paint_grains
from napari_anneal.synthesis.appearance.specimen import (
    clean_grains,
    composed,
    edge_table,
    grain_table,
    surface_fields,
)
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.geometry.cells import Cells
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["SlabPainter"]

FloatImage = npt.NDArray[np.float32]


class SlabPainter:
    """Paints planes of a volume of grains with straight boundaries.

    Parameters
    ----------
    recipe, seed
        Of the volume: ``shape`` ``(Z, Y, X)``, rung 1 … 4.
    cells, phase_of
        Its geometry, and the phase of every cell (uint8 ``(N,)``).
    workers
        Threads that share the planes; the image does not depend on it.
    """

    def __init__(
        self, recipe: MicrostructureRecipe, seed: int, cells: Cells, phase_of: npt.NDArray[np.uint8], workers: int = 1
    ) -> None:
        self._recipe, self._seed, self._cells, self._phase_of = recipe, seed, cells, phase_of
        self._look, self._shape, self._workers = recipe.appearance, recipe.shape, workers
        if self._look.rung == 1:
            return
        # In the order in which `polished_grains` and `blur` draw.
        rng = generator(seed, Step.SPECIMEN)
        self._grain = grain_table(self._look, recipe.grain_diameter, 3, phase_of, rng)[cells.grain]
        self._edge = edge_table(self._look, cells.n_pairs, rng)
        self._fields = surface_fields(self._look, self._shape, rng, recipe.periodic)
        self._pattern = gain_pattern(self._shape, self._look, seed)
        varies = self._look.rung >= 3 and self._look.defocus_variation > 0
        self._focus = focus_field(self._shape, generator(seed, Step.OPTICS)) if varies else None

    @property
    def reach(self) -> int:
        """How many planes beyond those asked for `paint` needs the labels and distances of."""
        if self._look.rung < 3:
            # A clean line is antialiased by how the distance changes from plane to plane.
            return 1 if self._look.rung == 1 else 0
        sigmas = (self._look.psf_sigma, self._look.defocus_variation)
        return sum(int(TRUNCATE * sigma + 0.5) for sigma in sigmas)

    def paint(self, first: int, last: int, labels: npt.NDArray[np.int32], distance: FloatImage) -> FloatImage:
        """Planes ``first … last - 1`` of the image, float32 ``(Z, Y, X)`` in [0, 1].

        ``labels`` (seed indices) and ``distance`` begin ``reach`` planes before them and end so many after, or where
        the volume does.
        """
        begin = max(0, first - self.reach)
        if self._look.rung == 1:
            clean = clean_grains(distance, self._phase_of[self._cells.grain[labels]], self._recipe.boundary_width)
            return clean[first - begin : last - begin]
        image = np.empty(labels.shape, dtype=np.float32)

        def specimen(k: int) -> None:
            image[k : k + 1] = self._specimen(begin + k, labels[k : k + 1])

        self._each(specimen, len(labels))
        if self._look.rung >= 3:
            focus = None
            if self._focus is not None:
                focus = np.concatenate([self._focus.plane(begin + k) for k in range(len(labels))])
            image = focused(image, self._look, focus)
        image = np.ascontiguousarray(image[first - begin : last - begin])
        np.clip(image, 0, 1, out=image)

        def detector(k: int) -> None:
            image[k] = detect(image[k], self._look, generator(self._seed, Step.DETECTOR, first + k), self._pattern)

        if self._look.rung >= 4:
            self._each(detector, len(image))
        return np.clip(image, 0, 1, out=image)

    def _specimen(self, z: int, labels: npt.NDArray[np.int32]) -> FloatImage:
        """Rung 2 of one plane."""
        texture, filling, swell, settings = composed(self._look, [field.plane(z) for field in self._fields])
        out = np.empty(labels.shape, dtype=np.float32)
        # The brush counts planes from 0; a shift of all pixels along Z says where this one lies.
        shift = np.zeros((3, *labels.shape), dtype=np.float32)
        shift[0] = z
        cells, unknown, alike = self._cells, np.empty((0, 0, 0), dtype=np.float32), np.empty((0, 10))
        paint_grains(
            labels, unknown, False, cells.seeds, cells.start, cells.neighbour, cells.planes, alike, cells.pair,
            self._grain, self._edge, texture, filling, swell, shift, settings, out,
        )  # fmt: skip
        return out

    def _each(self, work: Callable[[int], None], count: int) -> None:
        if self._workers == 1:
            for k in range(count):
                work(k)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(work, range(count)))
