"""Claims about legality, measured on rendered specimens: what is legal keeps the direction, the light, the hand.

Each specimen is drawn from its own physics with NumPy alone, and one number that the physics fixes is measured in the
image as the augmenter leaves it. A transform called legal must keep that number; one called illegal must change it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy import ndimage

from napari_anneal.augmentation import SAMPLE_KINDS, AugmentationRecipe, Augmenter, illegal_transforms, legal
from napari_anneal.augmentation.legality import SAME_KIND, TRANSFORMS, sample_kinds
from napari_anneal.errors import InputError

SIDE, GRAINS = 240, 5
DRAWS = 8
Measure = Callable[[np.ndarray, np.ndarray], float]


class Specimen(NamedTuple):
    """An image ``(C, Y, X)``, labels, what is measured in them (its own value is 0), and how much may change."""

    image: np.ndarray
    labels: np.ndarray
    change: Measure
    tolerance: float


def cells() -> list[tuple[int, np.ndarray, np.ndarray]]:
    """A grid of cells: number, and x to the right and y upwards from its centre, in units of half the cell."""
    y, x = np.mgrid[:SIDE, :SIDE]
    step = SIDE // GRAINS
    found = []
    for row in range(GRAINS):
        for column in range(GRAINS):
            right = (x - (column + 0.5) * step + 0.5) / (step / 2)
            up = -(y - (row + 0.5) * step + 0.5) / (step / 2)
            found.append((row * GRAINS + column + 1, right, up))
    return found


def whole_grains(image: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of every grain that neither the border nor an erased rectangle cuts: right, up (px from its centroid), values."""
    parts, _ = ndimage.label(labels)
    found = []
    inside = []
    for number, where in enumerate(ndimage.find_objects(parts), 1):
        if any(s.start == 0 or s.stop == SIDE for s in where):
            continue
        y, x = np.nonzero(parts == number)
        inside.append((len(y), x - x.mean(), -(y - y.mean()), image[:, y, x]))
    usual = np.median([size for size, *_ in inside]) if inside else 0
    for size, right, up, values in inside:
        if 0.8 * usual < size < 1.25 * usual:
            found.append((right, up, values))
    return found


def turned(a: float, b: float, period: float) -> float:
    """Angle between two directions, degrees."""
    return float(abs((a - b + period / 2) % period - period / 2))


def lines(direction: float) -> Specimen:
    """A rolled sheet: bands along a direction; measured by the structure tensor of the whole image."""

    def along(image: np.ndarray, labels: np.ndarray) -> float:
        smooth = ndimage.gaussian_filter(image[0], 1.5)
        gy, gx = np.gradient(smooth)
        gy = -gy
        across = np.degrees(0.5 * np.arctan2(2 * (gx * gy).sum(), (gx**2 - gy**2).sum()))
        return turned(across + 90, direction, 180)

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    t = np.radians(direction)
    offset = -np.sin(t) * x - np.cos(t) * y  # px across the direction, y downwards
    image = 0.5 + sum(a * np.sin(2 * np.pi * offset / w + f) for a, w, f in zip(
        (0.15, 0.12, 0.1), (9, 14, 23), rng.uniform(0, 6, 3), strict=True))  # fmt: skip
    return Specimen(image[None].astype(np.float32), np.ones((SIDE, SIDE), int), along, 2.0)


def wedges(direction: float) -> Specimen:
    """Columns that widen as they grow: the third moment of their outlines points where they grew to."""
    labels = np.zeros((SIDE, SIDE), int)
    t = np.radians(direction)
    for number, right, up in cells():
        along, across = right * np.cos(t) + up * np.sin(t), up * np.cos(t) - right * np.sin(t)
        labels[(abs(along) < 0.75) & (abs(across) < 0.1 + 0.4 * (along + 0.75) / 1.5)] = number
    image = (0.2 + 0.6 * (labels > 0))[None].astype(np.float32)

    def grown(picture: np.ndarray, paint: np.ndarray) -> float:
        grains = whole_grains(picture, paint)
        right, up = (np.concatenate([grain[k] for grain in grains]) for k in (0, 1))
        return turned(wedge_angle(right, up), direction, 360)

    return Specimen(image, labels, grown, 3.0)


def mean_angle(angles: list[float]) -> float:
    """Circular mean, degrees; NaN without any."""
    known = [a for a in angles if np.isfinite(a)]
    return float(np.degrees(np.angle(np.exp(1j * np.radians(known)).sum()))) if known else float("nan")


def wedge_angle(right: np.ndarray, up: np.ndarray) -> float:
    """Where a wedge widens to: along its axis of least width, to the side where it is broad."""
    axis = 0.5 * np.arctan2(2 * (right * up).mean(), (right**2 - up**2).mean())
    for t in (axis, axis + np.pi / 2):
        along, across = right * np.cos(t) + up * np.sin(t), up * np.cos(t) - right * np.sin(t)
        widening = (along * across**2).mean() / (along.std() * across.var())
        if abs(widening) > 0.1:
            return float(np.degrees(t if widening > 0 else t + np.pi))
    return float("nan")


def bumps(light: float) -> Specimen:
    """Round bumps, bright on the flank that faces the detector."""
    labels, image = np.zeros((SIDE, SIDE), int), np.full((SIDE, SIDE), 0.5)
    t = np.radians(light)
    for number, right, up in cells():
        inside = right**2 + up**2 < 0.5
        labels[inside] = number
        image[inside] += 0.4 * (right * np.cos(t) + up * np.sin(t))[inside]

    def lit(picture: np.ndarray, paint: np.ndarray) -> float:
        from_where = [
            np.degrees(np.arctan2((v[0] * u).sum() / (u * u).sum(), (v[0] * r).sum() / (r * r).sum()))
            for r, u, v in whole_grains(picture, paint)
        ]
        return turned(mean_angle(from_where), light, 360)

    return Specimen(image[None].astype(np.float32), labels, lit, 2.0)


def spirals() -> Specimen:
    """Left-handed three-armed spirals: measured against templates of both hands; 0 is left, 2 is right."""
    labels, image = np.zeros((SIDE, SIDE), int), np.full((SIDE, SIDE), 0.5)

    def arms(right: np.ndarray, up: np.ndarray, hand: int) -> np.ndarray:
        return np.exp(1j * (3 * np.arctan2(up, right) + hand * 6 * np.log(np.hypot(right, up) + 1e-9)))

    for number, right, up in cells():
        inside = abs(right**2 + up**2 - 0.4) < 0.3
        labels[inside] = number
        image[inside] += 0.35 * arms(right, up, 1)[inside].real

    def hand(picture: np.ndarray, paint: np.ndarray) -> float:
        index = []
        for r, u, v in whole_grains(picture, paint):
            left, other = (abs(((v[0] - v[0].mean()) * arms(r, u, h)).sum()) for h in (1, -1))
            index.append(1 - (left - other) / (left + other))
        return float(np.median(index))

    return Specimen(image[None].astype(np.float32), labels, hand, 0.7)


def crystals(plate: bool) -> Specimen:
    """Elongated crystals between crossed polarisers at 20°, vibrating along: 1 - correlation with theory.

    With a tint plate the retardation adds up or is taken off, so the period is 180° and not 90°.
    """
    polariser = np.radians(20)

    def grey(axis: np.ndarray | float) -> np.ndarray | float:
        angle = 2 * (np.asarray(axis) - polariser)
        return 0.5 + 0.4 * np.sin(angle) if plate else 0.1 + 0.8 * np.sin(angle) ** 2

    labels, image = np.zeros((SIDE, SIDE), int), np.full((SIDE, SIDE), 0.5)
    for number, right, up in cells():
        t = np.pi * number * 0.618
        inside = (
            ((right * np.cos(t) + up * np.sin(t)) / 0.85) ** 2 + ((up * np.cos(t) - right * np.sin(t)) / 0.35) ** 2
        ) < 1
        labels[inside], image[inside] = number, grey(t)

    def against_theory(picture: np.ndarray, paint: np.ndarray) -> float:
        seen, expected = [], []
        for r, u, v in whole_grains(picture, paint):
            axis = 0.5 * np.arctan2(2 * (r * u).mean(), (r**2 - u**2).mean())
            seen.append(np.median(v[0]))
            expected.append(grey(axis))
        return 1 - float(np.corrcoef(seen, expected)[0, 1])

    return Specimen(image[None].astype(np.float32), labels, against_theory, 0.25)


def orientations() -> Specimen:
    """Wedges whose colour says where they point: how far the colour of a pixel and its grain's frame disagree."""
    labels, image = np.zeros((SIDE, SIDE), int), np.zeros((3, SIDE, SIDE), np.float32)
    image[:2] = 0.5
    for number, right, up in cells():
        t = 2 * np.pi * number * 0.618
        along, across = right * np.cos(t) + up * np.sin(t), up * np.cos(t) - right * np.sin(t)
        inside = (abs(along) < 0.6) & (abs(across) < 0.15 + 0.35 * (along + 0.6) / 1.2)
        labels[inside] = number
        image[:, inside] = np.array([0.5 + 0.4 * np.cos(t), 0.5 + 0.4 * np.sin(t), 1.0])[:, None]

    def disagree(picture: np.ndarray, paint: np.ndarray) -> float:
        worst = []
        for r, u, v in whole_grains(picture, paint):
            x, y = (v[0] - 0.5) / 0.4, (v[1] - 0.5) / 0.4
            frame = np.radians(wedge_angle(r, u))
            off = np.hypot(x - np.cos(frame), y - np.sin(frame)).max()
            worst.append(off + 100 * abs(v[2] - 1).max())
        return float(np.median(worst))

    return Specimen(image, labels, disagree, 0.14)


def striped_classes(directions: tuple[float, float]) -> Specimen:
    """Patches of stripes whose class is the direction of the stripes: how far label and stripes disagree."""
    labels, image = np.zeros((SIDE, SIDE), int), np.full((SIDE, SIDE), 0.5)
    for number, right, up in cells():
        inside = np.maximum(abs(right), abs(up)) < 0.8
        kind = number % 2
        t = np.radians(directions[kind])
        labels[inside] = kind + 1
        image[inside] += 0.3 * np.sin(2 * np.pi * 3 * (up * np.cos(t) - right * np.sin(t)))[inside]

    def disagree(picture: np.ndarray, paint: np.ndarray) -> float:
        smooth = ndimage.gaussian_filter(picture[0], 1.5)
        gy, gx = np.gradient(smooth)
        gy = -gy
        found = []
        for kind, direction in enumerate(directions, 1):
            # Away from the rim, where gradients are those of the patch's own outline.
            own = ndimage.binary_erosion(paint == kind, iterations=5)
            y, x = gy[own], gx[own]
            across = np.degrees(0.5 * np.arctan2(2 * (x * y).sum(), (x**2 - y**2).sum()))
            found.append(turned(across + 90, direction, 180))
        return max(found)

    return Specimen(image[None].astype(np.float32), labels, disagree, 3.2)


def sized_classes() -> Specimen:
    """Discs whose class is their size: how far, relatively, the mean width of a class is from what it says."""
    labels = np.zeros((SIDE, SIDE), int)
    widths = (0.5, 0.8)
    for number, right, up in cells():
        labels[right**2 + up**2 < widths[number % 2] ** 2] = number % 2 + 1
    image = (0.2 + 0.2 * labels)[None].astype(np.float32)
    areas = [np.bincount(ndimage.label(labels == k)[0].ravel())[1:].mean() for k in (1, 2)]

    def off(picture: np.ndarray, paint: np.ndarray) -> float:
        found = []
        for kind, area in enumerate(areas, 1):
            whole = [len(r) for r, _, _ in whole_grains(picture, paint == kind)]
            found.append(abs(np.sqrt(np.median(whole) / area) - 1) if whole else np.nan)
        return float(np.nanmax(found)) if np.isfinite(found).any() else float("nan")

    return Specimen(image, labels, off, 0.08)


CASES: dict[str, tuple[Specimen, str, dict[str, float]]] = {
    "rolled along x": (lines(0), "textured", {"direction_deg": 0}),
    "rolled along y": (lines(90), "textured", {"direction_deg": 90}),
    "rolled at 30°": (lines(30), "textured", {"direction_deg": 30}),
    "grown upwards": (wedges(90), "columnar", {"direction_deg": 90}),
    "grown to the left": (wedges(180), "columnar", {"direction_deg": 180}),
    "grown at 40°": (wedges(40), "columnar", {"direction_deg": 40}),
    "lit from above": (bumps(90), "shadowed", {"light_deg": 90}),
    "lit from the right": (bumps(0), "shadowed", {"light_deg": 0}),
    "lit at 135°": (bumps(135), "shadowed", {"light_deg": 135}),
    "chiral": (spirals(), "chiral", {}),
    "vortex": (spirals(), "vortex", {}),
    "crossed polarisers": (crystals(plate=False), "polarised", {}),
    "tint plate": (crystals(plate=True), "tint_plate", {}),
    "orientation map": (orientations(), "orientation_map", {}),
    "plies at 0° and 90°": (striped_classes((0, 90)), "directed_classes", {"direction_deg": 90}),
    "plies at ±45°": (striped_classes((45, 135)), "directed_classes", {"direction_deg": 45}),
    "fine and coarse": (sized_classes(), "sized_classes", {}),
}


def changes(specimen: Specimen, name: str, **sample: object) -> np.ndarray:
    """What a transform alone, always applied, does to the measured number, in some draws."""
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}, **sample))
    return np.array([specimen.change(*augment(specimen.image, specimen.labels, seed)) for seed in range(DRAWS)])


@pytest.mark.parametrize("case", CASES)
def test_the_rendered_specimen_shows_what_it_was_drawn_with(case):
    specimen, _, _ = CASES[case]
    assert specimen.change(specimen.image, specimen.labels) < specimen.tolerance / 2


@pytest.mark.parametrize("case", CASES)
def test_what_is_legal_keeps_the_physics_and_what_is_illegal_breaks_it(case):
    specimen, kind, where = CASES[case]
    forbidden = illegal_transforms(kind, **where)
    assert set(legal(kind, **where)) == set(TRANSFORMS) - set(forbidden)
    wrong = {}
    wraps = AugmentationRecipe.for_sample(kind, **where).outside
    for name in TRANSFORMS:
        legally = {} if name in forbidden else {"sample": kind, "outside": wraps, **where}
        seen = changes(specimen, name, **legally)
        assert np.isfinite(seen).any(), name
        if (name in forbidden) != bool(np.nanmax(seen) > specimen.tolerance):
            wrong[name] = seen.round(2)
    assert not wrong


def test_mirrored_borders_turn_a_direction_and_wrapped_ones_do_not():
    specimen = lines(30)
    zoomed_out = {"scale_factor": (0.6, 0.6), "sample": "textured", "direction_deg": 30}
    assert changes(specimen, "scale", outside="wrap", **zoomed_out).max() < specimen.tolerance
    with pytest.raises(InputError, match="outside='reflect' is not legal for a sample that is 'textured'"):
        changes(specimen, "scale", **zoomed_out)
    mirrored = changes(specimen, "scale", scale_factor=(0.6, 0.6))
    assert mirrored.max() > specimen.tolerance


def test_several_kinds_at_once_forbid_what_any_of_them_forbids():
    both = AugmentationRecipe.for_sample(["rolled", "shadow"], direction_deg=0, light_deg=0)
    assert both.kinds == ("textured", "shadowed")
    assert "vflip" in both.active
    assert not {"hflip", "rot90", "rot180", "rotate"} & set(both.active)
    assert "half turn is legal" not in both.switched_off["rot90"]
    across = AugmentationRecipe.for_sample(("columnar", "shadowed"), direction_deg=90, light_deg=0)
    assert {"hflip", "vflip"} <= set(across.switched_off)
    with pytest.raises(InputError, match=r"rot180 is not legal for a sample that is 'textured' and 'shadowed'"):
        both.model_copy(update={"rot180": 0.5})
    assert AugmentationRecipe.model_validate_json(both.model_dump_json()) == both


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
def test_every_reason_is_one_sentence_of_its_own_transform(kind):
    for name, reason in illegal_transforms(kind, 30, 30).items():
        assert name in TRANSFORMS
        assert 20 < len(reason) < 130
        assert ". " not in reason


def test_other_words_for_a_kind_and_isotropic_beside_another():
    assert sample_kinds(SAME_KIND) == ("textured", "shadowed", "orientation_map", "polarised")
    assert sample_kinds(["isotropic", "chiral", "chiral"]) == ("chiral",)
    assert sample_kinds([]) == ("isotropic",)
    with pytest.raises(InputError, match="'wood' is not a kind of sample"):
        sample_kinds(["rolled", "wood"])


def test_a_crop_of_a_patch_that_is_not_square_is_not_squeezed():
    # Rings stay rings: their extent along both axes is stretched alike, but for the 10 % the recipe speaks of.
    y, x = np.mgrid[:60, :180]
    labels = 1 + ((x - 90) ** 2 + (y - 30) ** 2 < 100)
    augment = Augmenter(AugmentationRecipe.only(crop=1.0, crop_area=(0.8, 0.9)))
    for seed in range(10):
        _, moved = augment(np.zeros((1, 60, 180), np.float32), labels, seed)
        down, right = (np.ptp(where) + 1 for where in np.nonzero(moved == 2))
        assert 0.85 < right / down < 1.18


def test_a_map_keeps_the_very_colours_it_has():
    specimen = orientations()
    colours = {tuple(c) for c in specimen.image.reshape(3, -1).T}
    augment = Augmenter(AugmentationRecipe.for_sample("ebsd", scale=1.0, crop=1.0))
    for seed in range(5):
        out, _ = augment(specimen.image, specimen.labels, seed)
        assert {tuple(c) for c in out.reshape(3, -1).T} <= colours
