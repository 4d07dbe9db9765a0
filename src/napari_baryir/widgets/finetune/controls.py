"""The controls of the Fine-tune dock, each with its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, LineEdit, Select, SpinBox
from qtpy.QtWidgets import QSizePolicy

from napari_baryir.widgets.dock.controls import FolderEdit
from napari_baryir.widgets.dock.form import Form
from napari_baryir.widgets.finetune.choices import (
    BRIGHTNESS,
    FROM_FOLDERS,
    FROM_LAYERS,
    KINDS,
    MODES,
    FileEdit,
    PathControl,
    degradation_choices,
)
from napari_baryir.widgets.finetune.layers import LayerChoices

if TYPE_CHECKING:
    from napari.components import ViewerModel

FIRST_NAME = "my-model"
LIST_HEIGHT = 76
"""Height of the list of layers, in pixels; longer ones scroll."""


class FinetuneControls(Form):
    """The controls of fine-tuning, in two lists, `basic` and `advanced`."""

    group = "finetune"
    remembered = (
        "model", "kind", "found_in", "folder", "partners_folder", "degradation", "like_file",
        "name", "steps", "domain", "mode", "device", "batch", "patch", "validate_every",
        "brightness", "turn", "calibrate",
    )  # fmt: skip
    devices = ("auto", "cpu", "cuda")

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self.model.label = "start from"
        self.layers = LayerChoices(viewer)
        self._make_images()
        self._make_settings()
        self.basic = [
            self.model, self.kind, self.found_in, self.degraded, self.clean, self.images,
            self.folder, self.partners_folder, self.degradation, self.like, self.like_file,
            self.name, self.steps,
        ]  # fmt: skip
        self.advanced = [
            self.domain, self.mode, self.device, self.batch, self.patch, self.validate_every,
            self.brightness, self.turn, self.calibrate,
        ]  # fmt: skip

    def _make_images(self) -> None:
        self.kind = ComboBox(label="learn from", choices=list(KINDS.items()))
        self.found_in = ComboBox(
            label="found in", choices=[FROM_LAYERS, FROM_FOLDERS],
            tooltip="Layers of this viewer, which stay as they are, or folders of TIFF, PNG, JPEG "
            "or OME-Zarr.",
        )  # fmt: skip
        # A function, since magicgui offers its choices anew whenever a control is laid out.
        choices = self.layers.choices
        self.degraded = ComboBox(
            label="degraded", choices=choices, nullable=False,
            tooltip="The image or stack as it is. Stacks are cut into planes.",
        )  # fmt: skip
        self.clean = ComboBox(
            label="clean", choices=choices, nullable=False,
            tooltip="The same as it should be, of the same size, pixel on pixel.",
        )  # fmt: skip
        self.images = Select(
            label="layers", choices=choices,
            tooltip="One or more; click with Ctrl for several. Of one, a fifth is kept for "
            "validation.",
        )  # fmt: skip
        self.images.native.setFixedHeight(LIST_HEIGHT)
        self.images.native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.folder = PathControl("folder", FolderEdit("Folder", "of images"))
        self.partners_folder = PathControl(
            "clean", FolderEdit("Clean images", "with the names of the degraded ones")
        )
        self.degradation = ComboBox(
            label="degradation", choices=self._degradations,
            tooltip="What is done to the clean images, in all strengths.",
        )  # fmt: skip
        self.like = ComboBox(
            label="noise like", choices=self.layers.choices_or_none, nullable=False,
            tooltip="A noisy image of your camera. Its gain and offset are measured, and its noise "
            "is made on the clean images.",
        )  # fmt: skip
        self.like_file = PathControl("noise like", FileEdit("Noisy image", "(optional)"))

    def _degradations(self, _: Any = None) -> list[tuple[str, str]]:
        return degradation_choices(self.model.value)

    def _make_settings(self) -> None:
        self.name = LineEdit(
            label="name", value=FIRST_NAME, tooltip="Of the new model, in the list of models."
        )
        self.steps = SpinBox(
            label="steps", min=1, max=1_000_000, value=1500,
            tooltip="Most steps. It ends earlier when six validations in a row are no better.",
        )  # fmt: skip
        self.domain = LineEdit(
            label="domain", value="",
            tooltip="Name of the degradation. A new name is a new one beside those that the model "
            "knows. Empty: noise for noisy images, own for pairs, or the one that is made.",
        )  # fmt: skip
        self.mode = ComboBox(
            label="what learns", choices=list(MODES.items()),
            tooltip="All but the encoder: the usual. Low-rank updates: the least memory for large "
            "models. Everything: for many images.",
        )  # fmt: skip
        self.batch = LineEdit(
            label="batch", value="auto",
            tooltip="Patches per step, half of them rehearsal of what the model knows; auto: what "
            "fits into memory.",
        )  # fmt: skip
        self.patch = LineEdit(
            label="patch", value="auto",
            tooltip="Side of the patches in pixels, a multiple of 8; auto: what fits into memory.",
        )  # fmt: skip
        self.validate_every = SpinBox(
            label="validate every", min=1, max=100_000, value=100, tooltip="In steps."
        )
        self.brightness = ComboBox(
            label="brightness", choices=list(BRIGHTNESS.items()),
            tooltip="Of grey pairs: whether the range of the clean image is matched to that of the "
            "degraded one, as images of other exposures need.",
        )  # fmt: skip
        self.turn = CheckBox(
            label="", text="turn the patches", value=True,
            tooltip="Also learn from turned and mirrored pairs. Off where a direction matters, "
            "such as that of stripes.",
        )  # fmt: skip
        self.calibrate = CheckBox(
            label="", text="calibrate the map", value=True,
            tooltip="For the Degradation map, at the end; about two minutes, and needs at least "
            "8 clean planes.",
        )  # fmt: skip
