"""Claims about reading files; what is read is written here by other libraries, or damaged on purpose."""

import json
import shutil
import struct

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_anneal.errors import InputError
from napari_anneal.samples import missing_chunks, read_image, read_samples

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
STACK = RNG.integers(0, 60000, (20, 32, 40)).astype(np.uint16)


def check(path, expected, axes, spacing=None, **options):
    array, got_axes, got_spacing = read_image(path, **options)
    assert got_axes == axes
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(array), expected)
    assert got_spacing == (None if spacing is None else pytest.approx(spacing, rel=1e-4))


# --- pictures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [GREY, RGB, (GREY.astype(np.uint16) * 257), GREY > 128])
def test_png_comes_back_as_written(tmp_path, image):
    iio.imwrite(tmp_path / "a.png", image)
    check(tmp_path / "a.png", image, "YX" if image.ndim == 2 else "YXC")


def test_grey_stored_as_equal_colours_collapses_and_alpha_is_dropped(tmp_path):
    alpha = np.full((20, 30, 1), 200, np.uint8)
    iio.imwrite(tmp_path / "rgb.png", np.repeat(GREY[..., None], 3, -1))
    iio.imwrite(tmp_path / "rgba.png", np.concatenate([np.repeat(GREY[..., None], 3, -1), alpha], -1))
    iio.imwrite(tmp_path / "colour.png", np.concatenate([RGB, alpha], -1))
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha[..., 0])]).save(tmp_path / "la.png")
    for name in ("rgb", "rgba", "la"):
        check(tmp_path / f"{name}.png", GREY, "YX")
    check(tmp_path / "colour.png", RGB, "YXC")


def test_jpeg_of_a_grey_image_is_grey(tmp_path):
    smooth = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    iio.imwrite(tmp_path / "a.JPG", np.repeat(smooth[..., None], 3, -1), extension=".jpg", quality=95)
    array, axes, _ = read_image(tmp_path / "a.JPG")
    assert (axes, array.dtype) == ("YX", np.uint8)
    assert np.abs(array.astype(int) - smooth).max() < 12


def test_palette_labels_are_class_numbers_not_colours(tmp_path):
    classes = RNG.integers(0, 4, (20, 30)).astype(np.uint8)
    picture = Image.fromarray(classes, mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png")
    check(tmp_path / "a.png", classes, "YX", as_labels=True)
    assert read_image(tmp_path / "a.png")[1] == "YXC"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("keep", [0, 5, 60, -200])
def test_a_cut_off_picture_is_refused(tmp_path, suffix, keep):
    iio.imwrite(tmp_path / f"a{suffix}", RNG.integers(0, 256, (64, 64)).astype(np.uint8))
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(data[:keep])
    with pytest.raises(InputError, match=r"empty|damaged|truncated|not a TIFF"):
        read_image(tmp_path / f"a{suffix}")


def test_no_such_file_and_unknown_types_are_sentences(tmp_path):
    with pytest.raises(InputError, match=r"there is no file"):
        read_image(tmp_path / "nothing.png")
    (tmp_path / "a.czi").write_bytes(b"x")
    with pytest.raises(InputError, match=r"a\.czi is not a type"):
        read_image(tmp_path / "a.czi")


# --- NumPy ----------------------------------------------------------------------------------------------------


def test_npy_is_read_without_pickle(tmp_path):
    np.save(tmp_path / "a.npy", STACK)
    check(tmp_path / "a.npy", STACK, "ZYX")
    np.save(tmp_path / "b.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "c.npy", np.zeros((4, 4), complex))
    np.save(tmp_path / "d.npy", np.zeros((0, 4)))
    np.save(tmp_path / "e.npy", np.zeros(9))
    for name, reason in {"b": "cannot be read", "c": "complex", "d": "empty", "e": "shape"}.items():
        with pytest.raises(InputError, match=reason):
            read_image(tmp_path / f"{name}.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(InputError, match="cannot be read"):
        read_image(tmp_path / "a.npy")


# --- TIFF -----------------------------------------------------------------------------------------------------

WRITERS = {
    "shaped": {},
    "shaped, deflate": {"compression": "zlib"},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
    "ome, deflate": {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
    "big": {"bigtiff": True},
    "big endian": {"byteorder": ">"},
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_flavour_of_stack_comes_back_as_written(tmp_path, writer):
    path = tmp_path / ("a.ome.tif" if "ome" in writer else "a.tif")
    tifffile.imwrite(path, STACK, photometric="minisblack", **WRITERS[writer])
    check(path, STACK, "ZYX")


def write_pages(path, contiguous=False):
    with tifffile.TiffWriter(path) as tif:
        for plane in STACK:
            tif.write(plane, contiguous=contiguous, metadata=None)


@pytest.mark.parametrize("writer", [*WRITERS, "pages"])
@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_stack_is_never_read_in_part(tmp_path, writer, kept):
    path = tmp_path / ("a.ome.tif" if "ome" in writer else "a.tif")
    if writer == "pages":
        write_pages(path)
    else:
        tifffile.imwrite(path, STACK, photometric="minisblack", **WRITERS[writer])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=r"truncated|incomplete|damaged"):
        read_image(path)


def test_a_stack_that_announces_more_pages_than_it_has_is_refused(tmp_path):
    # The pages after the fifth are unlinked: the file itself is sound, only ImageJ's own count tells.
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for number, plane in enumerate(STACK[:5]):
            text = "ImageJ=1.53t\nimages=20\nslices=20\n" if number == 0 else None
            tif.write(plane, contiguous=False, metadata=None, description=text)
    with pytest.raises(InputError, match=r"incomplete: its metadata announce 20 pages, but 5"):
        read_image(tmp_path / "a.tif")


def test_a_loop_of_pages_is_refused(tmp_path):
    write_pages(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / "a.tif")


def test_pages_without_metadata_are_a_stack(tmp_path):
    write_pages(tmp_path / "a.tif")
    check(tmp_path / "a.tif", STACK, "ZYX")


def test_lzw_is_read_although_tifffile_cannot(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.tif", compression="tiff_lzw")
    check(tmp_path / "a.tif", GREY, "YX")
    planes = [Image.fromarray(plane) for plane in STACK]
    planes[0].save(tmp_path / "s.tif", compression="tiff_lzw", save_all=True, append_images=planes[1:])
    check(tmp_path / "s.tif", STACK, "ZYX")


def test_colour_tiffs_and_channels(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", RGB, photometric="rgb")
    check(tmp_path / "rgb.tif", RGB, "YXC")
    tifffile.imwrite(tmp_path / "planar.tif", np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    check(tmp_path / "planar.tif", RGB, "YXC")
    tifffile.imwrite(tmp_path / "grey.tif", np.repeat(GREY[..., None], 3, -1), photometric="rgb")
    check(tmp_path / "grey.tif", GREY, "YX")
    tifffile.imwrite(tmp_path / "two.tif", STACK[:2], imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(InputError, match="2 channels"):
        read_image(tmp_path / "two.tif")
    tifffile.imwrite(tmp_path / "tz.tif", STACK[:4].reshape(2, 2, 32, 40), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match="axes 2 T, 2 Z"):
        read_image(tmp_path / "tz.tif")


def test_large_plain_tiffs_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_anneal.samples.tiff_files.MEMORY_MAP_BYTES", 100)
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack")
    array, _, _ = read_image(tmp_path / "a.tif")
    assert isinstance(array, np.memmap)
    np.testing.assert_array_equal(array, STACK)


@pytest.mark.parametrize(
    ("options", "spacing"),
    [
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm",
          "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 0.5}}, (0.5, 0.25, 0.25)),
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 3.0}}, (3.0, 3.0, 2.0)),
        ({"imagej": True, "resolution": (4.0, 2.0), "metadata": {"axes": "ZYX", "unit": "um", "spacing": 1.5}},
         (1.5, 0.5, 0.25)),
        ({"imagej": True, "resolution": (4.0, 4.0), "metadata": {"axes": "ZYX", "unit": "pixel"}}, None),
        ({"resolution": (20000.0, 10000.0), "resolutionunit": "CENTIMETER"}, (1.0, 1.0, 0.5)),
        ({"resolution": (72.0, 72.0), "resolutionunit": "INCH"}, None),
        ({"resolution": (118.11, 118.11), "resolutionunit": "CENTIMETER"}, None),  # 300 dpi
    ],
)  # fmt: skip
def test_the_pixel_size_is_read_in_micrometres(tmp_path, options, spacing):
    path = tmp_path / ("a.ome.tif" if options.get("ome") else "a.tif")
    tifffile.imwrite(path, STACK, photometric="minisblack", **options)
    check(path, STACK, "ZYX", spacing)


def test_the_pixel_size_of_an_fei_microscope_is_read(tmp_path):
    header = "[Scan]\r\nPixelWidth=2.5e-009\r\nPixelHeight=2.5e-009\r\n"
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[(34682, 2, 0, header, True)], metadata=None)
    check(tmp_path / "a.tif", GREY, "YX", (0.0025, 0.0025))


# --- zarr -----------------------------------------------------------------------------------------------------


def make_store(path, zarr_format=3, shards=None):
    array = zarr.create_array(
        str(path),
        shape=STACK.shape,
        chunks=(4, 16, 16),
        shards=shards,
        dtype="uint16",
        zarr_format=zarr_format,
    )
    array[:] = STACK + 1
    return array


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_array_stays_lazy_and_complete(tmp_path, zarr_format):
    make_store(tmp_path / "a.zarr", zarr_format)
    array, axes, spacing = read_image(tmp_path / "a.zarr")
    assert isinstance(array, zarr.Array)
    assert (axes, spacing) == ("ZYX", None)
    np.testing.assert_array_equal(array[3], STACK[3] + 1)
    assert missing_chunks(array) == []


@pytest.mark.parametrize(
    ("zarr_format", "shards", "key"), [(2, None, "1.0.2"), (3, None, "c/1/0/2"), (3, (8, 32, 48), "c/1/0/0")]
)
@pytest.mark.parametrize("damage", ["removed", "emptied"])
def test_a_missing_chunk_is_named(tmp_path, zarr_format, shards, key, damage):
    make_store(tmp_path / "a.zarr", zarr_format, shards)
    chunk = tmp_path / "a.zarr" / key
    if damage == "removed":
        chunk.unlink()
    else:
        chunk.write_bytes(b"")
    with pytest.raises(InputError, match=rf"chunk {key} of .* is missing and would read as 0"):
        read_image(tmp_path / "a.zarr")
    assert missing_chunks(zarr.open(str(tmp_path / "a.zarr"), mode="r")) == [key]
    if damage == "removed":
        array, _, _ = read_image(tmp_path / "a.zarr", allow_missing_chunks=True)
        assert (array[:] == 0).sum() > 0


def test_a_missing_folder_of_chunks_counts_them_all(tmp_path):
    make_store(tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr" / "c" / "2")
    with pytest.raises(InputError, match="and 5 more"):
        read_image(tmp_path / "a.zarr")


def make_ome(path, version, axes="zyx", unit="nanometer", scale=(200.0, 100.0, 100.0), data=STACK):
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=data, chunks=data.shape)
    group.create_array("1", data=data[..., ::2], chunks=data[..., ::2].shape)
    multiscales = [
        {
            "version": version,
            "axes": [{"name": a, "type": "space", **({"unit": unit} if unit and a in "zyx" else {})} for a in axes],
            "datasets": [
                {"path": p, "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]} for p in "01"
            ],
        }
    ]
    group.attrs.update({"multiscales": multiscales} if version == "0.4" else {"ome": {"multiscales": multiscales}})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_gives_the_full_resolution_and_micrometres(tmp_path, version):
    make_ome(tmp_path / "a.ome.zarr", version)
    check(tmp_path / "a.ome.zarr", STACK, "ZYX", (0.2, 0.1, 0.1))


def test_ome_zarr_with_time_and_channel_axes_of_one_is_a_lazy_stack(tmp_path):
    make_ome(tmp_path / "a.zarr", "0.5", "tczyx", None, (1, 1, 3.0, 2.0, 2.0), STACK[None, None])
    array, axes, spacing = read_image(tmp_path / "a.zarr")
    assert type(array).__module__.startswith("dask")
    assert (axes, spacing) == ("ZYX", (3.0, 2.0, 2.0))
    np.testing.assert_array_equal(np.asarray(array[5]), STACK[5])


def test_ome_zarr_colours_and_channels(tmp_path):
    make_ome(tmp_path / "rgb.zarr", "0.5", "cyx", None, (1, 1, 1), np.ascontiguousarray(np.moveaxis(RGB, -1, 0)))
    check(tmp_path / "rgb.zarr", RGB, "YXC")
    make_ome(tmp_path / "two.zarr", "0.5", "cyx", None, (1, 1, 1), STACK[:2])
    with pytest.raises(InputError, match="2 c, 32 y, 40 x"):
        read_image(tmp_path / "two.zarr")


def test_what_ome_zarr_itself_writes_is_read(tmp_path):
    ome_zarr_writer = pytest.importorskip("ome_zarr.writer")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    ome_zarr_writer.write_image(STACK + 1, group, axes="zyx")
    array, axes, _ = read_image(tmp_path / "a.zarr")
    assert axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(array), STACK + 1)


def test_groups_without_an_image_are_sentences(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="cannot be opened"):
        read_image(tmp_path / "empty.zarr")
    group = zarr.open_group(str(tmp_path / "many.zarr"), mode="w")
    group.create_array("a", data=STACK)
    group.create_array("b", data=STACK)
    with pytest.raises(InputError, match="holds the arrays a, b"):
        read_image(tmp_path / "many.zarr")
    make_ome(tmp_path / "lost.zarr", "0.5")
    shutil.rmtree(tmp_path / "lost.zarr" / "0")
    with pytest.raises(InputError, match="names the array '0'"):
        read_image(tmp_path / "lost.zarr")
    (tmp_path / "bad.zarr").mkdir()
    (tmp_path / "bad.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="cannot be opened"):
        read_image(tmp_path / "bad.zarr")


# --- folders --------------------------------------------------------------------------------------------------


def test_a_folder_of_slices_is_a_stack_in_the_order_of_its_numbers(tmp_path):
    for z in range(12):
        tifffile.imwrite(tmp_path / f"slice{z}.tif", STACK[z])
    check(tmp_path, STACK[:12], "ZYX")
    tifffile.imwrite(tmp_path / "slice12.tif", STACK[12, :-1])
    with pytest.raises(InputError, match=r"slice12\.tif is \(31, 40\)"):
        read_image(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="neither a zarr store nor slices"):
        read_image(tmp_path / "none")


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for name in "abc":
        iio.imwrite(tmp_path / "images" / f"{name}.png", GREY)
        tifffile.imwrite(tmp_path / "labels" / f"{name}.tif", (GREY // 100).astype(np.uint8))
    (tmp_path / "groups.csv").write_text("image,group,note\na.png,s1,x\nb,s1,\nc,s2,\n")
    return tmp_path


def test_pairs_groups_and_unlabelled_images_are_read(folder):
    (folder / "labels" / "b.tif").unlink()
    samples = read_samples(folder)
    assert [(s.name, s.group, s.labels is None) for s in samples] == [
        ("a", "s1", False), ("b", "s1", True), ("c", "s2", False),
    ]  # fmt: skip
    np.testing.assert_array_equal(samples[0].image, GREY)
    np.testing.assert_array_equal(samples[0].labels, GREY // 100)


def test_masks_semicolons_byte_order_marks_and_spacing_are_understood(folder):
    (folder / "labels").rename(folder / "masks")
    (folder / "groups.csv").write_text("Group;Image\ns1;a\ns1;b\ns2;c\n", encoding="utf-8-sig")
    (folder / "images" / "a.png").unlink()
    tifffile.imwrite(folder / "images" / "a.ome.tif", GREY, metadata={"axes": "YX", "PhysicalSizeX": 0.5}, ome=True)
    (folder / "images" / ".DS_Store").write_bytes(b"x")
    samples = read_samples(folder)
    assert [s.group for s in samples] == ["s1", "s1", "s2"]
    assert samples[0].spacing == (0.5, 0.5)


def test_without_groups_every_image_is_its_own(folder):
    (folder / "groups.csv").unlink()
    assert [s.group for s in read_samples(folder)] == ["", "", ""]


CSV = {
    "image,group\na,s1\nb,\nc,s2\n": r"line 3: the group is empty",
    "image,group\na,s1\n,s2\nb,s1\nc,s2\n": r"line 3: the image is empty",
    "image,group\na,s1\nb,s1\nc,s2\nd,s2\n": r"line 5: there is no image 'd'",
    "image,group\na,s1\nb,s1\nc,s2\na.png,s2\n": r"line 5: 'a.png' is listed twice",
    "image,group\na,s1\nb,s1\n": r"no group for c",
    "name,specimen\na,s1\n": r"columns image and group",
    "": r"columns image and group",
}


@pytest.mark.parametrize("text", CSV)
def test_a_groups_file_that_does_not_fit_is_refused(folder, text):
    (folder / "groups.csv").write_text(text)
    with pytest.raises(InputError, match=CSV[text]):
        read_samples(folder)


def test_folders_that_do_not_fit_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        read_samples(folder / "nothing")
    with pytest.raises(InputError, match="has no folder 'images'"):
        read_samples(folder / "images")
    iio.imwrite(folder / "labels" / "d.png", GREY)
    with pytest.raises(InputError, match=r"labels/d\.png has no image"):
        read_samples(folder)
    (folder / "labels" / "d.png").unlink()
    iio.imwrite(folder / "images" / "a.bmp", GREY)
    with pytest.raises(InputError, match=r"both a\.bmp and a\.png"):
        read_samples(folder)
    (folder / "images" / "a.bmp").unlink()
    (folder / "images" / "e.czi").write_bytes(b"x")
    with pytest.raises(InputError, match=r"e\.czi is of a type"):
        read_samples(folder)
    (folder / "images" / "e.czi").unlink()
    shutil.rmtree(folder / "labels")
    with pytest.raises(InputError, match="3 images but no labels"):
        read_samples(folder)


def test_labels_that_are_not_class_numbers_are_refused(folder):
    (folder / "labels" / "a.tif").unlink()
    iio.imwrite(folder / "labels" / "a.png", RGB)
    with pytest.raises(InputError, match="colour picture"):
        read_samples(folder)
    iio.imwrite(folder / "labels" / "a.png", ((GREY > 99) * 255).astype(np.uint8))
    with pytest.raises(InputError, match="0/255 mask"):
        read_samples(folder)
    iio.imwrite(folder / "labels" / "a.png", GREY[:-1] // 100)
    with pytest.raises(InputError, match=r"'a'.*differ in shape"):
        read_samples(folder)


def test_stacks_in_a_folder_pair_with_zarr_labels(folder):
    (folder / "groups.csv").unlink()
    tifffile.imwrite(folder / "images" / "vol.ome.tif", STACK, ome=True, metadata={"axes": "ZYX"})
    labels = zarr.create_array(
        str(folder / "labels" / "vol.zarr"), shape=STACK.shape, chunks=(1, 32, 40), dtype="uint8"
    )
    labels[7] = 2  # the other chunks do not exist: not painted, not lost
    volume = read_samples(folder)[-1]
    assert (volume.name, volume.axes) == ("vol", "ZYX")
    assert [painted.z for painted in volume.painted_slices()] == [7]


def test_every_message_is_one_sentence(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + b"\xff" * 60)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / "a.tif")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert json.dumps(str(caught.value))
