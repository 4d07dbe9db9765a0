"""The controls that all docks about a layer share: which layer, which part, which model, how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, LineEdit
from qtpy.QtCore import QObject, QSettings, Signal

from napari_baryir.errors import InputError
from napari_baryir.imaging.intensity import read_intensity
from napari_baryir.widgets.dock.controls import (
    DEVICES,
    LAZY,
    REGIONS,
    card_text,
    model_choices,
    read_pixels,
    set_shown,
    short,
    store,
)
from napari_baryir.widgets.dock.settings import Defaults, defaults
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import (
    Region,
    axes_of,
    box_of,
    is_a,
    level_0,
    plane_in_view,
    why_not,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

PREFERRED = ("model", "device", "precision")
"""Controls that napari's Preferences set, too; the later of the two choices holds."""


class Form(QObject):
    """The controls that all docks have, remembered in settings; follows the viewer's layers.

    A subclass makes its own controls, then calls `_recall` and `_follow`.
    """

    changed = Signal()
    """A control has changed that decides what can be run."""

    group = ""
    """Name of the settings in which the controls are remembered."""
    remembered: tuple[str, ...] = ()
    """Controls that come back as they were left; axes and layers belong to an image."""
    devices: tuple[str, ...] = ("auto", "cpu", "cuda", "mps")

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._preferred = defaults()
        device = self._preferred.device
        self.model = ComboBox(label="model", choices=model_choices())
        self.device = ComboBox(
            label="compute on", choices=[(DEVICES[name], name) for name in self.devices],
            value=device if device in self.devices else "auto",
            tooltip="Automatic: a graphics card if there is one. Elsewhere called the device.",
        )  # fmt: skip

    def refresh_layers(self, event: Any = None) -> None:
        """Offer the layers that are there now."""
        raise NotImplementedError

    def refresh_models(self, chosen: str | None = None) -> None:
        """Offer the models that are there now, and choose one."""
        before = chosen or self.model.value
        self.model.choices = model_choices()
        self._choose_model(before)

    def remember(self) -> None:
        """Keep the controls for the next time."""
        kept = store(self.group)
        for name in self.remembered:
            kept.setValue(name, getattr(self, name).value)
        for name in PREFERRED:
            kept.setValue(f"preferred_{name}", getattr(self._preferred, name))

    def close(self) -> None:
        """Stop listening to the viewer."""
        for event in self._events():
            event.disconnect(self.refresh_layers)

    def _events(self) -> list[Any]:
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.reordered, events.renamed]

    def _follow(self) -> None:
        for event in self._events():
            event.connect(self.refresh_layers)
        self.model.changed.connect(self._on_model)
        self._on_model()

    def _on_model(self) -> None:
        self.model.tooltip = card_text(self.model.value)

    def _choose_model(self, name: str) -> None:
        if name not in self.model.choices and Path(name).is_file():
            self.model.choices = [*model_choices(), (Path(name).stem, name)]
        if name in self.model.choices:
            self.model.value = name

    def _recall(self) -> None:
        kept = store(self.group)
        for name in self.remembered:
            control = getattr(self, name)
            if not kept.contains(name) or self._preferred_since(kept, name):
                continue
            value = kept.value(name, type=type(control.value))
            if name == "model":
                self._choose_model(value)
                self._on_model()
            elif not isinstance(control, ComboBox) or value in control.choices:
                control.value = value

    def _preferred_since(self, kept: QSettings, name: str) -> bool:
        """Whether Preferences were changed after a control was remembered."""
        if name not in PREFERRED:
            return False
        before = kept.value(f"preferred_{name}", getattr(Defaults(), name), type=str)
        return bool(before != getattr(self._preferred, name))


class LayerForm(Form):
    """Controls of a run on a layer. A subclass adds its own, and then calls `_begin`."""

    done = "restored"
    """The verb in the sentence that a layer cannot be restored."""
    lazy_choices: Mapping[str, str] = LAZY
    """The choices of what becomes of lazy layers."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self.layer = ComboBox(
            label="image", choices=self._images, nullable=False,
            tooltip="Layer to restore. It is never changed; the result is a new layer above it.",
        )  # fmt: skip
        self.region = ComboBox(
            label="restore", choices=list(REGIONS.items()),
            tooltip="The whole layer, or a part to try things out.",
        )  # fmt: skip
        self.shapes = ComboBox(
            label="shapes", choices=self._shapes, nullable=True,
            tooltip="Selected shapes, or all of the layer; their common bounding box is restored.",
        )  # fmt: skip
        self.precision = ComboBox(
            label="numbers", choices=["auto", "float32", "bfloat16", "float16"],
            value=self._preferred.precision,
            tooltip="Shorter numbers are faster on graphics cards and new processors. auto: "
            "bfloat16 where it is faster, else float32. Elsewhere called the precision.",
        )  # fmt: skip
        self.tile = LineEdit(
            label="piece size", value="auto",
            tooltip="Side of the pieces that a large image is worked on in, in pixels; auto: by "
            "free memory; whole: in one piece. Elsewhere called tiles.",
        )  # fmt: skip
        self.overlap = LineEdit(
            label="overlap", value="auto",
            tooltip="How far neighbouring pieces overlap, in pixels; or auto. More hides the seams "
            "between them. Elsewhere called tile overlap.",
        )  # fmt: skip
        self.axes = LineEdit(
            label="axes", value="",
            tooltip="What each dimension is: T time, Z depth, C channel, Y height, X width, S RGB. "
            "Guessed from axis labels, units and shape; type to change it.",
        )  # fmt: skip
        self.intensity = LineEdit(
            label="brightness", value="auto",
            tooltip="The values that count as black and white: auto, full (range of the data "
            "type), percentile, or two numbers such as 100, 4000. Elsewhere called the intensity "
            "map to [0, 1].",
        )  # fmt: skip
        self.lazy = ComboBox(
            label="large image", choices=list(self.lazy_choices.items()),
            tooltip="For images that are read as they are needed (lazy layers: dask, zarr). As one "
            "scrolls: the original is shown until what is in view is restored.",
        )  # fmt: skip

    def _begin(self) -> None:
        """Recall the remembered values, and follow the viewer from now on."""
        self._about_layer = self.layer.tooltip
        self._choose_model(self._preferred.model)
        self._recall()
        self._follow()
        self._on_layer()

    def _job(self, region: Region | None = None) -> dict[str, Any]:
        """Return the fields about the layer that all jobs have, for a region or the chosen one.

        Raises `InputError` if the layer is not suitable, or the region does not touch it.
        """
        layer, reason = self.layer.value, self.problem()
        if reason is not None:
            raise InputError(reason.rstrip("."))
        axes = self.axes.value.strip().upper() or axes_of(layer)
        box = box_of(self._viewer, layer, axes, region or self.region.value, self.shapes.value)
        return {
            "image_layer": layer,
            "data": level_0(layer),
            "axes": axes,
            "box": box,
            "first": plane_in_view(self._viewer, layer, axes, box),
            "lazy": self.lazy.value,
        }

    def _common(self) -> dict[str, Any]:
        """Return arguments that restoring and estimating share."""
        return {
            "model": self.model.value,
            "device": self.device.value,
            "precision": self.precision.value,
            "tile": read_pixels(self.tile.label, self.tile.value, ("auto", "whole")),
            "overlap": read_pixels(self.overlap.label, self.overlap.value, ("auto",)),
            "intensity": read_intensity(self.intensity.value),
        }

    def problem(self) -> str | None:
        """Return why the chosen layer is not suitable; None if it is."""
        return why_not(self.layer.value, self.axes.value.strip().upper() or None, self.done)

    def refresh_layers(self, event: Any = None) -> None:
        """Offer the layers that are there now."""
        before = self.layer.value
        with self.layer.changed.blocked():  # a renamed layer is another choice to magicgui
            self.layer.reset_choices()
            if before in self.layer.choices:
                self.layer.value = before
        self.shapes.reset_choices()
        if self.layer.value is not before:
            self._on_layer()
        self._adapt()
        self.changed.emit()

    def close(self) -> None:
        """Stop listening to the viewer."""
        super().close()
        self._viewer.layers.selection.events.active.disconnect(self._on_active)

    def _follow(self) -> None:
        super()._follow()
        self._viewer.layers.selection.events.active.connect(self._on_active)
        self.layer.changed.connect(self._on_layer)
        for control in (self.region, self.lazy, self.axes, self.shapes):
            control.changed.connect(self._on_control)

    def _on_layer(self) -> None:
        layer = self.layer.value
        try:
            self.axes.value = axes_of(layer) if is_a(layer, "Image") else ""
        except InputError:
            self.axes.value = ""
        self._on_control()

    def _on_active(self, event: Any) -> None:
        """Follow the layer list, but not to results, which one only looks at."""
        layer = event.value
        if layer in self.layer.choices and layers.kind_of(layer) is None:
            self.layer.value = layer

    def _on_control(self) -> None:
        self._adapt()
        self.changed.emit()

    def _adapt(self) -> None:
        """Show the controls that mean something now."""
        layer = self.layer.value
        name = "" if layer is None else f"{layer.name}\n\n"  # which may be cut short
        self.layer.tooltip = f"{name}{self._about_layer}"
        set_shown(self.shapes, self.region.value == "shapes")
        set_shown(self.lazy, self._is_lazy())

    def _is_lazy(self) -> bool:
        layer = self.layer.value
        return is_a(layer, "Image") and hasattr(level_0(layer), "chunks")

    def _images(self, _: Any = None) -> list[tuple[str, Layer]]:
        """Return images, and labels to say why they are not suitable."""
        return _named(layers.offered(self._viewer, "Image", "Labels"))

    def _shapes(self, _: Any = None) -> list[tuple[str, Layer]]:
        return _named(layers.offered(self._viewer, "Shapes"))


def _named(found: list[Layer]) -> list[tuple[str, Layer]]:
    return [(short(layer.name), layer) for layer in found]
