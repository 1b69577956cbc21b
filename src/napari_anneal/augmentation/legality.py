"""Which transforms could have come out of the microscope: a table from the kind of sample to what it forbids.

A transform is legal only if its result is an image that the same instrument could have taken of another piece
of the same specimen. The table names recipe fields, so that a form can grey out a switch and show the
sentence beside it.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from napari_anneal.errors import InputError

__all__ = ["SAMPLE_KINDS", "SampleKind", "illegal_transforms"]

SampleKind = Literal["isotropic", "textured", "shadowed", "orientation_map", "chiral", "polarised", "vortex"]
SAMPLE_KINDS: Final[tuple[SampleKind, ...]] = get_args(SampleKind)

_TEXTURE = "the sample has a direction (rolled, drawn, columnar) that would turn; 180° and flips stay legal"
_SHADOW = "the detector sits at one side and its shadows would fall the wrong way; a left-right flip stays legal"
_COLOUR_IS_ORIENTATION = "the colour is the crystal orientation, so changing it changes what the pixel says"
_FRAME_IS_ORIENTATION = "turning or mirroring the map without turning every orientation in it gives a false map"
_HANDED = "the structure is left- or right-handed, and a mirror image of it does not exist"
_POLARISED = "under polarised light the mirror image has other grey levels than the mirrored sample"
_EXTINCTION = "under polarised light the grey level depends on the angle to the polarisers (90° steps stay legal)"
_VORTEX = "a vortex turns one way, and a mirror image turns the other"

_ILLEGAL: Final[dict[SampleKind, dict[str, str]]] = {
    "isotropic": {},
    "textured": dict.fromkeys(("rot90", "rotate", "shear"), _TEXTURE),
    "shadowed": dict.fromkeys(("vflip", "rot90", "rot180", "rotate", "shear"), _SHADOW),
    "orientation_map": {
        **dict.fromkeys(
            ("hflip", "vflip", "rot90", "rot180", "rotate", "shear", "perspective", "elastic"),
            _FRAME_IS_ORIENTATION,
        ),
        **dict.fromkeys(
            ("brightness", "contrast", "gamma", "clahe", "blur", "poisson", "gaussian_noise", "salt_pepper"),
            _COLOUR_IS_ORIENTATION,
        ),
    },
    "chiral": dict.fromkeys(("hflip", "vflip"), _HANDED),
    "polarised": {**dict.fromkeys(("hflip", "vflip"), _POLARISED), "rotate": _EXTINCTION},
    "vortex": dict.fromkeys(("hflip", "vflip"), _VORTEX),
}


def illegal_transforms(kind: str) -> dict[str, str]:
    """Recipe fields that a kind of sample forbids, each with the reason.

    ``textured`` covers rolled, drawn and columnar samples; ``shadowed`` an oblique BSE or SE detector above
    the image (the usual Everhart–Thornley position: shadows fall downwards); ``orientation_map`` EBSD colour
    keys.

    Raises
    ------
    InputError
        Not one of ``SAMPLE_KINDS``.
    """
    for known, table in _ILLEGAL.items():
        if known == kind:
            return dict(table)
    raise InputError(f"{kind!r} is not a kind of sample this package knows; choose one of {', '.join(SAMPLE_KINDS)}.")
