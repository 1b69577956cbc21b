"""*Noise of your detector* and *Write augmented pairs* in the form of the augmentation preview."""

from __future__ import annotations

import numpy as np
import pytest
from painted import add_pair, stripes, strokes

from napari_anneal.augmentation import low_dose
from napari_anneal.samples.folders import read_samples
from napari_anneal.synthesis.transfer.noise import Noise
from napari_anneal.widgets._layers import remember
from napari_anneal.widgets._noise_match import SIDE, simulated
from napari_anneal.widgets._session_augmentation import session_augmentation
from napari_anneal.widgets.augmentation import AugmentationWidget


@pytest.fixture
def form(viewer, qtbot):
    form = AugmentationWidget(viewer)
    qtbot.addWidget(form)
    yield form
    form.drawing.stop()
    form.job.stop()


def scene(seed: int, counts: float, read: float = 0.01, shape: tuple[int, ...] = (256, 256)) -> np.ndarray:
    """Smooth grains between 0.1 and 0.9 seen by a detector of known gain and read noise, unit range."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    clean = gaussian_filter(rng.normal(size=shape), 12)
    clean = 0.1 + 0.8 * (clean - clean.min()) / np.ptp(clean)
    return (rng.poisson(clean * counts) / counts + read * rng.normal(size=shape)).astype(np.float32)


def test_the_noise_is_measured_in_units_shown_beside_the_real_patch_and_taken_over(viewer, form, wait_for) -> None:
    image = viewer.add_image(scene(0, counts=400) * 1000, name="bse")
    form.noise.measure.click()
    wait_for(form)
    found = form.noise.found
    assert found.real.shape == found.simulated.shape == (SIDE, SIDE)
    assert form.noise.says.text().startswith("bse: read noise")
    assert "grey levels" in form.noise.says.text()
    assert "counts per pixel at the bright end" in form.noise.says.text()
    left, right = (side.pixmap() for side in form.noise.sides)
    assert left.size() == right.size()
    assert not form.noise.suggestion.isVisibleTo(form.noise)
    (low, high) = found.noise.poisson_counts
    assert low == pytest.approx(400 * np.ptp(np.percentile(image.data, (2, 98))) / 1000, rel=0.25)
    form.noise.accept.click()
    recipe = session_augmentation().recipe
    assert recipe.poisson_counts == pytest.approx((low, high), abs=1e-3)
    assert recipe.poisson == 0.1
    assert "measured ranges" in form.bar.text


def test_a_low_dose_is_said_and_one_press_accepts_the_suggestion(viewer, form, wait_for) -> None:
    viewer.add_image(scene(1, counts=30), name="tem")
    before = session_augmentation().recipe
    form.noise.measure.click()
    wait_for(form)
    assert form.noise.suggestion.isVisibleTo(form.noise)
    assert "shot noise rules" in form.noise.suggestion.text()
    wanted = low_dose(form.noise.found.noise.measured).settings
    form.noise.switch_on.click()
    recipe = session_augmentation().recipe
    assert recipe.poisson == wanted["poisson"]
    assert recipe.poisson_counts == pytest.approx(wanted["poisson_counts"])
    assert recipe.gaussian_noise == before.gaussian_noise  # nothing else


def test_the_simulated_patch_has_the_noise_of_the_real_one_on_the_same_structure() -> None:
    noise = Noise(0.03, 1 / 200)
    rng = np.random.default_rng(0)
    clean = np.where(np.arange(96) < 48, 0.2, 0.8) * np.ones((96, 1))
    real = (rng.poisson(clean * 200) / 200 + 0.03 * rng.normal(size=clean.shape)).astype(np.float32)
    fake = simulated(real, noise, 1)
    for half in (np.s_[:, 8:40], np.s_[:, 56:88]):
        assert fake[half].mean() == pytest.approx(real[half].mean(), abs=0.01)
        assert fake[half].std() == pytest.approx(real[half].std(), rel=0.12)
    assert abs(np.corrcoef((fake - clean).ravel(), (real - clean).ravel())[0, 1]) < 0.3  # not the same noise again
    np.testing.assert_array_equal(fake, simulated(real, noise, 1))
    assert simulated(real[..., np.newaxis].repeat(3, axis=2), noise, 0).shape == (96, 96, 3)


def test_all_images_are_read_but_gold_and_a_stack_by_the_slice_in_view(viewer, form, wait_for) -> None:
    viewer.add_image(np.stack([scene(k, 300) for k in range(3)]), name="ct")
    viewer.add_image(scene(4, 100), name="second")
    remember(viewer.add_image(scene(5, 5), name="gold"), gold=True, group="specimen 9")
    remember(viewer.add_image(scene(6, 5), name="of the gold specimen"), group="specimen 9")
    form.image.choose(viewer.layers["ct"])
    form.noise.which.setCurrentIndex(1)
    form.noise.measure.click()
    wait_for(form)
    assert [line.partition(":")[0] for line in form.noise.found.lines] == ["ct", "second"]
    form.image.choose(viewer.layers["gold"])
    form.noise.measure.click()
    assert "nothing may be learned from it" in form.bar.text


def test_noise_that_the_sample_forbids_stays_off_and_is_said(viewer, form, wait_for) -> None:
    viewer.add_image(scene(0, 400))
    form.sample.boxes["orientation_map"].setChecked(True)
    form.noise.measure.click()
    wait_for(form)
    form.noise.accept.click()
    assert "The sample forbids" in form.bar.text
    assert session_augmentation().recipe.poisson == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [(np.zeros((128, 128), np.uint8), "constant"), (stripes((40, 96)), "64 px a side"), (None, "no Image layer")],
)
def test_images_that_tell_nothing_of_noise_are_refused_in_a_sentence(viewer, form, wait_for, data, says) -> None:
    if data is not None:
        viewer.add_image(data, contrast_limits=(0, 1))
    form.noise.measure.click()
    wait_for(form)
    assert says in form.bar.text
    assert form.bar.start.isEnabled()


def test_pairs_are_written_with_the_recipe_shown_and_gold_is_left_out(viewer, form, wait_for, tmp_path) -> None:
    for number in range(3):
        image, _ = add_pair(viewer, name=f"steel-{number}", seed=number)
        remember(image, group=f"specimen {number}", gold=number == 2)
    form.labels.choose(viewer.layers["steel-0 labels"])
    form.sample.boxes["chiral"].setChecked(True)
    form.export.folder.setText(str(tmp_path / "out"))
    form.export.copies.setValue(2)
    form.export.which.setCurrentIndex(1)
    form.export.write.click()
    wait_for(form)
    assert "4 augmented pairs and 2 originals" in form.bar.text
    assert "Left out as gold: steel-2." in form.bar.text
    assert '"chiral"' in (tmp_path / "out" / "recipe.json").read_text()
    assert {sample.group for sample in read_samples(tmp_path / "out")} == {"specimen 0", "specimen 1"}
    assert form.export.folder.text().endswith("out-2")
    form.export.folder.setText(str(tmp_path / "out"))
    form.export.write.click()
    wait_for(form)
    assert "already exists" in form.bar.text


def test_a_cancelled_export_leaves_nothing(viewer, form, wait_for, tmp_path) -> None:
    add_pair(viewer)
    form.labels.choose(viewer.layers["fibres labels"])
    form.export.folder.setText(str(tmp_path / "out"))
    form.export.copies.setValue(1000)
    form.export.write.click()
    form.bar.cancel.click()
    wait_for(form)
    assert "Cancelled" in form.bar.text
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_write_without_paint(viewer, form, wait_for) -> None:
    viewer.add_image(stripes())
    form.export.write.click()
    assert "a pair without labels trains nothing" in form.bar.text
    form.labels.choose(viewer.add_labels(np.zeros_like(strokes())))
    form.export.write.click()
    wait_for(form)
    assert "nothing is painted" in form.bar.text
