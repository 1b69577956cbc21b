"""TIFF: plain, multi-page, ImageJ and OME, with a check that all of what the file announces is there.

tifffile reads a truncated 20-page stack as one page, without an exception. So the chain of pages is walked here,
every strip must lie within the file, and the page count must agree with what ImageJ, OME or tifffile wrote about it.
"""

from __future__ import annotations

import logging
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.samples.lazy_stacks import raw_planes, tiff_pages
from napari_anneal.samples.tiff_spacing import tiff_spacing

__all__ = ["read_tiff"]

STACK_AXES = "ZTIQRP"
MEMORY_MAP_BYTES = 1 << 28
# Bytes of one value of each TIFF field type (TIFF 6.0, section 2; 13 and 16–18 are later additions).
BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def read_tiff(path: Path, lazy_bytes: int | None = None) -> tuple[Any, str, tuple[float, ...] | None]:
    """Read the first (full-resolution) series of a TIFF file; see ``read_image`` for what comes back.

    Stacks above ``lazy_bytes`` come back as a ``LazyStack``.

    Raises
    ------
    InputError
        Truncated, damaged, with pages of different sizes, an unsupported compression, or axes that are neither an image
        nor a stack.
    """
    import tifffile

    # tifffile reports damage through logging and reads on; the checks below raise instead.
    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        _check_chain(path)
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            _check_complete(tif, series, path)
            lazy = None if lazy_bytes is None or series.nbytes <= lazy_bytes else _lazy(tif, series, path)
            if lazy is not None:
                return lazy, "Z" + series.axes[1:].replace("S", "C"), tiff_spacing(tif, "Z" + series.axes[1:])
            array = _pixels(tif, series, path)
            array, axes = _standard_axes(array, series.axes, path.name)
            return array, axes, tiff_spacing(tif, axes)
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(".")
        raise InputError(f"{path.name} is damaged or not a TIFF file ({reason}); export it again.") from error
    finally:
        log.setLevel(level)


def _lazy(tif: Any, series: Any, path: Path) -> Any:
    """A plain stack of pages, left on disk; ``None`` where the axes are any others, or a page needs another reader."""
    axes = series.axes
    if len(axes) < 3 or axes[0] not in STACK_AXES or axes[1:] not in ("YX", "YXS"):
        return None
    if series.dataoffset is not None:
        return raw_planes(path, series.dataoffset, series.shape, series.dtype.newbyteorder(tif.byteorder))
    if len(series.pages) != series.shape[0] or any(page is None for page in series.pages):
        return None
    stack = tiff_pages(path, series)
    try:
        stack[0]
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return None
    return stack


def _pixels(tif: Any, series: Any, path: Path) -> Any:
    """All pixels of a series: mapped where the file is large and plain, decoded otherwise."""
    import tifffile

    if series.dataoffset is not None and series.nbytes > MEMORY_MAP_BYTES:
        return tifffile.memmap(path, series=0, mode="r")
    try:
        return series.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return _through_pillow(tif, series, path)


def _through_pillow(tif: Any, series: Any, path: Path) -> Any:
    """LZW and JPEG, which tifffile decodes only with an extra package, through Pillow's libtiff."""
    from PIL import Image, ImageSequence

    compression = tif.pages[0].compression.name
    try:
        with Image.open(path) as picture:
            pages = np.stack([np.asarray(page) for page in ImageSequence.Iterator(picture)])
    except Exception as error:
        raise InputError(
            f"{path.name} is compressed with {compression}, which cannot be read here; save it uncompressed or with "
            "deflate (ZIP), or install the package imagecodecs."
        ) from error
    if pages.dtype != series.dtype or pages.size != math.prod(series.shape):
        raise InputError(
            f"{path.name} is compressed with {compression} in a layout that cannot be read here; save it uncompressed."
        )
    return pages.reshape(series.shape)


def _standard_axes(array: Any, axes: str, where: str) -> tuple[Any, str]:
    """Tifffile's axes → (Z)YX(C): axes of length 1 go, samples or channels come last."""
    for position in reversed(range(array.ndim)):
        if array.shape[position] == 1 and axes[position] not in "YX":
            array, axes = np.squeeze(array, position), axes[:position] + axes[position + 1 :]
    stack = [a for a in axes if a in STACK_AXES]
    colour = [a for a in axes if a in "SC"]
    named = ", ".join(f"{n} {a}" for a, n in zip(axes, array.shape, strict=True))
    if len(stack) > 1 or len(colour) > 1 or len(stack) + len(colour) + 2 != array.ndim:
        raise InputError(f"{where} has the axes {named}; save one stack (Z, Y, X) or one image (Y, X) in a file.")
    if colour:
        position = axes.index(colour[0])
        if array.shape[position] not in (3, 4):
            raise InputError(f"{where} has {array.shape[position]} channels; save the one to segment, or an RGB image.")
        array, axes = np.moveaxis(array, position, -1), axes[:position] + axes[position + 1 :] + "C"
    return array, axes.replace(stack[0], "Z") if stack else axes


def _check_chain(path: Path) -> None:
    """Follow the page directories from one to the next; a link beyond the end of the file means that pages are lost."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise InputError(f"{path.name} is not a TIFF file, whatever its name says; export it again.")
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        offset = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])[0]
        seen: set[int] = set()
        while offset:
            if offset >= size or offset in seen:
                raise InputError(
                    f"{path.name} is truncated or damaged: page {len(seen) + 1} should start at byte {offset}, but the "
                    f"file has {size} bytes; copy or export it again."
                )
            seen.add(offset)
            try:
                offset = _next_directory(file, offset, order, big, size)
            except struct.error as error:
                raise InputError(
                    f"{path.name} is truncated or damaged in the directory of page {len(seen)}; copy it again."
                ) from error


def _next_directory(file: BinaryIO, offset: int, order: str, big: bool, size: int) -> int:
    """Offset of the directory after the one at ``offset``, 0 after the last; checks that its values lie in the file."""
    count_format, entry_format, link, inline = ("Q", "HHQQ", "Q", 8) if big else ("H", "HHII", "I", 4)

    def unpack(layout: str) -> tuple[int, ...]:
        return struct.unpack(order + layout, file.read(struct.calcsize("=" + layout)))

    file.seek(offset)
    (entries,) = unpack(count_format)
    for _ in range(entries):
        tag, kind, count, value = unpack(entry_format)
        length = count * BYTES_OF_TYPE.get(kind, 1)
        if length > inline and value + length > size:
            raise struct.error(f"the value of tag {tag} ends at byte {value + length}")
    return unpack(link)[0]


def _check_complete(tif: Any, series: Any, path: Path) -> None:
    """Compare what the file announces with what it holds."""
    size = path.stat().st_size
    for number, page in enumerate(tif.pages, start=1):
        ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
        if max(ends, default=0) > size:
            raise InputError(
                f"{path.name} is truncated: the pixels of page {number} reach beyond its {size} bytes; copy it again."
            )
    if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
        raise InputError(
            f"{path.name} is truncated: {series.nbytes} bytes of pixels are announced, but the file has {size} bytes; "
            "copy it again."
        )
    held = math.prod(series.shape) // max(1, math.prod(tif.pages[0].shape))
    announced = _announced_pages(tif)
    _check_sizes(tif, series, path)
    if any(page is None for page in series.pages) or (announced is not None and held < announced):
        there = sum(page is not None for page in series.pages) if None in series.pages else held
        raise InputError(
            f"{path.name} is incomplete: its metadata announce {announced or len(series.pages)} pages, but {there} are "
            "there; copy or export it again."
        )


def _check_sizes(tif: Any, series: Any, path: Path) -> None:
    """Refuse a plain multi-page file whose pages differ: tifffile would give the first few that are alike."""
    if series.kind not in ("generic", "uniform") or len(tif.series) == 1:
        return
    first = tif.pages[0]
    for number, page in enumerate(tif.pages, start=1):
        # Reduced-size copies and masks say what they are (TIFF 6.0, NewSubfileType).
        if page.shape != first.shape and not getattr(page, "subfiletype", 0):
            raise InputError(
                f"{path.name}: page {number} is {page.shape}, but page 1 is {first.shape}; the pages of a stack must "
                "be alike: save those that belong together in a file of their own."
            )


def _announced_pages(tif: Any) -> int | None:
    """Number of pages of the first series according to ImageJ's, OME's or tifffile's own metadata."""
    if tif.is_imagej and tif.imagej_metadata:
        return int(tif.imagej_metadata.get("images", 1))
    if tif.is_ome and tif.ome_metadata:
        from xml.etree import ElementTree

        pixels = ElementTree.fromstring(tif.ome_metadata).find(".//{*}Pixels")
        if pixels is not None:
            samples = pixels.find("{*}Channel")
            interleaved = int(samples.get("SamplesPerPixel", "1")) if samples is not None else 1
            return math.prod(int(pixels.get(f"Size{a}", "1")) for a in "ZCT") // interleaved
    if tif.is_shaped and tif.shaped_metadata:
        shape = tif.shaped_metadata[0].get("shape")
        return math.prod(shape) // max(1, math.prod(tif.pages[0].shape)) if shape else None
    return None
