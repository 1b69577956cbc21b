"""Which transforms could have come out of the microscope: from the kinds of sample to what they forbid, and why.

A transform is legal only if its result is an image that the same instrument could have taken of another piece
of the same specimen. Fields of the recipe are named, so that a form can switch one off and show the sentence beside
it. Where a sample has a direction, what is legal depends on how that lies in the image: a mirror keeps a direction
only if its axis lies along or across it. The same goes for labels that say a direction or a size: the image may be true
and its label false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, get_args

from napari_anneal.errors import InputError

__all__ = [
    "SAME_KIND",
    "SAMPLE_KINDS",
    "TRANSFORMS",
    "SampleKind",
    "illegal_transforms",
    "legal",
    "mirrors",
    "sample_kinds",
]

SampleKind = Literal[
    "isotropic", "textured", "columnar", "shadowed", "orientation_map", "chiral", "polarised", "tint_plate", "vortex",
    "directed_classes", "sized_classes",
]  # fmt: skip
SAMPLE_KINDS: Final[tuple[SampleKind, ...]] = get_args(SampleKind)
# Other words for a kind.
SAME_KIND: Final[dict[str, SampleKind]] = {
    "rolled": "textured", "drawn": "textured", "extruded": "textured", "shadow": "shadowed", "ebsd": "orientation_map",
    "polarized": "polarised",
}  # fmt: skip

# In the order in which they are applied: where the pixel is, what the sample looks like, what the detector
# adds.
TRANSFORMS: Final = (
    "hflip", "vflip", "rot180", "rot90", "rotate", "scale", "shear", "perspective", "crop", "elastic",
    "brightness", "contrast", "gamma", "clahe", "blur", "poisson", "gaussian_noise", "salt_pepper", "cutout",
)  # fmt: skip

# A mirror turns a direction by twice its distance from the mirror's axis.
ALONG_WITHIN_DEG = 1.0

_FALSE_FRAME = "the crystals' orientations refer to the frame of the image, and {} leaves them as they were"
_FALSE_COLOUR = "the colour is the crystal orientation, and {} changes what a pixel says"


def _along(angle: float, axis: float, period: float) -> bool:
    """Whether a direction lies along an axis of the image, directions ``period`` degrees apart being one."""
    return abs((angle - axis + period / 2) % period - period / 2) <= ALONG_WITHIN_DEG


def _textured(direction: float, light: float) -> dict[str, str]:
    """Rolled, drawn, extruded: mirrors along and across the direction, and a half turn, leave it as it is."""
    found = {
        "rot90": "a quarter turn lays the sample's direction (rolled, drawn) across itself; a half turn is legal",
        "rotate": "a rotation turns the sample's direction (rolled, drawn); only a half turn is legal",
        "shear": "a shear turns the sample's direction (rolled, drawn)",
        "perspective": "a change of perspective turns the sample's direction (rolled, drawn), and not everywhere alike",
    }
    if not _along(direction, 0, 90):
        why = (
            f"the sample's direction lies at {direction:g}°, and the flip would lay it at {{:g}}°; a half turn is legal"
        )
        found["hflip"] = found["vflip"] = why.format((180 - direction) % 180)
    return found


def _one_way(angle: float, what: str) -> dict[str, str]:
    """Something that points along the image at an angle: only the mirror whose axis it lies on keeps it."""
    across = f"the flip reverses {what}"
    found = {
        "hflip": across,
        "vflip": across,
        "rot180": f"a half turn reverses {what}",
        "rot90": f"a quarter turn turns {what} sideways",
        "rotate": f"a rotation turns {what}",
        "shear": f"a shear turns {what}",
        "perspective": f"a change of perspective turns {what}",
    }
    if _along(angle, 90, 180):
        del found["hflip"]
        found["vflip"] += "; a left-right flip is legal"
    elif _along(angle, 0, 180):
        del found["vflip"]
        found["hflip"] += "; an up-down flip is legal"
    else:
        found["hflip"] = found["vflip"] = f"at {angle:g}° neither flip keeps {what}"
    return found


def _columnar(direction: float, light: float) -> dict[str, str]:
    """Grown one way, seen in cross-section: columns compete and widen, so that up is not down."""
    return _one_way(direction, "the direction of growth")


def _shadowed(direction: float, light: float) -> dict[str, str]:
    """An oblique detector: flanks that face it are bright, and shadows fall away from it."""
    return _one_way(light, "the direction to the detector, and with it the shadows")


def _orientation_map(direction: float, light: float) -> dict[str, str]:
    """EBSD colours: the colour of a pixel is data, referred to the axes of the map."""
    return {
        "hflip": _FALSE_FRAME.format("a flip"),
        "vflip": _FALSE_FRAME.format("a flip"),
        "rot180": _FALSE_FRAME.format("a half turn"),
        "rot90": _FALSE_FRAME.format("a quarter turn"),
        "rotate": _FALSE_FRAME.format("a rotation"),
        "shear": _FALSE_FRAME.format("a shear"),
        "perspective": _FALSE_FRAME.format("a change of perspective"),
        "elastic": _FALSE_FRAME.format("a deformation"),
        "brightness": _FALSE_COLOUR.format("a shift of brightness"),
        "contrast": _FALSE_COLOUR.format("a change of contrast"),
        "gamma": _FALSE_COLOUR.format("a gamma curve"),
        "clahe": _FALSE_COLOUR.format("equalisation"),
        "blur": _FALSE_COLOUR.format("a blur across a boundary"),
        "poisson": _FALSE_COLOUR.format("shot noise"),
        "gaussian_noise": _FALSE_COLOUR.format("read noise"),
        "salt_pepper": _FALSE_COLOUR.format("a dead pixel"),
    }


def _flips(why: str) -> dict[str, str]:
    return {"hflip": why, "vflip": why}


def _chiral(direction: float, light: float) -> dict[str, str]:
    """Helices, screw dislocations, cholesterics, enantiomorphs: a rotation keeps the hand."""
    return _flips("the structure is left- or right-handed, and a flip gives its mirror image, which does not exist")


def _vortex(direction: float, light: float) -> dict[str, str]:
    """A vortex beam carries angular momentum of one sign."""
    return _flips("a vortex turns one way, and a flip gives one that turns the other way")


def _polarised(direction: float, light: float) -> dict[str, str]:
    """Crossed polarisers: grey is sin² of twice the angle from the polariser, which is the same every 90°.

    At what angle the polariser lies in the image nobody knows, so a flip is never safe.
    """
    return _flips("grey depends on the angle to the polariser, which a flip changes; quarter turns are legal") | {
        "rotate": "a crystal that is rotated between crossed polarisers changes its grey; only quarter turns are legal"
    }


def _tint_plate(direction: float, light: float) -> dict[str, str]:
    """With a λ plate (or the analyser turned) a quarter turn changes addition into subtraction."""
    return _polarised(direction, light) | {
        **_flips("with a tint plate the colour depends on the angle to the plate, which a flip changes"),
        "rot90": "with a tint plate a quarter turn exchanges blue and yellow; a half turn is legal",
        "rotate": "with a tint plate a crystal that is rotated changes its colour; only a half turn is legal",
    }


def _directed_classes(direction: float, light: float) -> dict[str, str]:
    """Classes such as *0° ply* and *90° ply*, *upright crack* and *lying crack*: a turn makes one of the other."""
    found = {
        "rot90": "the classes name directions, and a quarter turn makes one of the other; a half turn is legal",
        "rotate": "the classes name directions, and a rotation leaves the label as it was; only a half turn is legal",
        "shear": "the classes name directions, which a shear turns and the label does not",
        "perspective": "the classes name directions, which a change of perspective turns and the label does not",
    }
    if not _along(direction, 0, 90):
        found["hflip"] = found["vflip"] = (
            f"the classes name directions, and a flip makes {(180 - direction) % 180:g}° of {direction:g}°; "
            "a half turn is legal"
        )
    return found


def _sized_classes(direction: float, light: float) -> dict[str, str]:
    """Classes such as *fine* and *coarse*, *micropore* and *pore*: a zoom makes one of the other."""
    why = "the classes name sizes, which {} changes and the label does not"
    return {
        "scale": why.format("a zoom"),
        "crop": why.format("a crop that is resized"),
        "perspective": why.format("a change of perspective"),
    }


_TABLE: Final[dict[SampleKind, Callable[[float, float], dict[str, str]]]] = {
    "isotropic": lambda direction, light: {},
    "textured": _textured,
    "columnar": _columnar,
    "shadowed": _shadowed,
    "orientation_map": _orientation_map,
    "chiral": _chiral,
    "polarised": _polarised,
    "tint_plate": _tint_plate,
    "vortex": _vortex,
    "directed_classes": _directed_classes,
    "sized_classes": _sized_classes,
}


def sample_kinds(kinds: str | Iterable[str]) -> tuple[SampleKind, ...]:
    """The kinds meant by one word or several, each once, "isotropic" only alone; ``rolled`` and ``drawn`` are textured.

    Raises
    ------
    InputError
        Not one of ``SAMPLE_KINDS`` or ``SAME_KIND``.
    """
    found: dict[SampleKind, None] = {}
    for word in [kinds] if isinstance(kinds, str) else kinds:
        name = SAME_KIND.get(word, word)
        match = [known for known in SAMPLE_KINDS if known == name]
        if not match:
            raise InputError(
                f"{word!r} is not a kind of sample this package knows; choose one of {', '.join(SAMPLE_KINDS)}."
            )
        found[match[0]] = None
    if len(found) > 1:
        found.pop("isotropic", None)
    return tuple(found) or ("isotropic",)


def illegal_transforms(
    kinds: str | Iterable[str], direction_deg: float = 90.0, light_deg: float = 90.0
) -> dict[str, str]:
    """Recipe fields that a sample forbids, each with the reason in one sentence.

    Parameters
    ----------
    kinds
        One kind or several that hold at once. ``textured``: rolled, drawn, extruded; ``columnar``: grown one way, in
        cross-section (in plan view it is isotropic); ``shadowed``: an oblique BSE or SE detector;
        ``orientation_map``: EBSD colour keys; ``polarised``: crossed polarisers; ``tint_plate``: with a λ plate;
        ``directed_classes``, ``sized_classes``: the labels say a direction or a size.
    direction_deg
        Rolling, drawing or growth direction in the image, or one that classes name, degrees anticlockwise from right;
        90 is upwards.
    light_deg
        Where the detector stands, the same way; 90 is the usual place of an Everhart–Thornley detector, above the
        image.

    Raises
    ------
    InputError
        Not one of ``SAMPLE_KINDS``.
    """
    found: dict[str, str] = {}
    for kind in sample_kinds(kinds):
        for name, reason in _TABLE[kind](direction_deg, light_deg).items():
            found.setdefault(name, reason)
    # Of "… is legal" in a reason of one kind another kind may know better.
    return {name: _still_true(reason, found) for name, reason in found.items()}


def legal(kinds: str | Iterable[str], direction_deg: float = 90.0, light_deg: float = 90.0) -> tuple[str, ...]:
    """Names of the transforms that a sample allows, in the order of application; arguments as `illegal_transforms`."""
    illegal = illegal_transforms(kinds, direction_deg, light_deg)
    return tuple(name for name in TRANSFORMS if name not in illegal)


def mirrors(illegal: Iterable[str]) -> bool:
    """Whether what a sample forbids leaves both flips legal, and with them pixels mirrored in from outside."""
    return not {"hflip", "vflip"} & set(illegal)


_ADVICE: Final = {
    "a half turn is legal": "rot180", "only a half turn is legal": "rot180", "quarter turns are legal": "rot90",
    "only quarter turns are legal": "rot90", "a left-right flip is legal": "hflip", "an up-down flip is legal": "vflip",
}  # fmt: skip


def _still_true(reason: str, illegal: dict[str, str]) -> str:
    """The reason without its advice, where another kind of the same sample forbids what it advises."""
    why, _, advice = reason.partition("; ")
    return why if _ADVICE.get(advice) in illegal else reason
