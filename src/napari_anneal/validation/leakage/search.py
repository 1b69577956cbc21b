"""``find_copies``: which images of a data set are copies of one another, however turned, tinted or cropped."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.samples.gold import unlocked
from napari_anneal.samples.sample import Sample
from napari_anneal.validation.leakage.alignment import align
from napari_anneal.validation.leakage.detail import Detail, detail_of
from napari_anneal.validation.leakage.kinds import Kind, kind_of, refined
from napari_anneal.validation.leakage.matching import hypotheses
from napari_anneal.validation.leakage.motion import Motion, Shape
from napari_anneal.validation.leakage.planes import Plane, content, fingerprint, grey, planes_of
from napari_anneal.validation.leakage.symmetry import NAMES, SYMMETRIES, transform
from napari_anneal.validation.leakage.uniqueness import stands_out

__all__ = ["Copy", "find_copies"]

# Small images are looked at as they are and at half size, others at a half and a quarter: noise is less there.
SMALL_PX, FACTORS_SMALL, FACTORS = 192, (1, 2), (2, 4)
# Below this, in reduced pixels, there is no room for a keypoint and its rings.
LEAST_PX = 32
KEYPOINT_DISTANCE_PX = 10
# Comparisons made for every plane at most; those with most votes are first.
PER_PLANE = 30
MOST_IN_CLUSTERS = 20_000
_CORNERS = np.array([[0, 1], [2, 3]])
# Answers for the last few sets of images, by their contents: a form that plans a run anew at every change asks for the
# same images again and again.
MOST_KNOWN = 8
_KNOWN: dict[tuple[tuple[Plane, bytes], ...], tuple[Copy, ...]] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Copy:
    """Two samples that show, at least in part, the same.

    Attributes
    ----------
    first, second
        Their indices; first < second.
    kind
        ``exact``, ``symmetric`` (turned or mirrored), ``grey`` (other grey levels), ``noisy`` (other noise, blur or
        compression) or ``overlap`` (crops of one picture). Grey and noisy copies and overlaps may be turned, too.
    symmetry
        0…7, how the first is turned or mirrored to become the second; ``how`` says it in words.
    shift
        (y, x) px: pixel p of the turned first image is pixel p + shift of the second.
    overlap
        Share of the smaller image that the other shows, 0…1.
    correlation
        Of their detail where they overlap; negative: one is the other's negative.
    slices
        Slices of stacks that were found alike; ``None`` for a 2D image.
    """

    first: int
    second: int
    kind: Kind
    symmetry: int
    shift: tuple[int, int]
    overlap: float
    correlation: float
    slices: tuple[int | None, int | None] = (None, None)

    @property
    def how(self) -> str:
        """The symmetry in words."""
        return NAMES[self.symmetry]

    def sentence(self, names: Sequence[str]) -> str:
        """Say it, with the samples called by these names."""
        a, b = (
            repr(names[i]) + (f" (slice {z})" if z is not None else "")
            for i, z in zip((self.first, self.second), self.slices, strict=True)
        )
        turned = f", {self.how}" if self.symmetry else ""
        negative = " and is its negative" if self.correlation < 0 else ""
        if self.kind == "overlap":
            return f"{b} overlaps {a} by {self.overlap:.0%}{turned}{negative}."
        what = {"exact": "", "symmetric": "", "grey": " with other grey levels", "noisy": " with other noise"}
        return f"{b} is a copy of {a}{what[self.kind]}{turned}."


@dataclass
class _Search:
    """What is known about the planes, and the pairs found so far."""

    samples: Sequence[Sample]
    planes: list[Plane]
    shapes: list[Shape] = field(default_factory=list)
    fingerprints: list[tuple[int, ...]] = field(default_factory=list)
    details: list[dict[int, Detail]] = field(default_factory=list)
    found: dict[tuple[int, int], tuple[Motion, float]] = field(default_factory=dict)

    def grey(self, index: int) -> npt.NDArray[np.float32]:
        """Read a plane."""
        plane = self.planes[index]
        return grey(self.samples[plane.sample], plane)


def find_copies(
    samples: Sequence[Sample],
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> tuple[Copy, ...]:
    """Find images that are copies of one another: turned, mirrored, tinted, inverted, noisy, cropped or shifted.

    Crops count from about a third of the smaller image on, at the same magnification; images turned by other angles
    than 90° or scaled are not found. Images under 40 px are compared pixel by pixel only. Constant images are copies
    of nothing. Slices of one stack are not compared with one another: they are one sample.

    Parameters
    ----------
    samples
        Painted or not.
    progress
        Called with (planes done, planes in all).
    cancel
        Asked between planes; what was found until then is returned.

    Returns
    -------
    tuple of Copy
        At most one a pair of samples, the closest one; in the order of the samples.
    """
    samples = [unlocked(sample) for sample in samples]  # gold is compared with the rest, and nothing is learned from it
    search = _Search(samples, planes_of(samples))
    workers = min(4, os.cpu_count() or 1)
    contents = tuple((plane, content(search.grey(i))) for i, plane in enumerate(search.planes))
    if contents in _KNOWN:
        return _KNOWN[contents]
    _describe(search, workers, progress, cancel)
    _same_pixels(search)
    for factor in sorted({f for detail in search.details for f in detail}, reverse=True):
        _similar(search, factor, workers, cancel)
    _complete_clusters(search)
    copies: dict[tuple[int, int], Copy] = {}
    for (a, b), (motion, correlation) in sorted(search.found.items()):
        copy = _judged(search, a, b, motion, correlation)
        pair = (copy.first, copy.second)
        if pair not in copies or _closeness(copies[pair]) < _closeness(copy):
            copies[pair] = copy
    result = tuple(copies[pair] for pair in sorted(copies))
    if cancel is None or not cancel.is_set():
        with _LOCK:
            _KNOWN[contents] = result
            while len(_KNOWN) > MOST_KNOWN:
                del _KNOWN[next(iter(_KNOWN))]
    return result


def _describe(
    search: _Search, workers: int, progress: Callable[[int, int], None] | None, cancel: CancelSignal | None
) -> None:
    """Read every plane once; keep its fingerprint and detail."""

    def describe(index: int) -> tuple[Shape, tuple[int, ...], dict[int, Detail]]:
        image = search.grey(index)
        shape = (image.shape[0], image.shape[1])
        code = fingerprint(image)
        if not code or (cancel is not None and cancel.is_set()):
            return shape, code, {}
        factors = FACTORS_SMALL if min(shape) < SMALL_PX else FACTORS
        fit = [f for f in factors if min(shape) // f >= LEAST_PX]
        return shape, code, {f: detail_of(image, f, KEYPOINT_DISTANCE_PX) for f in fit}

    with ThreadPoolExecutor(workers) as threads:
        for done, (shape, code, details) in enumerate(threads.map(describe, range(len(search.planes))), start=1):
            search.shapes.append(shape)
            search.fingerprints.append(code)
            search.details.append(details)
            if progress is not None:
                progress(done, len(search.planes))


def _same_pixels(search: _Search) -> None:
    """Find the planes that agree pixel by pixel under one of the eight symmetries."""
    alike = defaultdict(list)
    for index, code in enumerate(search.fingerprints):
        if code:
            alike[code].append(index)
    for members in alike.values():
        first = search.grey(members[0])
        motions = {}
        for index in members:
            image = search.grey(index)
            same = [k for k in SYMMETRIES if np.array_equal(transform(first, k), image)]
            if same:
                motions[index] = Motion(same[0], (0, 0))
        for a, b in combinations(motions, 2):
            if _owner(search, a) != _owner(search, b):
                back = motions[a].back(search.shapes[members[0]], search.shapes[a])
                motion = back.then(motions[b], search.shapes[a], search.shapes[members[0]])
                search.found[a, b] = (motion, 1.0)


def _similar(search: _Search, factor: int, workers: int, cancel: CancelSignal | None) -> None:
    """Find the planes whose detail agrees at one reduction."""
    known = [i for i, detail in enumerate(search.details) if factor in detail]
    details = [search.details[i][factor] for i in known]
    worth = hypotheses(
        [d.keypoints for d in details],
        [(d.steps.shape[0], d.steps.shape[1]) for d in details],
        [_owner(search, i) for i in known],
        workers,
        cancel,
    )
    for h in worth[: PER_PLANE * len(known)]:
        if cancel is not None and cancel.is_set():
            return
        pair = (known[h.a], known[h.b])
        if pair not in search.found:
            _keep(search, pair, factor, h.motion)


def _keep(search: _Search, pair: tuple[int, int], factor: int, motion: Motion) -> None:
    """Note a pair if it is a copy; its motion in whole pixels is refined on the images themselves."""
    first, second = (search.details[i][factor].steps for i in pair)
    alignment = align(first, second, motion)
    if alignment is None or not alignment.is_copy or not stands_out(first, second, alignment.motion):
        return
    a, b = (search.grey(i) for i in pair)
    k, (dy, dx) = alignment.motion.symmetry, alignment.motion.shift
    # What is left over at the far border of an image comes first once it is turned.
    turned = transform(a, k).shape
    ragged = [(n % factor) if _far_first(k, axis) else 0 for axis, n in enumerate(turned)]
    rough = Motion(k, (factor * dy - ragged[0], factor * dx - ragged[1]))
    search.found[pair] = (refined(a, b, rough, factor + 2), alignment.correlation)


def _far_first(k: int, axis: int) -> bool:
    """Whether the first row (column) of a turned image was the last row or column of the image."""
    corner = transform(_CORNERS, k)
    edge = corner[0] if axis == 0 else corner[:, 0]
    return 3 in edge.tolist()


def _complete_clusters(search: _Search) -> None:
    """Compare what is linked by way of others: of many copies of one image, every pair is listed."""
    links: dict[int, set[int]] = defaultdict(set)
    for a, b in search.found:
        links[a].add(b)
        links[b].add(a)
    for pair in list(_indirect(links))[:MOST_IN_CLUSTERS]:
        if pair in search.found or _owner(search, pair[0]) == _owner(search, pair[1]):
            continue
        motion = _by_way_of(search, links, *pair)
        common = set(search.details[pair[0]]) & set(search.details[pair[1]])
        if motion is None or not common:
            continue
        factor = min(common)
        rough = Motion(motion.symmetry, (round(motion.shift[0] / factor), round(motion.shift[1] / factor)))
        _keep(search, pair, factor, rough)


def _indirect(links: dict[int, set[int]]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that have a neighbour in common."""
    seen = set()
    for middle in sorted(links):
        for a, b in combinations(sorted(links[middle]), 2):
            if (a, b) not in seen and b not in links[a]:
                seen.add((a, b))
                yield a, b


def _by_way_of(search: _Search, links: dict[int, set[int]], a: int, b: int) -> Motion | None:
    """The motion from a to b over a common neighbour."""
    for middle in sorted(links[a] & links[b]):
        shape = search.shapes[middle]
        return _known(search, a, middle).then(_known(search, middle, b), search.shapes[a], shape)
    return None


def _known(search: _Search, a: int, b: int) -> Motion:
    if a < b:
        return search.found[a, b][0]
    return search.found[b, a][0].back(search.shapes[b], search.shapes[a])


def _judged(search: _Search, a: int, b: int, motion: Motion, correlation: float) -> Copy:
    kind, overlap = kind_of(search.grey(a), search.grey(b), motion)
    first, second = search.planes[a], search.planes[b]
    return Copy(
        first.sample, second.sample, kind, motion.symmetry, motion.shift, overlap, correlation, (first.z, second.z)
    )


def _closeness(copy: Copy) -> tuple[float, float]:
    return round(copy.overlap, 2), abs(copy.correlation)


def _owner(search: _Search, index: int) -> int:
    return search.planes[index].sample
