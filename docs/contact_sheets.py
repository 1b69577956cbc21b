"""Contact sheets of the presets of synthetic micrographs: ``python docs/contact_sheets.py [NAME …]``.

Each sheet shows, from left to right: the typical recipe, its labels, and three draws from the ranges of the preset. The
sheet ``ladder`` shows one specimen at each rung, ``real`` crops of the real images that the package ships, ``objects``
the forms of objects, clean above and as they look below. PNGs go to ``docs/images``; seeds are fixed, so the same
version of the package makes the same sheets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage.io import imsave
from skimage.segmentation import find_boundaries

from napari_anneal.samples import read_image, shipped
from napari_anneal.synthesis import (
    PRESETS,
    Appearance,
    MicrostructureRecipe,
    Objects,
    SyntheticStream,
    preset,
    preset_ranges,
    synthesize,
)
from napari_anneal.synthesis.microstructure import Microstructure

IMAGES = Path(__file__).parent / "images"
SIDE, GUTTER = 224, 4
DRAWS = 3
SEED = 11

Grey = npt.NDArray[np.float32]


def sheet(name: str) -> Grey:
    """The sheet of a preset."""
    made = synthesize(preset(name, (SIDE, SIDE)), SEED)
    stream = SyntheticStream(preset_ranges(name, (SIDE, SIDE)), SEED)
    return side_by_side([made.image, drawn_labels(made), *(stream[i].image for i in range(DRAWS))])


def drawn_labels(made: Microstructure) -> Grey:
    """Labels in grey: boundaries black on white, or objects grey with black outlines so that touching ones part."""
    if made.recipe.kind == "grains":
        return np.where(made.boundary, 0, 1).astype(np.float32)
    outlines = find_boundaries(made.grains, mode="inner") & (made.labels == 2)
    return np.where(outlines, 0, np.where(made.labels == 2, 0.6, 1)).astype(np.float32)


def ladder() -> Grey:
    """The same etched grains at rungs 1 to 5."""
    recipe = preset("sem_se_etched", (SIDE, SIDE))
    rungs = [recipe.appearance.model_copy(update={"rung": rung}) for rung in range(1, 6)]
    return side_by_side([synthesize(recipe.model_copy(update={"appearance": r}), SEED).image for r in rungs])


def real() -> Grey:
    """Crops of shipped real images: SEM of a superalloy (three fields) and X-ray CT of cement (one slice)."""
    folder = Path(shipped.__file__).parents[1] / "data"
    fields = [f"nasa_super/images/{name}.png" for name in ("spot1_0d_0", "spot3_0d_3", "spot6_0d_2")]
    found = [np.asarray(read_image(folder / name)[0], dtype=np.float32) for name in fields]
    found.append(np.asarray(read_image(folder / "cement_ct/cement.tif")[0], dtype=np.float32)[60])
    return side_by_side([stretched(image[:SIDE, :SIDE]) for image in found])


def objects() -> Grey:
    """Six forms of objects: rung 1 above, rung 4 below."""
    metal = {"mean_grey": 0.55, "texture": 0.015, "texture_length": 3, "grain_contrast": 0.04, "dose": 300}
    foil = {"mean_grey": 0.62, "texture": 0.02, "texture_length": 3, "dose": 200}
    round_ones = {"size_dispersion": 0.5, "irregularity": 0.12, "contrast_spread": 0.08}
    forms: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"form": "cuboids", "volume_fraction": 0.65, "diameter": 30, "exponent": 6, "elongation": 1,
          "direction_deg": 20, "gap": 2, "irregularity": 0.02, "contrast": -0.18}, metal),
        ({"form": "particles", "overlap": "touching", "facets": 7, "volume_fraction": 0.3, "diameter": 24,
          "irregularity": 0.02, "contrast": 0.2}, metal),
        ({"form": "pores", "volume_fraction": 0.12, "contrast": -0.4, "rim": 0.12, **round_ones}, metal),
        ({"form": "fibres", "tilt_deg": 0, "length": 110, "misorientation_deg": 40, "overlap": "free",
          "volume_fraction": 0.35, "diameter": 8, "contrast": 0.25, "rim": -0.03}, metal),
        ({"form": "dislocations", "line_density": 0.03, "persistence": 60, "contrast": -0.4, "fading": 0.5,
          "bend_contours": 0.15}, foil),
        ({"form": "dislocations", "line_shape": "pile_ups", "direction_deg": 60, "direction_spread_deg": 4,
          "line_density": 0.03, "contrast": -0.4}, foil),
    ]  # fmt: skip

    def row(rung: int) -> Grey:
        images = []
        for shape, look in forms:
            recipe = MicrostructureRecipe(
                kind="objects", shape=(SIDE, SIDE), objects=Objects(**shape), appearance=Appearance(rung=rung, **look)
            )
            images.append(synthesize(recipe, SEED).image)
        return side_by_side(images)

    clean = row(1)
    return np.vstack([clean, np.ones((GUTTER, clean.shape[1]), dtype=np.float32), row(4)])


def stretched(image: Grey) -> Grey:
    """The middle 99.6 % of the grey levels over the whole range, on a white square."""
    low, high = np.percentile(image, (0.2, 99.8))
    canvas = np.ones((SIDE, SIDE), dtype=np.float32)
    canvas[: image.shape[0], : image.shape[1]] = np.clip((image - low) / (high - low), 0, 1)
    return canvas


def side_by_side(images: list[Grey]) -> Grey:
    """Images in a row with white gutters."""
    gutter = np.ones((SIDE, GUTTER), dtype=np.float32)
    parts = [part for image in images for part in (image, gutter)]
    return np.hstack(parts[:-1])


def main() -> None:
    """Make the sheets named on the command line, or all."""
    makers = {
        **{name: lambda name=name: sheet(name) for name in PRESETS},
        "ladder": ladder,
        "real": real,
        "objects": objects,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(makers)}")
    for name in parser.parse_args().names or makers:
        path = IMAGES / f"presets-{name}.png"
        imsave(path, np.rint(255 * makers[name]()).astype(np.uint8), check_contrast=False)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
