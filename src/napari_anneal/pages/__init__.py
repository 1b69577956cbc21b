"""Reports as single HTML files: one style, one way to draw curves, one way to tint an image by its labels."""

from napari_anneal.pages.charts import Curve, chart
from napari_anneal.pages.page import render, swatches
from napari_anneal.pages.pictures import RIGHT, WRONG, error_map, overlay, png, rgb, shown, side_by_side

__all__ = [
    "RIGHT",
    "WRONG",
    "Curve",
    "chart",
    "error_map",
    "overlay",
    "png",
    "render",
    "rgb",
    "shown",
    "side_by_side",
    "swatches",
]
