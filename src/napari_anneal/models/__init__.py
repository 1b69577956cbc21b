"""Networks, their layer groups and starting weights, and the bundle they are kept in."""

from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.models.bundle import is_bundle, load_bundle, read_card, save_bundle
from napari_anneal.models.card import BundleCard, class_colours
from napari_anneal.models.layer_groups import GROUPS, freeze_all_but, layer_groups

__all__ = [
    "GROUPS",
    "ArchitectureSpec",
    "BundleCard",
    "build_network",
    "class_colours",
    "freeze_all_but",
    "is_bundle",
    "layer_groups",
    "load_bundle",
    "read_card",
    "save_bundle",
]
