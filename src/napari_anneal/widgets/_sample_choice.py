"""What the sample is, several kinds at once: ticks in a menu, and the directions that matter for those ticked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget, QWidgetAction

from napari_anneal.widgets._form import WrappedLabel, form_layout
from napari_anneal.widgets._slider import Slider

__all__ = ["KINDS", "SampleChoice"]

# Kind → what to call it in the menu, in a few words on the button, and what it means.
KINDS: dict[str, tuple[str, str, str]] = {
    "textured": (
        "rolled, drawn, extruded",
        "rolled",
        "Grains or inclusions lie along one direction; both ways along it are alike.",
    ),
    "columnar": (
        "columnar, in cross-section",
        "columnar",
        "Grown one way: columns compete and widen, so up is not down.",
    ),
    "shadowed": (
        "oblique detector (SE, BSE shadows)",
        "shadows",
        "Flanks that face the detector are bright, and shadows fall away from it.",
    ),
    "orientation_map": (
        "orientation map (EBSD colours)",
        "orientation map",
        "The colour of a pixel is data, referred to the axes of the map.",
    ),
    "chiral": (
        "chiral structure",
        "chiral",
        "Helices, screw dislocations, cholesterics: the mirror image does not exist.",
    ),
    "polarised": (
        "polarised light",
        "polarised",
        "Crossed polarisers: grey depends on the angle to the polariser.",
    ),
    "tint_plate": (
        "polarised light, tint plate",
        "tint plate",
        "With a λ plate the colour depends on the angle to the plate.",
    ),
    "vortex": ("vortex beam", "vortex beam", "The beam carries angular momentum of one sign."),
    "directed_classes": (
        "classes that name directions",
        "directed classes",
        "0° ply and 90° ply, upright and lying cracks: a turn makes one of the other, and the label stays.",
    ),
    "sized_classes": (
        "classes that name sizes",
        "sized classes",
        "Fine and coarse, micropore and pore: a zoom makes one of the other, and the label stays.",
    ),
}
DIRECTED, LIT = ("textured", "columnar", "directed_classes"), ("shadowed",)
TIP = (
    "Tick everything that holds: transforms whose result could not have come out of the microscope are switched off. "
    "Nothing ticked: isotropic, every direction is alike."
)


class SampleChoice(QWidget):
    """Choose kinds of sample and directions; the values are those of the recipe's fields.

    Signals
    -------
    changed
        Another kind or direction.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton()
        self.button.setToolTip(TIP)
        menu = QMenu(self.button)
        menu.setToolTipsVisible(True)
        self.boxes: dict[str, QCheckBox] = {}
        self._ticked: list[str] = []
        for kind, (text, _, tip) in KINDS.items():
            box = QCheckBox(text)
            box.setToolTip(tip)
            box.setStyleSheet("padding: 3px 8px;")
            box.toggled.connect(lambda on, kind=kind: self._on_tick(kind, on))
            # A tick in a box leaves the menu open for the next one, which a checkable entry would not.
            action = QWidgetAction(menu)
            action.setDefaultWidget(box)
            menu.addAction(action)
            self.boxes[kind] = box
        self.button.setMenu(menu)
        self.direction, self.light = (
            Slider(-180, 180, (-360, 360), suffix="°"),
            Slider(-180, 180, (-360, 360), suffix="°"),
        )
        self._directions = QWidget()
        rows = form_layout(self._directions)
        self._rows = {}
        for name, label, slider, what in (
            (
                "direction_deg",
                "along",
                self.direction,
                "Rolling, drawing or growth direction, or one that classes name",
            ),
            ("light_deg", "detector at", self.light, "Where the detector that casts the shadows stands"),
        ):
            tip = f"{what}, degrees anticlockwise from right: 0 is right, 90 is up."
            slider.setValue(90)
            slider.setToolTip(tip)
            rows.addRow(label, slider)
            caption = rows.labelForField(slider)
            caption.setToolTip(tip)
            self._rows[name] = (caption, slider)
            slider.changed.connect(self._on_change)
        self.says = WrappedLabel()
        # As wide as the fields beside it, whatever is ticked.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for part in (self.button, self._directions, self.says):
            layout.addWidget(part)
        self._show()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds ticked, in that order; ``("isotropic",)`` for none."""
        return tuple(self._ticked) or ("isotropic",)

    def values(self) -> dict[str, Any]:
        """``sample``, ``also``, ``direction_deg`` and ``light_deg``."""
        first, *rest = self.kinds
        return {
            "sample": first,
            "also": tuple(rest),
            "direction_deg": self.direction.value(),
            "light_deg": self.light.value(),
        }

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values (what is missing stays); tells ``changed`` once."""
        self.blockSignals(True)
        if "sample" in values or "also" in values:
            now = self.values()
            wanted = dict.fromkeys((values.get("sample", now["sample"]), *values.get("also", ())))
            for box in self.boxes.values():
                box.setChecked(False)
            for kind in wanted:
                if kind in self.boxes:
                    self.boxes[kind].setChecked(True)
        for name, slider in (("direction_deg", self.direction), ("light_deg", self.light)):
            if name in values:
                slider.setValue(values[name])
        self.blockSignals(False)
        self._on_change()

    def say(self, text: str) -> None:
        """Say below the choice what it switches off."""
        self.says.setText(text)
        self.says.setVisible(bool(text))

    def _on_tick(self, kind: str, on: bool) -> None:
        self._ticked = [other for other in self._ticked if other != kind] + [kind] * on
        self._on_change()

    def _on_change(self, *_: Any) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        kinds = self.kinds
        words = " + ".join(KINDS[kind][1] for kind in kinds if kind in KINDS)
        self.button.setText(words or "isotropic (every direction is alike)")
        for name, needs in (("direction_deg", DIRECTED), ("light_deg", LIT)):
            for widget in self._rows[name]:
                widget.setVisible(bool(set(kinds) & set(needs)))
        self._directions.setVisible(bool(set(kinds) & {*DIRECTED, *LIT}))
