"""Which flips and turns are legal, against brute force over index grids; and that the mean over them turns along."""

import itertools

import numpy as np
import pytest
import torch

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.augmentation.legality import SAMPLE_KINDS, legal
from napari_anneal.inference import Model
from napari_anneal.inference.views import AS_IT_IS, View, legal_views, views_of

PLANE = torch.arange(15).reshape(3, 5)
BY_NUMPY = {
    "hflip": np.fliplr,
    "vflip": np.flipud,
    "rot180": lambda a: np.rot90(a, 2),
    "rot90": lambda a: np.rot90(a),
}
ALL = [View(mirrored, turns) for mirrored in (False, True) for turns in range(4)]


@pytest.mark.parametrize("view", ALL)
def test_a_view_is_undone_exactly(view):
    assert torch.equal(view.undo(view(PLANE)), PLANE)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ALL, ALL)))
def test_a_view_after_a_view_is_what_both_do(first, second):
    assert torch.equal(second.after(first)(PLANE), second(first(PLANE)))


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0, 180.0, 270.0])
def test_views_are_everything_that_legal_transforms_make_together(kind, angle):
    """Oracle: apply NumPy's flips and turns again and again to a plane without any symmetry."""
    plane = PLANE.numpy()
    seen = {plane.tobytes() + bytes(plane.shape): plane}
    for _ in range(4):
        for name in set(BY_NUMPY) & set(legal(kind, angle, angle)):
            for array in list(seen.values()):
                made = np.ascontiguousarray(BY_NUMPY[name](array))
                seen[made.tobytes() + bytes(made.shape)] = made
    views = legal_views(kind, angle, angle)
    found = {np.ascontiguousarray(v(PLANE).numpy()).tobytes() + bytes(v(PLANE).shape) for v in views}
    assert found == set(seen)
    assert len(views) == len(seen)
    assert views[0] == AS_IT_IS


def test_orientation_maps_are_looked_at_once_and_isotropic_samples_eight_times():
    assert legal_views("orientation_map") == (AS_IT_IS,)
    assert len(legal_views("isotropic")) == 8
    assert len(legal_views(["isotropic", "chiral"])) == 4


def test_views_come_from_the_sample_in_the_recipe_of_the_model(model):
    def trained_for(kind, **settings):
        recipe = AugmentationRecipe.for_sample(kind, **settings).model_dump(mode="json")
        return model.card.model_copy(update={"recipe": {"augmentation": recipe}})

    assert len(views_of(model.card)) == 8  # nothing is said: isotropic
    assert len(views_of(trained_for("chiral"))) == 4
    assert len(views_of(trained_for("shadowed", light_deg=90.0))) == 2
    assert len(views_of(trained_for("shadowed", light_deg=45.0))) == 1
    assert len(views_of(trained_for(["isotropic", "textured"], direction_deg=0.0))) == 4


def test_where_nothing_is_legal_the_one_look_is_the_model_itself(model):
    recipe = AugmentationRecipe.for_sample("orientation_map").model_dump(mode="json")
    alone = Model(model.network, model.card.model_copy(update={"recipe": {"augmentation": recipe}}), device="cpu")
    assert alone.turned is alone
