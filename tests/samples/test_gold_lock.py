"""Claims about locked gold: its pixels cannot be read, and a folder remembers which images are gold."""

import copy
import pickle

import numpy as np
import pytest
import tifffile

from napari_anneal.errors import GoldError, InputError, OutputError
from napari_anneal.samples import Sample, is_locked, lock, read_samples
from napari_anneal.samples.fingerprints import image_fingerprint
from napari_anneal.samples.gold import unlocked
from napari_anneal.samples.gold_folder import GOLD_FILE, lock_folder, read_gold_file

READS = {
    "asarray": np.asarray,
    "slice": lambda a: a[0],
    "whole": lambda a: a[...],
    "iterate": list,
    "sum": lambda a: a.sum(),
    "numpy function": np.mean,
    "arithmetic": lambda a: a + 1,
    "comparison": lambda a: np.equal(a, 1),
    "type": lambda a: a.astype(float),
    "stack": lambda a: np.stack([a]),
    "torch": lambda a: __import__("torch").as_tensor(a),
    "dask": lambda a: __import__("dask.array").array.from_array(a).compute(scheduler="sync"),
}


def painted(name="a", group="g", stack=False):
    rng = np.random.default_rng(0)
    shape = (3, 8, 8) if stack else (8, 8)
    return Sample(rng.integers(0, 255, shape, dtype=np.uint8), np.ones(shape, np.int16), group, None, name)


@pytest.mark.parametrize("role", ["image", "labels"])
@pytest.mark.parametrize("way", READS)
def test_no_way_of_reading_gets_at_a_locked_array(role, way):
    with pytest.raises((GoldError, TypeError, ValueError)) as refused:
        READS[way](getattr(lock(painted()), role))
    if isinstance(refused.value, GoldError):
        assert "'a' is gold" in str(refused.value)


@pytest.mark.parametrize("stack", [False, True])
def test_a_locked_sample_says_what_it_is_but_not_what_it_shows(stack):
    plain = painted(stack=stack)
    closed = lock(plain)
    assert (closed.name, closed.group, closed.axes) == (plain.name, plain.group, plain.axes)
    assert (closed.spatial_shape, closed.channels, closed.is_stack) == (plain.spatial_shape, 1, stack)
    assert closed.image.shape == plain.image.shape
    assert closed.image.dtype == plain.image.dtype
    for read in (lambda: list(closed.painted_slices()), lambda: closed.channels_first(0)):
        with pytest.raises(GoldError):
            read()
    assert "locked gold" in repr(closed)
    assert is_locked(copy.copy(closed))
    assert is_locked(pickle.loads(pickle.dumps(closed)))
    assert lock(closed) is closed
    opened = unlocked(closed)
    assert opened.image is plain.image
    assert opened.labels is plain.labels
    assert not is_locked(plain)


@pytest.fixture
def folder(tmp_path):
    for sub in ("images", "labels"):
        (tmp_path / sub).mkdir()
    rows = ["image,group"]
    for i in range(4):
        tifffile.imwrite(tmp_path / "images" / f"s{i}.tif", np.random.default_rng(i).integers(0, 255, (32, 32)))
        tifffile.imwrite(tmp_path / "labels" / f"s{i}.tif", np.full((32, 32), 1, np.uint8))
        rows.append(f"s{i},g{i // 2}")
    (tmp_path / "groups.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_a_folder_remembers_its_gold_even_when_groups_or_names_change(folder):
    samples = read_samples(folder)
    lock_folder(folder, samples, [2, 3])
    assert [is_locked(s) for s in read_samples(folder)] == [False, False, True, True]
    assert read_gold_file(folder).samples["s2"] == image_fingerprint(samples[2])
    tifffile.imwrite(folder / "images" / "s9.tif", np.random.default_rng(9).integers(0, 255, (32, 32)))
    (folder / "groups.csv").write_text("image,group\ns0,g0\ns1,g0\ns2,g0\ns3,g1\ns9,g1\n")
    assert [s.name for s in read_samples(folder) if is_locked(s)] == ["s2", "s3", "s9"]
    lock_folder(folder, read_samples(folder), [0])
    assert set(read_gold_file(folder).groups) == {"g0", "g1"}


def test_a_damaged_gold_file_stops_reading_and_nothing_is_locked_by_no_name(folder):
    samples = read_samples(folder)
    with pytest.raises(InputError, match="no image is named as gold"):
        lock_folder(folder, samples, [])
    for text in ("", "[]", '{"format": "later"}', '{"format": "napari-anneal gold 1", "groups": [], "samples": 3}'):
        (folder / GOLD_FILE).write_text(text)
        with pytest.raises(InputError, match="does not say any more which images are gold"):
            read_samples(folder)
    (folder / GOLD_FILE).unlink()
    (folder / GOLD_FILE).mkdir()
    with pytest.raises((InputError, OutputError)):
        lock_folder(folder, samples, [0])


def test_the_fingerprint_is_of_the_pixels_and_not_of_name_group_or_paint():
    one, other = painted("a", "g"), Sample(painted().image, None, "h", None, "b")
    assert image_fingerprint(one) == image_fingerprint(other)
    changed = painted().image.copy()
    changed[3, 3] += 1
    assert image_fingerprint(Sample(changed)) != image_fingerprint(one)
    assert image_fingerprint(Sample(painted().image.astype(np.uint16))) != image_fingerprint(one)
