"""Between napari layers and the core: snapshots of what a run needs, and results as layers in the right place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image, Labels, Layer

__all__ = [
    "GROUP_KEY",
    "Snapshot",
    "add_class_labels",
    "check_fit",
    "class_colormap",
    "colours_of",
    "group_of",
    "hex_colour",
    "is_gold",
    "is_made",
    "made",
    "made_as",
    "remember",
    "remember_classes",
    "sample_from_layers",
    "sample_of",
    "slice_in_view",
    "snapshot",
    "specimen_of",
]

# Where a layer remembers its specimen: layer.metadata["napari_anneal"]["group"].
GROUP_KEY = "napari_anneal"
PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


@dataclass(frozen=True)
class Snapshot:
    """What a layer held when a run began: later edits, renames and removals of the layer change nothing here.

    ``data`` is a copy in memory, or the lazy array itself (dask); of a multiscale layer the finest level.
    ``axes`` is such as ``"ZYX"`` or ``"YXC"``; ``placement`` holds scale, translate, units and so on, without the
    colour axis.
    """

    name: str
    data: Any
    axes: str
    placement: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel size along each axis, without the colour axis."""
        return tuple(float(s) for s in self.placement["scale"])

    @property
    def unit(self) -> str | None:
        """Name of the unit of ``spacing``, such as ``micrometer``; ``None`` for pixels and for mixed units."""
        units = {str(unit) for unit in self.placement.get("units", ())}
        return units.pop() if len(units) == 1 and units != {"pixel"} else None

    @property
    def is_stack(self) -> bool:
        """Whether there is a slice axis."""
        return "Z" in self.axes

    def placed_at(self, z: int) -> dict[str, Any]:
        """Where a layer ``(1, Y, X)`` lies that shows slice ``z`` alone."""
        from napari.utils.transforms import Affine

        turned = {name: self.placement[name] for name in ("scale", "rotate", "shear") if name in self.placement}
        along_z = np.asarray(Affine(**turned).linear_matrix)[:, 0]
        return {**self.placement, "translate": np.asarray(self.placement["translate"]) + z * along_z}


def placement_of(layer: Layer) -> dict[str, Any]:
    """Where a layer lies in the world, as keyword arguments of ``viewer.add_…``."""
    return {name: getattr(layer, name) for name in PLACEMENT}


def snapshot(layer: Layer | None, role: str = "image", copy: bool = True) -> Snapshot:
    """Take what a run needs from a layer.

    Parameters
    ----------
    layer
        An Image or Labels layer; ``None`` (nothing is chosen, or it has been removed) is an error.
    role
        What the layer is for, as messages call it.
    copy
        Whether to copy an array in memory; switch off only where nothing outlives the call.

    Raises
    ------
    InputError
        No layer, a removed one, or one with another number of axes than 2 or 3.
    """
    if layer is None:
        kind = "Labels" if role == "labels" else "Image"
        hint = (
            "add one with the “New labels layer” button and paint on it (or right-click an image layer of whole "
            "numbers › Convert to Labels)"
            if role == "labels"
            else "open or drop an image first, or take one from File › Open Sample › napari-anneal"
        )
        raise InputError(f"There is no {kind} layer to use as {role}: {hint}.")
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    rgb = bool(getattr(layer, "rgb", False))
    spatial = len(data.shape) - int(rgb)
    if spatial not in (2, 3):
        raise InputError(
            f"Layer {layer.name!r} has {spatial} axes; take an image of 2 or 3 (split the others with right-click › "
            "Split Stack)."
        )
    if copy and isinstance(data, np.ndarray):
        data = data.copy()
    axes = ("YX" if spatial == 2 else "ZYX") + ("C" if rgb else "")
    return Snapshot(layer.name, data, axes, placement_of(layer), group_of(layer))


def check_fit(picture: Snapshot, painted: Snapshot) -> None:
    """Refuse labels that do not lie on the image pixel by pixel.

    Raises
    ------
    InputError
        Shapes, pixel sizes or positions differ.
    """
    shape = picture.data.shape[: len(picture.placement["scale"])]
    if tuple(painted.data.shape) != tuple(shape):
        raise InputError(
            f"Image {picture.name!r} {tuple(shape)} and labels {painted.name!r} {tuple(painted.data.shape)} differ in "
            "shape; select the image, press “New labels layer”, and paint on that one."
        )
    for name, what in (("scale", "pixel size"), ("translate", "position")):
        ours, theirs = np.asarray(picture.placement[name]), np.asarray(painted.placement[name])
        if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-6 * float(np.abs(picture.spacing).max())):
            raise InputError(
                f"Image {picture.name!r} and labels {painted.name!r} differ in {what} ({_numbers(ours)} against "
                f"{_numbers(theirs)}); set labels.{name} to that of the image, so that the paint lies on the pixels."
            )


def slice_in_view(viewer: napari.viewer.Viewer, layer: Layer) -> int:
    """Index of the slice of a stack that the viewer shows; of one beside the stack, the nearest."""
    z = round(float(layer.world_to_data(viewer.dims.point)[0]))
    return int(np.clip(z, 0, layer.data.shape[0] - 1))


def sample_from_layers(
    image: Image | None, labels: Labels | None, group: str | None = None, copy_image: bool = True
) -> Sample:
    """An Image layer and what was painted on it, as a sample that no later edit can change.

    ``copy_image=False`` is for jobs that only look at the paint.

    Raises
    ------
    InputError
        A layer is missing, shapes differ, or the two lie at different places or scales in the viewer.
    """
    return sample_of(snapshot(image, "image", copy_image), snapshot(labels, "labels"), group)


def sample_of(picture: Snapshot, painted: Snapshot, group: str | None = None) -> Sample:
    """A sample of what two layers held.

    Raises
    ------
    InputError
        As `sample_from_layers`.
    """
    check_fit(picture, painted)
    return Sample(
        picture.data,
        painted.data,
        group=picture.group if group is None else group,
        spacing=picture.spacing,
        name=picture.name,
        axes=picture.axes,
    )


def group_of(layer: Layer) -> str:
    """The specimen that a layer was said to belong to, or an empty string."""
    remembered = layer.metadata.get(GROUP_KEY)
    return str(remembered.get("group", "")) if isinstance(remembered, dict) else ""


def specimen_of(layer: Layer) -> str:
    """The group of a layer, or what other metadata of it says: ``group``, ``specimen`` or ``sample``."""
    if group := group_of(layer):
        return group
    told = {str(key).lower(): value for key, value in layer.metadata.items()}
    found = (told.get(key) for key in ("group", "specimen", "sample"))
    return next((str(value).strip() for value in found if isinstance(value, str | int)), "")


def is_gold(layer: Layer) -> bool:
    """Whether a layer was put aside as gold test data, which no run may see."""
    remembered = layer.metadata.get(GROUP_KEY)
    return bool(remembered.get("gold", False)) if isinstance(remembered, dict) else False


def is_made(layer: Layer) -> bool:
    """Whether a form made this layer as a result or a preview: offered by hand, never taken by itself for training."""
    return bool(made_as(layer))


def made_as(layer: Layer) -> str:
    """What a form made this layer as, such as "segmentation"; empty for the user's own."""
    remembered = layer.metadata.get(GROUP_KEY)
    return str(remembered.get("made", "")) if isinstance(remembered, dict) else ""


def remember(layer: Layer, **facts: Any) -> None:
    """Keep facts in a layer's metadata, beside what is remembered there already."""
    remembered = layer.metadata.get(GROUP_KEY)
    layer.metadata[GROUP_KEY] = {**(remembered if isinstance(remembered, dict) else {}), **facts}


def remember_classes(layer: Labels, classes: Sequence[str]) -> None:
    """Keep class names with the labels, so that the next form offers them."""
    remember(layer, classes=list(classes))


def add_class_labels(
    viewer: napari.viewer.Viewer,
    data: Any,
    name: str,
    like: Snapshot,
    classes: Sequence[str],
    colours: Sequence[str],
    **options: Any,
) -> Labels:
    """Show a label map whose value k is ``classes[k - 1]``, in its colour, where the image lies.

    The class names appear in the status bar under the pointer (the layer's *features*).
    """
    return viewer.add_labels(
        data,
        name=name,
        colormap=class_colormap(colours),
        features={"index": list(range(len(classes) + 1)), "class": ["not painted", *classes]},
        metadata={GROUP_KEY: {"classes": list(classes), **({"group": like.group} if like.group else {})}},
        **{**dict(like.placement), **options},
    )


def made(what: str) -> dict[str, Any]:
    """Metadata of a layer that a form makes: ``what`` is such as "segmentation", "probability" or "preview"."""
    return {GROUP_KEY: {"made": what}}


def class_colormap(colours: Sequence[str]) -> Any:
    """Colours of the classes 1…K; everything else is transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    table: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    table.update(enumerate(colours, start=1))
    return DirectLabelColormap(color_dict=table)


def colours_of(labels: Labels, count: int) -> tuple[str, ...]:
    """The colours that labels 1…count have on a layer, as ``#rrggbb``: a model goes on in the colours painted with."""
    return tuple(hex_colour(labels.get_color(k)) for k in range(1, count + 1))


def hex_colour(rgba: npt.NDArray[Any] | None) -> str:
    """An RGB(A) colour in 0…1 as ``#rrggbb``."""
    red, green, blue = (128, 128, 128) if rgba is None else (round(float(c) * 255) for c in rgba[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def _numbers(values: npt.NDArray[Any]) -> str:
    return " × ".join(f"{v:g}" for v in values)
