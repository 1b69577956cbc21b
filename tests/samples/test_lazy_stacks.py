from __future__ import annotations

import builtins

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import napari_anneal.samples.image_files as image_files
from napari_anneal.errors import InputError
from napari_anneal.samples.lazy_stacks import LazyStack
from napari_anneal.samples.reading import read_image

h5py = pytest.importorskip("h5py")


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (12, 20, 17), dtype=np.uint16)


@pytest.fixture
def small_limit(monkeypatch) -> None:
    monkeypatch.setattr(image_files, "LAZY_BYTES", 100)


TIFFS = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "imagej": {"imagej": True},
    "ome": {"ome": True},
    "deflate": {"compression": "zlib"},
    "pages": {"contiguous": False},
}


def write_tiff(path, stack, kind: str) -> None:
    options = {"photometric": "minisblack", **TIFFS[kind]}
    opening = {key: options.pop(key) for key in ("byteorder", "bigtiff", "imagej", "ome") if key in options}
    metadata = {"axes": "ZYX"} if kind in ("imagej", "ome") else None
    with tifffile.TiffWriter(path, **opening) as file:
        if kind == "pages":
            for page in stack:
                file.write(page, photometric="minisblack", metadata=None, rowsperstrip=3)
        else:
            file.write(stack, metadata=metadata, **options)


@pytest.mark.parametrize("kind", list(TIFFS))
def test_a_large_tiff_stays_on_disk_and_gives_its_pages(tmp_path, stack, small_limit, kind):
    path = tmp_path / "a.tif"
    write_tiff(path, stack, kind)
    lazy, axes, spacing = read_image(path, lazy=True)
    assert isinstance(lazy, LazyStack)
    assert axes == "ZYX"
    assert spacing == read_image(path)[2]
    assert (lazy.shape, lazy.dtype) == (stack.shape, stack.dtype)
    assert np.array_equal(np.asarray(lazy), stack)
    assert np.array_equal(lazy[3], stack[3])
    assert np.array_equal(lazy[2:9, 3:7, :5], stack[2:9, 3:7, :5])
    assert np.array_equal(lazy[2:9:3], stack[2:9:3])


@pytest.mark.parametrize("kind", ["plain", "bigtiff", "imagej", "ome", "deflate", "pages"])
@settings(max_examples=17, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_tiff_cut_anywhere_is_refused_or_whole(tmp_path_factory, kind, share):
    """17 cuts of 6 kinds: 102 in all. What is cut off may be padding at the end, but never a pixel."""
    stack = np.random.default_rng(1).integers(0, 60000, (5, 8, 9), dtype=np.uint16)
    path = tmp_path_factory.mktemp("cut") / "a.tif"
    write_tiff(path, stack, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for lazy in (False, True):
        try:
            found = read_image(path, lazy=lazy)[0]
        except InputError:
            continue
        assert np.array_equal(np.asarray(found), stack)


def test_pages_of_different_sizes_are_refused_and_the_page_is_named(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for shape in [(8, 9), (8, 9), (8, 7), (8, 9)]:
            file.write(np.zeros(shape, np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(InputError, match=r"page 3 is \(8, 7\), but page 1 is \(8, 9\)"):
        read_image(path)


def test_a_folder_of_slices_is_read_slice_by_slice_in_the_order_of_numbers(tmp_path, stack, small_limit):
    for z, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / f"slice{z + 1}.tif", plane, photometric="minisblack")
    lazy, axes, _ = read_image(tmp_path, lazy=True)
    assert isinstance(lazy, LazyStack)
    assert axes == "ZYX"
    assert np.array_equal(np.asarray(lazy), stack)
    tifffile.imwrite(tmp_path / "slice7.tif", stack[0][:-1], photometric="minisblack")
    with pytest.raises(InputError, match=r"slice7.tif is \(19, 17\), but slice1.tif is \(20, 17\)"):
        read_image(tmp_path, lazy=True)
    (tmp_path / "slice7.tif").write_bytes(b"II")
    with pytest.raises(InputError, match=r"slice7.tif is damaged"):
        read_image(tmp_path, lazy=True)


def test_a_slice_of_another_type_in_a_folder_is_named_when_it_is_read(tmp_path, stack, small_limit):
    for z in range(4):
        Image.fromarray(stack[z].astype(np.uint8)).save(tmp_path / f"{z}.png")
    Image.fromarray(np.repeat(stack[2].astype(np.uint8)[..., None], 3, -1) + np.uint8([0, 1, 2])).save(
        tmp_path / "2.png"
    )
    lazy = read_image(tmp_path, lazy=True)[0]
    with pytest.raises(InputError, match=r"2.png is .* must be alike"):
        lazy[2]


def test_hdf5_is_read_by_its_dataset(tmp_path, stack):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data", data=stack, chunks=(4, 8, 8), compression="gzip")
    array, axes, spacing = read_image(path)
    assert (axes, spacing) == ("ZYX", None)
    assert np.array_equal(array[2:4], stack[2:4])
    array.file.close()
    with h5py.File(path, "a") as file:
        file.create_dataset("entry/two", data=np.stack([stack, 2 * stack]))
    with pytest.raises(InputError, match="holds the datasets entry/data, entry/two; name one of them with dataset="):
        read_image(path)
    assert read_image(path, dataset="/entry/data")[1] == "ZYX"
    assert np.array_equal(np.asarray(read_image(path, dataset="entry/two", channel=1)[0]), 2 * stack)
    with pytest.raises(InputError, match=r"has no image dataset 'nope'; it holds entry/data"):
        read_image(path, dataset="nope")
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match="cannot be opened as HDF5"):
        read_image(path)


def test_without_h5py_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"x")
    real = builtins.__import__

    def without(name, *rest):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="h5py that reads those is not installed; install it with `pip install h5py`"):
        read_image(tmp_path / "a.h5")


@pytest.mark.parametrize("version", [2, 3])
def test_a_level_and_a_channel_of_an_ome_zarr_are_chosen(tmp_path, stack, version):
    both = np.stack([stack, stack[::-1]])
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=version)
    datasets = []
    for level in range(2):
        data = both[:, :, :: 2**level, :: 2**level]
        group.create_array(str(level), data=data, chunks=(1, 5, 8, 8))
        scale = [1.0, 2.0, 0.5 * 2**level, 0.5 * 2**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    axes = [{"name": "c", "type": "channel"}] + [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    multiscales = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs.update({"multiscales": multiscales} if version == 2 else {"ome": {"multiscales": multiscales}})
    array, found_axes, spacing = read_image(path, level=1, channel=1)
    assert found_axes == "ZYX"
    assert spacing == (2.0, 1.0, 1.0)
    assert np.array_equal(np.asarray(array), stack[::-1, ::2, ::2])
    with pytest.raises(InputError, match="has 2 levels and no level 2; they are counted from 0"):
        read_image(path, level=2, channel=0)
    with pytest.raises(InputError, match="has no channel 5"):
        read_image(path, channel=5)


def test_what_has_no_levels_says_so(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    with pytest.raises(InputError, match="neither levels nor channels"):
        read_image(tmp_path / "a.tif", level=1)
    with pytest.raises(InputError, match="is not an HDF5 file"):
        read_image(tmp_path / "a.tif", dataset="x")
