"""The controls of the Restore dock: what is asked, checked and remembered; no work is done here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FileEdit,
    FloatSlider,
    LineEdit,
)
from qtpy.QtCore import QObject, QSettings, Signal
from qtpy.QtWidgets import QFormLayout, QSizePolicy, QWidget

from napari_baryir.errors import InputError
from napari_baryir.widgets import layers
from napari_baryir.widgets.job import LazyMode, Settings
from napari_baryir.widgets.regions import Region, axes_of, level_0, why_not
from napari_baryir.widgets.settings import defaults

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

REGIONS: dict[str, Region] = {
    "whole layer": "layer",
    "current plane": "plane",
    "current view": "view",
    "box around shapes": "shapes",
}

LAZY: dict[str, LazyMode] = {
    "restore as one scrolls": "lazy",
    "at once, in memory": "memory",
    "at once, into OME-Zarr": "zarr",
}

REMEMBERED = (
    "model", "region", "strength", "ensemble", "device", "precision", "tile", "overlap",
    "intensity", "lazy",
)  # fmt: skip
"""Controls that come back as they were left; axes and layers belong to an image."""


@dataclass(frozen=True)
class Wish:
    """What the controls say."""

    source: Image
    settings: Settings
    axes: str
    region: Region
    shapes: Shapes | None
    strength: float
    lazy: LazyMode
    target: Path | None


class RestoreForm(QObject):
    """Two lists of controls, `basic` and `advanced`, to be laid out by `lay_out`."""

    changed = Signal()
    """Something that decides what can be restored."""
    strength_changed = Signal(float)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        chosen = defaults()
        self.layer = ComboBox(
            label="image", choices=self._images, nullable=False,
            tooltip="Layer to restore. It is never changed; the result is a new layer above it.",
        )  # fmt: skip
        self.model = ComboBox(label="model", choices=_model_choices())
        self.region = ComboBox(
            label="restore", choices=list(REGIONS.items()),
            tooltip="The whole layer, or a part to try things out.",
        )  # fmt: skip
        self.shapes = ComboBox(
            label="shapes", choices=self._shapes, nullable=True,
            tooltip="Selected shapes, or all of the layer; their common bounding box is restored.",
        )  # fmt: skip
        self.strength = FloatSlider(
            label="strength", min=0, max=1, step=0.01, value=1,
            tooltip="1: restored. 0: the original. Moves the result at once, also after a run.",
        )  # fmt: skip
        self.ensemble = CheckBox(
            label="", text="ensemble (8 times slower)", value=False,
            tooltip="Average over the 8 flips and rotations: slightly better.",
        )  # fmt: skip
        self.device = ComboBox(
            label="device", choices=["auto", "cpu", "cuda", "mps"], value=chosen.device,
            tooltip="auto: a GPU if there is one.",
        )  # fmt: skip
        self.precision = ComboBox(
            label="precision", choices=["auto", "float32", "bfloat16", "float16"],
            value=chosen.precision, tooltip="auto: bfloat16 on NVIDIA GPUs, float32 elsewhere.",
        )  # fmt: skip
        self.tile = LineEdit(
            label="tile", value="auto",
            tooltip="Side of the pieces that a plane is cut into, in pixels; auto: by free "
            "memory; whole: not cut.",
        )  # fmt: skip
        self.overlap = LineEdit(
            label="overlap", value="auto",
            tooltip="How far neighbouring pieces overlap, in pixels; or auto.",
        )  # fmt: skip
        self.axes = LineEdit(
            label="axes", value="",
            tooltip="What each dimension is: T time, Z depth, C channel, Y height, X width, S RGB. "
            "Guessed from axis labels, units and shape; type to change it.",
        )  # fmt: skip
        self.intensity = LineEdit(
            label="intensity", value="auto",
            tooltip="How values are mapped to the network's [0, 1]: auto, full (range of the data "
            "type), percentile, or two numbers such as 100, 4000.",
        )  # fmt: skip
        self.lazy = ComboBox(
            label="lazy layer", choices=list(LAZY.items()),
            tooltip="For dask and zarr layers.",
        )  # fmt: skip
        self.target = FileEdit(
            label="OME-Zarr", mode=FileDialogMode.OPTIONAL_FILE, filter="*.ome.zarr",
            tooltip="Folder to write, for example restored.ome.zarr.",
        )  # fmt: skip
        self.basic = [
            self.layer, self.model, self.region, self.shapes, self.strength, self.ensemble,
        ]  # fmt: skip
        self.advanced = [
            self.device, self.precision, self.tile, self.overlap, self.axes, self.intensity,
            self.lazy, self.target,
        ]  # fmt: skip
        self._choose_model(chosen.model)
        self._restore_remembered()
        self._connect()
        self._on_layer()

    def wish(self) -> Wish:
        """What is asked for.

        Raises
        ------
        InputError
            If a control holds something that is not possible.
        """
        source = self.source
        reason = why_not(source, self.axes.value.strip().upper() or None)
        if reason is not None or source is None:
            raise InputError((reason or "").rstrip("."))
        settings = Settings(
            model=self.model.value,
            device=self.device.value,
            precision=self.precision.value,
            tile=_pixels("tile", self.tile.value, ("auto", "whole")),
            overlap=_pixels("overlap", self.overlap.value, ("auto",)),
            intensity=_intensity(self.intensity.value),
            ensemble=self.ensemble.value,
        )
        target = str(self.target.value) if self.streams else ""
        if self.streams and target in ("", "."):
            raise InputError("choose the OME-Zarr folder to write (Advanced)")
        return Wish(
            source=source,
            settings=settings,
            axes=self.axes.value.strip().upper() or axes_of(source),
            region=self.region.value,
            shapes=self.shapes.value if self.region.value == "shapes" else None,
            strength=float(self.strength.value),
            lazy=self.lazy.value,
            target=Path(target) if self.streams else None,
        )

    @property
    def source(self) -> Any:
        """The chosen layer, or None."""
        return self.layer.value

    @property
    def streams(self) -> bool:
        """Whether the result goes into a file."""
        return bool(self._source_is_lazy() and self.lazy.value == "zarr")

    def problem(self) -> str | None:
        """Why the chosen layer cannot be restored; None if it can."""
        return why_not(self.source, self.axes.value.strip().upper() or None)

    def refresh_layers(self, event: Any = None) -> None:
        """Offer the layers that are there now."""
        before = self.layer.value
        self.layer.reset_choices()
        self.shapes.reset_choices()
        if self.layer.value is not before:
            self._on_layer()
        self._adapt()
        self.changed.emit()

    def refresh_models(self, chosen: str | None = None) -> None:
        """Offer the models that are there now, and choose one."""
        before = chosen or self.model.value
        self.model.choices = _model_choices()
        self._choose_model(before)

    def remember(self) -> None:
        """Keep the controls for the next time."""
        store = _store()
        for name in REMEMBERED:
            store.setValue(name, getattr(self, name).value)

    def close(self) -> None:
        """Stop listening to the viewer."""
        for event in self._events():
            event.disconnect(self.refresh_layers)

    def _events(self) -> list[Any]:
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.reordered]

    def _connect(self) -> None:
        for event in self._events():
            event.connect(self.refresh_layers)
        self.layer.changed.connect(self._on_layer)
        for control in (self.region, self.lazy, self.axes, self.shapes):
            control.changed.connect(self._on_control)
        self.model.changed.connect(self._on_model)
        self.strength.changed.connect(self.strength_changed.emit)
        self._on_model()

    def _on_layer(self) -> None:
        source = self.source
        try:
            self.axes.value = axes_of(source) if source is not None and _is_image(source) else ""
        except InputError:
            self.axes.value = ""
        self._on_control()

    def _on_control(self) -> None:
        self._adapt()
        self.changed.emit()

    def _on_model(self) -> None:
        self.model.tooltip = _card(self.model.value)

    def _adapt(self) -> None:
        """Show the controls that mean something now."""
        set_shown(self.shapes, self.region.value == "shapes")
        set_shown(self.lazy, self._source_is_lazy())
        set_shown(self.target, self.streams)

    def _source_is_lazy(self) -> bool:
        source = self.source
        if source is None or not _is_image(source):
            return False
        return hasattr(level_0(source), "chunks")

    def _images(self, _: Any = None) -> list[Any]:
        """Images that are not our maps; labels too, to say why they cannot be restored."""
        return [
            layer
            for layer in reversed(self._viewer.layers)
            if type(layer).__name__ in ("Image", "Labels")
            and (layers.record_of(layer) or {}).get("kind") != "removed"
        ]

    def _shapes(self, _: Any = None) -> list[Any]:
        return [layer for layer in self._viewer.layers if type(layer).__name__ == "Shapes"]

    def _choose_model(self, name: str) -> None:
        if name in self.model.choices:
            self.model.value = name

    def _restore_remembered(self) -> None:
        store = _store()
        for name in REMEMBERED:
            control = getattr(self, name)
            if not store.contains(name):
                continue
            value = store.value(name, type=type(control.value))
            if not isinstance(control, ComboBox) or value in control.choices:
                control.value = value


def lay_out(controls: list[Any]) -> QWidget:
    """Put controls below each other with their labels in a column."""
    page = QWidget()
    form = QFormLayout(page)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for control in controls:
        native = control.native
        # A long name is cut short instead of making the dock wider.
        native.setMinimumWidth(80)
        native.setSizePolicy(QSizePolicy.Policy.Ignored, native.sizePolicy().verticalPolicy())
        form.addRow(control.label, native)
    return page


def set_shown(control: Any, shown: bool) -> None:
    """Show or hide a control with its label."""
    page = control.native.parentWidget()
    form = page.layout() if page is not None else None
    if isinstance(form, QFormLayout):
        form.setRowVisible(control.native, shown)


def _store() -> QSettings:
    store = QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-baryir", "dock"
    )
    store.beginGroup("restore")
    return store


def _is_image(layer: Any) -> bool:
    return type(layer).__name__ == "Image"


def _model_choices() -> list[tuple[str, str]]:
    from napari_baryir.weights.registry import available_models

    cards = [(card.title, card.name) for card in available_models()]
    return [("Automatic", "auto"), *cards]


def _card(name: str) -> str:
    """What there is to know of a model, for a tooltip."""
    from napari_baryir.weights.registry import available_models

    if name == "auto":
        return "Photographs (compact) for RGB images, Microscopy (compact) for all others."
    for card in available_models():
        if card.name == name:
            lines = [card.title, "", card.summary, f"Licence: {card.licence}"]
            if card.card_path is not None:
                lines += ["", card.card_path.read_text(encoding="utf-8")[:1500]]
            return "\n".join(lines)
    return ""


def _pixels(name: str, text: str, words: tuple[str, ...]) -> int | str:
    text = text.strip().lower()
    if text in words or not text:
        return text or "auto"
    if not text.isdecimal():
        raise InputError(f"{name} is '{text}'; give {' or '.join(words)}, or a number of pixels")
    return int(text)


def _intensity(text: str) -> str | tuple[float, float]:
    text = text.strip().lower() or "auto"
    if text in ("auto", "full", "percentile"):
        return text
    try:
        low, high = (float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise InputError(
            f"intensity is '{text}'; give auto, full, percentile, or two numbers such as 100, 4000"
        ) from None
    return low, high
