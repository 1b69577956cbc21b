"""*Synthetic microstructure*: what the form shows is what the core makes, as layers in scale."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QWidget

from napari_anneal.recipe_base import Recipe
from napari_anneal.samples import read_samples
from napari_anneal.synthesis import MicrostructureRecipe, RealLook, preset, synthesize
from napari_anneal.synthesis.growth.recipe import GrowthMethod
from napari_anneal.synthesis.objects.recipe import Form
from napari_anneal.synthesis.recipe_file import read_recipe
from napari_anneal.widgets._applicable import without_effect
from napari_anneal.widgets._mosaic import GAP
from napari_anneal.widgets._preview import PREVIEW, piece
from napari_anneal.widgets._rungs import HEADER, RUNGS_LAYER
from napari_anneal.widgets._save_pairs import SaveDialog
from napari_anneal.widgets._size_plot import measured, target
from napari_anneal.widgets._slider import Slider
from napari_anneal.widgets._stream_source import StreamSource
from napari_anneal.widgets.synthesis import SynthesisWidget


@pytest.fixture
def form(viewer):
    form = SynthesisWidget(viewer)
    form.live.setChecked(False)
    form.settings.sizes[1].setValue(96)
    form.settings.sizes[2].setValue(128)
    form.settings.n_seeds.setValue(40)
    yield form
    form.job.stop()
    form.preview.stop()


def test_the_layers_are_those_of_the_core_for_the_same_recipe_and_seed(viewer, form, wait_for) -> None:
    form.settings.pixel.setValue(0.25)
    form.distance.setChecked(True)
    form.settings.seed.setValue(7)
    form.bar.start.click()
    wait_for(form)
    made = synthesize(MicrostructureRecipe(shape=(96, 128), n_seeds=40, spacing=(0.25, 0.25)), seed=7)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 image"].data, made.image)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 grains"].data, made.grains)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 boundary"].data, made.labels)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 distance"].data, made.distance)
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale, (0.25, 0.25))
    form.bar.start.click()
    wait_for(form)
    assert "microstructure 2 image" in viewer.layers


def test_a_volume_has_its_slice_distance(viewer, form, wait_for) -> None:
    form.settings.dims.setCurrentIndex(1)
    for spin, size in zip(form.settings.sizes, (12, 40, 50), strict=True):
        spin.setValue(size)
    form.settings.step.setValue(3)
    form.bar.start.click()
    wait_for(form)
    layer = viewer.layers["microstructure 1 grains"]
    assert layer.data.shape == (12, 40, 50)
    np.testing.assert_allclose(layer.scale, (3, 1, 1))


def test_the_preview_follows_edits_off_the_gui_thread_and_the_last_one_wins(viewer, form, qtbot) -> None:
    form.live.setChecked(True)
    qtbot.waitUntil(lambda: PREVIEW in viewer.layers, timeout=30_000)
    for count in (10, 20, 60):
        form.settings.n_seeds.setValue(count)
    qtbot.waitUntil(lambda: "60 grains" in form.bar.text, timeout=30_000)
    expected = synthesize(form.recipe(), form.seed)
    np.testing.assert_array_equal(viewer.layers[PREVIEW].data, expected.image)
    form.settings.rung.setCurrentIndex(0)
    qtbot.waitUntil(lambda: not np.array_equal(viewer.layers[PREVIEW].data, expected.image), timeout=30_000)
    assert len(viewer.layers) == 1


def test_seeds_come_from_points_in_world_coordinates(viewer, form, wait_for) -> None:
    form.settings.pixel.setValue(0.5)
    points = np.array([[10.0, 20.0], [70.0, 100.0], [40.0, 60.0]])
    layer = viewer.add_points(points, scale=(0.5, 0.5))
    form.settings.points.choose(layer)
    form.bar.start.click()
    wait_for(form)
    grains = viewer.layers["microstructure 1 grains"].data
    assert grains.max() == 3
    assert len({int(grains[int(y), int(x)]) for y, x in points}) == 3
    layer.data = np.array([[10.0, 5000.0]])
    form.bar.start.click()
    assert "outside the image" in form.bar.text
    assert form.bar.start.isEnabled()


def test_points_of_another_number_of_axes_are_refused(viewer, form) -> None:
    form.settings.points.choose(viewer.add_points(np.zeros((1, 3)), ndim=3))
    form.bar.start.click()
    assert "3 coordinates" in form.bar.text


def test_a_contradiction_is_the_cores_sentence(form) -> None:
    form.settings.sliders["boundary_width"].setValue(90.0)
    form.bar.start.click()
    assert "wider than the mean grain" in form.bar.text


def test_every_field_has_an_editor_with_its_description(form) -> None:
    """What a recipe gains appears by itself; these few are set in other ways."""
    elsewhere = {
        "shape",
        "spacing",
        "points",
        "objects",
        "appearance",
        "growth",
        "two_phase",
        "target_sizes",
        "real_look",
    }
    for part, editors in form.settings.forms.items():
        recipe = form.recipe() if part == "" else getattr(form.recipe(), part)
        fields = type(recipe).model_fields
        slid = {path.rpartition(".")[2] for path in form.settings.sliders if path.rpartition(".")[0] == part}
        missing = set(fields) - set(editors.values()) - slid - {"rung"}
        assert missing == (elsewhere if part == "" else set())
        for name, (_, editor) in editors._rows.items():
            described = fields[name].description.rstrip(".")
            assert described[1:] in editor.toolTip(), name


def test_a_preview_of_a_large_recipe_is_a_piece_of_the_same_density() -> None:
    small = piece(MicrostructureRecipe(shape=(2048, 2048), n_seeds=4000))
    assert small.shape == (512, 512)
    assert small.n_seeds == pytest.approx(4000 * (512 / 2048) ** 2, rel=0.01)


def test_settings_survive_the_form_for_every_preset(form) -> None:
    form.settings.sizes[2].setValue(96)
    for index in range(1, form.settings.preset.count()):
        form.settings.preset.setCurrentIndex(index)
        wanted = preset(form.settings.preset.currentData(), (96, 96))
        # The boxes hold four digits after the point, as the preset's own three significant digits need.
        shown = form.recipe().model_dump()
        for part, settings in wanted.model_dump().items():
            if part not in ("spacing",):
                assert _close(shown[part], settings), (form.settings.preset.currentText(), part)


def _close(a, b) -> bool:
    if isinstance(a, dict):
        return all(_close(a[key], b[key]) for key in b)
    return a == pytest.approx(b, abs=6e-5, rel=1e-3) if isinstance(a, float) else a == b


def test_only_what_applies_is_shown(form) -> None:
    geometry, objects = form.settings.forms[""], form.settings.forms["objects"]
    geometry.set_values({"kind": "objects"})
    assert geometry._rows["waviness"][1].isHidden()
    assert form.settings.n_seeds.isHidden()
    objects.set_values({"form": "dislocations"})
    assert not objects._rows["line_density"][1].isHidden()
    assert objects._rows["facets"][1].isHidden()
    assert form.settings.sliders["objects.volume_fraction"].isHidden()
    geometry.set_values({"kind": "two_phase"})
    assert not form.settings.sliders["two_phase.wavelength"].isHidden()
    assert form.recipe().kind == "two_phase"
    geometry.set_values({"kind": "grains"})
    assert not geometry._rows["waviness"][1].isHidden()
    form.settings.forms["growth"].set_values({"method": "potts"})
    assert geometry._rows["waviness"][1].isHidden()


@pytest.mark.parametrize(
    ("form_of_objects", "kind", "growth"),
    [(name, "objects", "none") for name in get_args(Form)]
    + [("particles", "grains", name) for name in get_args(GrowthMethod)]
    + [("particles", "two_phase", "none")],
)
def test_a_hidden_setting_changes_no_pixel(form_of_objects, kind, growth) -> None:
    """Each setting that the form hides is changed, all at once: the microstructure stays the same."""
    recipe = MicrostructureRecipe(
        kind=kind,
        shape=(64, 64),
        n_seeds=20,
        objects={"form": form_of_objects, "diameter": 8.0, "volume_fraction": 0.1},
        growth={"method": growth, "rounds": 3, "time": 5},
        appearance={"rung": 2},
    )

    def changed(part: Recipe, idle: set[str]) -> Recipe:
        settings = {
            "fine_fraction": 0.2, "free_zone": 5.0, "facets": 5, "overlap": "free", "line_shape": "loops",
            "waviness": 0.5, "size_cv": None, "length": 20.0, "exponent": 3.0, "volume_fraction": 0.2,
            "number_density": 0.0, "rounds": 5.0, "time": 9.0, "size_dispersion": 0.3, "rounding": 0.2,
            "elongation": 2.0, "twins": 0.5, "gap": 2.0, "irregularity": 0.2, "temperature": 0.3, "resolution": 14.0,
            "tilt_deg": 30.0, "misorientation_deg": 20.0, "fringes": 0.1, "diffracting": 0.6, "fading": 0.9,
            "line_density": 0.04, "line_width": 5.0, "persistence": 20.0, "bend_contours": 0.4, "smoothing": 1.0,
            "second_phase": 0.5, "aspect_ratio": 2.0, "boundary_contrast": 0.3, "phase_contrast": 0.3, "slope": 0.3,
            "gaps": 0.3, "groove_width": 5.0, "groove_texture": 0.4, "groove_roughness": 0.5, "edge_brightening": 0.3,
            "junction_rounding": 5.0, "faint_boundaries": 0.5, "groove_islands": 0.4, "elongation_spread": 0.4,
            "direction_spread_deg": 40.0, "cluster_size": 5.0, "cluster_radius": 0.3, "fine_diameter": 3.0,
            "grain_contrast": 0.3,
            "contrast_spread": 0.7, "groove_width_spread": 0.7, "lloyd_rounds": 2, "placement": "blue_noise",
        }  # fmt: skip
        return part.model_copy(update={name: value for name, value in settings.items() if name in idle})

    parts = {name: getattr(recipe, name) for name in ("growth", "objects", "appearance")}
    own = without_effect("", recipe.model_dump(), kind, growth)
    other = changed(recipe, own)
    update = {n: changed(p, without_effect(n, p.model_dump(), kind, growth)) for n, p in parts.items()}
    other = other.model_copy(update=update)
    assert other != recipe
    np.testing.assert_array_equal(synthesize(recipe, 3).image, synthesize(other, 3).image)


def test_dragging_and_typing_agree(qtbot) -> None:
    slider = Slider(10, 5000, (1, None), whole=True, log=True)
    slider.setValue(300)
    assert slider.slider.value() == pytest.approx(200 * np.log(30) / np.log(500), abs=0.5)
    with qtbot.waitSignal(slider.changed):
        slider.slider.setValue(200)
    assert slider.value() == 5000
    slider.setValue(20_000)  # may be typed, though it cannot be dragged
    assert slider.value() == 20_000
    fine = Slider(-0.5, 0.5)
    for step in range(201):
        fine.slider.setValue(step)
        assert fine.slider.value() == step
        assert fine.value() == pytest.approx(-0.5 + step / 200, abs=1e-9)


def test_the_rungs_lie_side_by_side_with_the_labels_and_the_preview_takes_over_again(
    viewer, form, wait_for, qtbot
) -> None:
    form.settings.sizes[2].setValue(96)
    form.rungs.click()
    wait_for(form)
    mosaic = viewer.layers[RUNGS_LAYER].data
    for number in range(5):
        look = form.recipe().appearance.model_copy(update={"rung": number + 1})
        made = synthesize(form.recipe().model_copy(update={"appearance": look}), form.seed)
        y, x = number // 3 * (96 + HEADER + GAP) + HEADER, number % 3 * (96 + GAP)
        np.testing.assert_array_equal(mosaic[y : y + 96, x : x + 96], made.image)
    np.testing.assert_array_equal(mosaic[-96:, -96:], made.labels == 2)
    form.live.setChecked(True)
    qtbot.waitUntil(lambda: PREVIEW in viewer.layers, timeout=30_000)
    qtbot.waitUntil(lambda: RUNGS_LAYER not in viewer.layers)


def test_seeds_go_to_points_and_come_back_as_the_same_grains(viewer, form, wait_for) -> None:
    form.settings.pixel.setValue(0.5)
    form.settings.unit.setCurrentText("µm")
    form.seeds.click()
    wait_for(form)
    layer = viewer.layers["seeds"]
    assert len(layer.data) == 40
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    form.settings.points.choose(layer)
    again, before = synthesize(form.recipe()), synthesize(form.recipe().model_copy(update=RANDOM))
    assert np.mean(again.grains == before.grains) > 0.999
    layer.data = layer.data[:25]
    assert form.recipe().n_seeds == 25


RANDOM = {"placement": "random", "points": None, "n_seeds": 40}


def test_saved_pairs_are_those_of_running_seeds_with_their_recipe(form, wait_for, tmp_path) -> None:
    form.settings.seed.setValue(5)
    form.save_pairs(2, tmp_path / "pairs")
    wait_for(form)
    assert form.bar.text.startswith("2 pairs"), form.bar.text
    saved = read_recipe(tmp_path / "pairs" / "recipe.json")
    assert (saved.recipe, saved.seed, saved.count) == (form.recipe(), 5, 2)
    samples = read_samples(tmp_path / "pairs")
    np.testing.assert_array_equal(samples[1].labels, synthesize(form.recipe(), 6).labels)
    form.save_pairs(2, tmp_path / "pairs")
    wait_for(form)
    assert "already exists" in form.bar.text
    assert form.bar.start.isEnabled()


def test_cancel_keeps_the_pairs_that_are_finished(form, wait_for, tmp_path, qtbot) -> None:
    form.save_pairs(100_000, tmp_path / "pairs")
    qtbot.waitUntil(lambda: form.bar.progress.maximum() == 100_000, timeout=30_000)
    form.bar.cancel.click()
    wait_for(form)
    count = len(list((tmp_path / "pairs" / "images").iterdir()))
    assert 0 < count < 100_000
    assert form.bar.text.startswith(f"{count} pairs of 100000 (cancelled)")


def test_the_dialog_says_what_the_pairs_take(form, qtbot, tmp_path) -> None:
    dialog = SaveDialog(form.recipe(), "grains", form)
    dialog.folder.setText(str(tmp_path / "new"))
    dialog.count.setValue(1_000_000)
    assert "GiB" in dialog.space.text()
    with qtbot.waitSignal(dialog.chosen) as asked:
        dialog.accept()
    assert asked.args == [1_000_000, tmp_path / "new"]


def test_the_copied_script_and_command_make_what_the_form_makes(form, tmp_path) -> None:
    form.settings.seed.setValue(3)
    form.copy_as("Python")
    scope: dict = {}
    exec(QApplication.clipboard().text(), scope)
    np.testing.assert_array_equal(scope["made"].image, synthesize(form.recipe(), 3).image)
    form.copy_as("command")
    assert QApplication.clipboard().text().startswith("napari-anneal synthesize")
    form.variety.setCurrentIndex(1)
    form.copy_as("Python")
    assert "SyntheticStream(ranges, seed=3)" in QApplication.clipboard().text()


@pytest.mark.parametrize("cv", [None, 0.3])
def test_the_target_is_a_density_of_mean_one_and_its_own_variation(cv) -> None:
    asked = target(MicrostructureRecipe(shape=(256, 256), n_seeds=50, size_cv=cv))
    x = np.linspace(1e-4, 12, 200_000)
    density = asked.density(x)
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-4)
    assert np.trapezoid(density * x, x) == pytest.approx(1, abs=1e-4)
    assert np.sqrt(np.trapezoid(density * (x - 1) ** 2, x)) == pytest.approx(asked.cv, abs=1e-3)


def test_measured_sizes_are_areas_of_grains_and_diameters_of_objects() -> None:
    made = synthesize(MicrostructureRecipe(shape=(200, 200), n_seeds=100, size_cv=0.4))
    sizes = measured(made)
    assert sizes.values.sum() == 200 * 200
    assert sizes.cv == pytest.approx(0.4, abs=0.05)
    assert "log-normal target: 0.40" in sizes.words
    disks = synthesize(
        MicrostructureRecipe(
            kind="objects",
            shape=(200, 200),
            objects={"form": "particles", "diameter": 20, "size_dispersion": 0, "elongation": 1, "irregularity": 0},
        )
    )
    assert np.median(measured(disks).values) == pytest.approx(20, rel=0.05)


def test_a_stream_of_one_recipe_keeps_its_settings_and_the_size_of_grains(form) -> None:
    recipe = form.recipe()
    stream = StreamSource(recipe, 4, "grains").stream(64)
    drawn, first = stream.recipe(0)
    assert drawn.shape == (64, 64)
    assert drawn.appearance == recipe.appearance
    assert drawn.grain_diameter == pytest.approx(recipe.grain_diameter, rel=0.05)
    again, second = stream.recipe(1)
    assert again == drawn
    assert first != second


def test_the_look_of_a_real_image_is_taken_and_given_back(viewer, form, qtbot) -> None:
    rng = np.random.default_rng(0)
    real = viewer.add_image(rng.normal(100, 20, (64, 64)).clip(0, 255).astype(np.uint8), name="real")
    flat = viewer.add_image(np.zeros((64, 64), np.uint8), name="flat")
    form.settings.look.layers.choose(real)
    qtbot.waitUntil(lambda: form.settings.look.look is not None, timeout=30_000)
    assert form.recipe().real_look == RealLook.estimate(real.data)
    assert form.settings.ranges().real_look == RealLook.estimate(real.data)
    form.settings.look.layers.choose(flat)
    qtbot.waitUntil(lambda: form.settings.look.look is None, timeout=30_000)
    assert "constant" in form.bar.text
    assert form.recipe().real_look is None


def test_the_form_fits_a_narrow_dock_for_every_kind_and_in_3d(make_napari_viewer) -> None:
    viewer = make_napari_viewer()  # with a window, whose style widens fields
    form = SynthesisWidget(viewer)
    form.live.setChecked(False)
    viewer.window.add_dock_widget(form, name="synthesis")
    form.settings.dims.setCurrentIndex(1)
    form.resize(400, 700)
    form.show()
    for kind in ("grains", "objects", "two_phase"):
        form.settings.forms[""].set_values({"kind": kind})
        assert form.findChild(QWidget, "form body").minimumSizeHint().width() <= 400 - 14, kind
