"""How instances are found: every setting of it, with its unit."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from napari_anneal.errors import InputError
from napari_anneal.recipe_base import Recipe

__all__ = ["InstanceRecipe"]


class InstanceRecipe(Recipe):
    """Settings of `find_instances`; lengths in pixels of the finest axis."""

    kind: Literal["boundaries", "objects"] = Field(
        "boundaries",
        description="What the input shows: 'boundaries' between grains that fill the image, or 'objects' on a ground.",
    )
    threshold: float = Field(
        0.5, gt=0, lt=1, description="Probability from which a pixel counts as boundary, or as object (0 … 1)."
    )
    split: bool = Field(
        True,
        description="Cut objects that touch at their necks; off: what touches is one object. Grains are always cut.",
    )
    landscape: Literal["auto", "distance", "probability", "both"] = Field(
        "auto",
        description="What is flooded: the distance to the boundary or ground, the probability, or their product; "
        "'auto': both for boundaries, distance for objects.",
    )
    depth: float | None = Field(
        None,
        ge=0.05,
        le=64,
        description="Seed depth h, px: two hollows of the landscape stay apart where both lie this much below the "
        "pass between them. Fractions of a pixel count. None: 2 for boundaries, 1 for objects.",
    )
    scale: float = Field(
        4.0,
        ge=0.5,
        le=1000,
        description="Radius, px, up to which depth counts in pixels; far above, as a share of the radius: a distance d "
        "is s·log(1 + d/s) deep, so that rough large grains are not cut where small ones must be.",
    )
    reach: float = Field(
        16.0,
        ge=1,
        le=64,
        description="Distances are told up to this far, px: necks and gaps wider than twice this are never cut.",
    )
    min_size: int = Field(
        9,
        ge=1,
        description="Smallest instance, pixels or voxels: smaller objects are removed, smaller grains join the "
        "neighbour behind the lowest pass.",
    )
    min_size_um: float | None = Field(
        None, gt=0, description="The same as an area in µm² (volume in µm³); it needs the pixel size. The larger holds."
    )
    connectivity: Literal[1, 2, 3] = Field(
        1, description="Pixels are neighbours across faces (1), edges too (2), corners too (3); in 2D at most 2."
    )
    lines: bool = Field(
        False,
        description="Keep 0 on boundaries, about one pixel thick, on their crest; off: all pixels belong to grains.",
    )

    slices: bool = Field(
        False,
        description="Divide a stack slice by slice and link the slices, for slices that lie far apart; sizes are then "
        "areas. Off: divide in three dimensions.",
    )
    overlap: float = Field(
        0.3,
        gt=0,
        le=1,
        description="Least intersection over union by which an instance goes on in the next slice, with slices=True.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kind == "boundaries" and not self.split:
            raise InputError("grains are found by cutting, so split=False is for kind='objects' only.")
        if self.kind == "objects" and self.lines:
            raise InputError("objects have no boundary lines between them; lines=True is for kind='boundaries' only.")
        return self

    @property
    def flooded(self) -> Literal["distance", "probability", "both"]:
        """The landscape, with 'auto' resolved."""
        if self.landscape != "auto":
            return self.landscape
        return "both" if self.kind == "boundaries" else "distance"

    @property
    def seed_depth(self) -> float:
        """The seed depth, px, with ``None`` resolved."""
        if self.depth is not None:
            return self.depth
        return 2.0 if self.kind == "boundaries" else 1.0
