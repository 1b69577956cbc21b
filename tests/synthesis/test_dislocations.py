"""Dislocation lines: density, persistence, instances, and the exact distance to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import regionprops

from napari_anneal.synthesis import (
    Appearance,
    MicrostructureRecipe,
    ObjectRanges,
    Objects,
    RecipeRanges,
    SyntheticStream,
    synthesize,
)
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.objects.dislocations import lay_dislocations

SHAPES = ["curved", "straight", "loops", "pile_ups"]


def recipe(shape=(256, 240), rung=1, **objects):
    objects = {"form": "dislocations", "line_width": 3.0, **objects}
    return MicrostructureRecipe(
        kind="objects", shape=shape, objects=Objects(**objects), appearance=Appearance(rung=rung), boundary_width=3.0
    )


def sampled(laid, step=0.05):
    """Points all along the lines, and the line each belongs to."""
    points, lines = [], []
    for a, b, line in zip(laid.start, laid.end, laid.line, strict=True):
        t = np.linspace(0, 1, max(2, int(np.linalg.norm(b - a) / step)))[:, None]
        points.append(a + t * (b - a))
        lines.append(np.full(len(t), line))
    return np.concatenate(points), np.concatenate(lines)


@pytest.mark.parametrize("line_shape", SHAPES)
@pytest.mark.parametrize(("shape", "density"), [((256, 240), 0.02), ((40, 60, 64), 0.004)])
def test_the_length_of_line_in_the_image_is_the_asked_density(line_shape, shape, density):
    r = recipe(shape, line_shape=line_shape, line_density=density, diameter=20)
    points, _ = sampled(lay_dislocations(r, generator(1, Step.OBJECTS)))
    ndim = len(shape)
    seen = ((points[:, 3 - ndim :] >= -0.5) & (points[:, 3 - ndim :] <= np.array(shape) - 0.5)).all(axis=1)
    length = np.linalg.norm(np.diff(points, axis=0), axis=1)
    # Steps from one piece to the next, and from one line to the next, are no part of a line.
    measured = length[(length < 0.2) & seen[1:] & seen[:-1]].sum()
    assert measured / np.prod(shape) == pytest.approx(density, rel=0.03)


def test_the_width_in_the_labels_is_the_asked_one():
    m = synthesize(recipe(line_shape="straight", direction_deg=20, direction_spread_deg=0, line_density=0.01), 3)
    assert np.mean(m.phase == 2) == pytest.approx(3 * 0.01, rel=0.05)
    assert ((m.phase == 2) == (m.distance < 1.5)).all()


@pytest.mark.parametrize("shape", [(150, 160), (30, 40, 44)])
@pytest.mark.parametrize("line_shape", SHAPES)
def test_the_distance_to_a_line_is_exact_and_the_nearest_owns_the_pixel(shape, line_shape):
    r = recipe(shape, line_shape=line_shape, line_density=0.01 if len(shape) == 2 else 0.002, diameter=20)
    m = synthesize(r, 5)
    laid = lay_dislocations(r, generator(5, Step.OBJECTS))
    points, lines = sampled(laid)
    full = (1, *shape) if len(shape) == 2 else shape
    grid = np.stack(np.indices(full), axis=-1).reshape(-1, 3)
    expected, which = cKDTree(points).query(grid)
    expected = expected.reshape(shape)
    assert np.abs(m.distance - expected)[expected < 6].max() < 0.03
    assert np.abs(m.distance - expected).max() < 0.15
    inside = (m.phase == 2).ravel()
    # One number a line: two pixels of the same line never differ, nor two lines agree.
    pairs = np.unique(np.stack([lines[which][inside], m.grains.ravel()[inside]]), axis=1)
    clear = np.bincount(pairs[0])
    assert np.mean(clear[clear > 0] == 1) > 0.8 or line_shape == "pile_ups"
    assert m.grains.max() - 1 <= lines.max() + 1


@pytest.mark.parametrize("shape", [(3000, 3000), (400, 400, 400)])
def test_curved_lines_forget_their_direction_over_the_persistence_length(shape):
    from napari_anneal.synthesis.objects.dislocations import _bowed

    persistence = 40.0
    rng = np.random.default_rng(0)
    lines = _bowed(np.zeros((400, 3)), 1200.0, persistence, len(shape), rng)
    step = np.diff(lines, axis=1)
    piece = np.linalg.norm(step, axis=2).mean()
    step /= piece
    middle = step.shape[1] // 2

    def kept(distance):
        k = round(distance / piece)
        arm = step[:, middle + 2 :]
        return float((arm[:, :-k] * arm[:, k:]).sum(axis=2).mean())

    # Beyond the length over which the curvature is kept, the loss is exponential.
    assert kept(2 * persistence) / kept(persistence) == pytest.approx(np.exp(-1), abs=0.05)
    assert kept(8 * persistence) == pytest.approx(0, abs=0.05)
    # Bowed, not jagged: from piece to piece the direction hardly changes.
    assert (step[:, 1:] * step[:, :-1]).sum(axis=2).min() > 0.8


def test_lines_may_end_but_loops_are_closed():
    def holes(**objects):
        """Number of holes in each line that neither an edge nor another line meets."""
        m = synthesize(recipe((300, 300), **objects), 1)
        pieces, _ = ndimage.label(m.phase == 2, structure=np.ones((3, 3)))
        return [
            1 - r.euler_number for r in regionprops(pieces)
            if min(r.bbox) > 0 and max(r.bbox) < 300 and np.unique(m.grains[pieces == r.label]).size == 1
        ]  # fmt: skip

    loops = holes(line_shape="loops", diameter=30, line_density=0.01, elongation=1.0)
    assert len(loops) > 2
    assert set(loops) == {1}
    ends = holes(line_shape="curved", length=40, line_density=0.004)
    assert len(ends) > 2
    assert set(ends) == {0}


def test_lines_are_darker_than_the_foil_and_fade_along_it():
    look = {"rung": 2, "line_density": 0.01, "contrast": -0.3, "contrast_spread": 0.0, "bend_contours": 0.0}
    steady = synthesize(recipe(fading=0.0, **look), 2)
    fading = synthesize(recipe(fading=0.9, **look), 2)
    line, foil = steady.distance < 0.7, steady.distance > 8
    assert steady.image[foil].mean() - steady.image[line].mean() > 0.2
    assert fading.image[line].std() > 1.2 * steady.image[line].std()
    bent = synthesize(recipe(fading=0.0, **{**look, "bend_contours": 0.25}), 2)
    assert bent.image[foil].std() > 1.5 * steady.image[foil].std()


@pytest.mark.parametrize(
    ("shape", "forms"),
    [
        ((96, 96), ("precipitates", "particles", "pores", "fibres", "dislocations", "nanoparticles")),
        ((20, 32, 36), ("precipitates", "particles", "pores", "fibres", "dislocations")),
    ],
)
def test_a_stream_of_all_forms_never_fails_and_holds_legal_labels(shape, forms):
    stream = SyntheticStream(RecipeRanges(shape=shape, kind="objects", objects=ObjectRanges(form=forms)), seed=2)
    drawn = set()
    for i in range(40):
        m = stream[i]
        drawn.add(m.recipe.objects.form)
        assert np.isfinite(m.image).all()
        assert m.image.min() >= 0
        assert m.image.max() <= 1
        assert np.unique(m.grains).tolist() == list(range(1, m.grains.max() + 1))
        assert ((m.grains > 1) == (m.phase == 2)).all()
        assert (m.distance >= 0).all()
    assert len(drawn) == len(forms)
