"""Contact sheets of the presets of synthetic micrographs: ``python docs/contact_sheets.py [NAME …]``.

Each sheet shows, from left to right: the typical recipe, its labels, and three draws from the ranges of the preset. The
sheet ``ladder`` shows one specimen at each rung, ``real`` crops of the real images that the package ships. PNGs go to
``docs/images``; seeds are fixed, so the same version of the package makes the same sheets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage.io import imsave
from skimage.segmentation import find_boundaries

from napari_anneal.samples import read_image, shipped
from napari_anneal.synthesis import PRESETS, SyntheticStream, preset, preset_ranges, synthesize
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
    makers = {**{name: lambda name=name: sheet(name) for name in PRESETS}, "ladder": ladder, "real": real}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(makers)}")
    for name in parser.parse_args().names or makers:
        path = IMAGES / f"presets-{name}.png"
        imsave(path, np.rint(255 * makers[name]()).astype(np.uint8), check_contrast=False)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
