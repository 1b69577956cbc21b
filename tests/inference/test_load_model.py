from __future__ import annotations

import numpy as np
import pytest

import napari_anneal.inference.model as module
from napari_anneal.errors import InputError
from napari_anneal.inference import load_model, shipped_models


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_saved_model_segments_as_before(model, tmp_path, name):
    image = np.random.default_rng(0).integers(0, 255, (50, 40), dtype=np.uint8)
    model.save(tmp_path / name)
    again = load_model(tmp_path / name, device="cpu")
    assert again.classes == model.classes
    assert again.colours == model.colours
    np.testing.assert_array_equal(again.segment(image).probabilities, model.segment(image).probabilities)


def test_an_unknown_name_lists_what_there_is(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHIPPED", tmp_path)
    with pytest.raises(InputError, match="no model bundle at 'vornoi', and no models are shipped"):
        load_model("vornoi")
    model.save(tmp_path / "voronoi")
    (tmp_path / "notes").mkdir()
    assert shipped_models() == ("voronoi",)
    with pytest.raises(InputError, match="the shipped models are voronoi; check"):
        load_model("vornoi")
    assert load_model("voronoi").classes == model.classes


def test_saving_over_a_model_needs_permission(model, tmp_path):
    from napari_anneal.errors import OutputError

    model.save(tmp_path / "m")
    with pytest.raises(OutputError, match="already exists"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", overwrite=True)
