"""What a sample is, as a number: hashes of its pixels and its paint, by which it is known again under any name."""

from __future__ import annotations

import hashlib

import numpy as np

from napari_anneal.samples.sample import Sample

__all__ = ["image_fingerprint", "painted_fingerprint"]


def painted_fingerprint(sample: Sample) -> str:
    """SHA-256 over shape, type and pixels of every painted slice and its labels: what a run learns from."""
    digest = hashlib.sha256()
    for part in sample.painted_slices():
        for array in (part.image, part.labels):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def image_fingerprint(sample: Sample) -> str:
    """SHA-256 over shape, type and all pixels, whatever is painted on them; a stack is read slice by slice."""
    digest = hashlib.sha256(f"{tuple(sample.image.shape)}{np.dtype(sample.image.dtype).str}".encode())
    for z in range(sample.spatial_shape[0]) if sample.is_stack else (slice(None),):
        digest.update(np.ascontiguousarray(sample.image[z]).tobytes())
    return digest.hexdigest()
