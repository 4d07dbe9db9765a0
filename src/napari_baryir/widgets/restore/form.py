"""The controls of the Restore dock, and the jobs that they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, FileEdit, FloatSlider
from qtpy.QtCore import Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets.dock.controls import set_shown
from napari_baryir.widgets.dock.form import LayerForm
from napari_baryir.widgets.restore.batch.items import BatchSettings
from napari_baryir.widgets.restore.job import RestoreJob, Settings
from napari_baryir.widgets.restore.remove import NONE_LEFT, RemoveChoice
from napari_baryir.widgets.viewer.regions import units_of

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RestoreForm(LayerForm):
    """The controls of restoring, in two lists, `basic` and `advanced`."""

    strength_changed = Signal(float)

    group = "restore"
    remembered = (
        "model", "ensemble", "device", "precision", "tile", "overlap", "intensity", "lazy",
    )  # fmt: skip

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self.strength = FloatSlider(
            label="strength", min=0, max=1, step=0.01, value=1,
            tooltip="1: restored. 0: the original. Moves the result at once, also after a run.",
        )  # fmt: skip
        self.remove = RemoveChoice()
        self._offered: str | None = None
        self.ensemble = CheckBox(
            label="", text="extra careful (8× slower)", value=False,
            tooltip="Restores the image turned and mirrored in 8 ways and averages: slightly "
            "better. Elsewhere called a self-ensemble.",
        )  # fmt: skip
        self.target = FileEdit(
            label="OME-Zarr", mode=FileDialogMode.OPTIONAL_FILE, filter="*.ome.zarr",
            tooltip="Folder to write, for example restored.ome.zarr.",
        )  # fmt: skip
        self.basic = [
            self.layer, self.model, self.remove.row, self.region, self.shapes, self.strength,
            self.ensemble,
        ]  # fmt: skip
        self.advanced = [
            self.remove.amounts_row, self.device, self.precision, self.tile, self.overlap,
            self.axes, self.intensity, self.lazy, self.target,
        ]  # fmt: skip
        self.strength.changed.connect(self.strength_changed.emit)
        self.remove.changed.connect(self.changed)
        self._begin()

    def batch_settings(self) -> BatchSettings:
        """Return the settings of a batch; `InputError` if a control holds an impossible value."""
        if not self.remove.value:
            raise InputError(NONE_LEFT.rstrip("."))
        return BatchSettings(**vars(self._settings()), strength=float(self.strength.value))

    def job(self, *, preview: bool = False) -> RestoreJob:
        """Return the job, or its preview; `InputError` if a control holds an impossible value."""
        job = self._job("here" if preview else None)
        layer = job["image_layer"]
        return RestoreJob(
            **job,
            settings=self._settings(),
            coarser=tuple(layer.data[1:]) if layer.multiscale and not preview else (),
            target=self._target() if self.streams and not preview else None,
            preview=preview,
            scale=dict(zip(job["axes"], map(float, layer.scale), strict=False)),
            units=units_of(layer, job["axes"]),
            strength=float(self.strength.value),
        )

    def problem(self) -> str | None:
        """Return why the layer cannot be restored as is asked; None if it can."""
        return super().problem() or (None if self.remove.value else NONE_LEFT)

    def _settings(self) -> Settings:
        return Settings(**self._common(), ensemble=self.ensemble.value, remove=self.remove.value)

    @property
    def streams(self) -> bool:
        """Whether the result goes into a file."""
        return bool(self._is_lazy() and self.lazy.value == "zarr")

    def _target(self) -> Path:
        """Check the OME-Zarr folder to write, which could be the one that is read."""
        from napari_baryir.files import format_name

        path = Path(str(self.target.value or ""))
        if path == Path():
            raise InputError("choose the OME-Zarr folder to write (Advanced)")
        if format_name(path) != "ome-zarr":
            raise InputError(f"{path} is no name for OME-Zarr; end it in .ome.zarr (Advanced)")
        if path.exists():
            raise InputError(f"{path} is there already; choose another name (Advanced)")
        return path

    def _on_layer(self) -> None:
        """Reset the controls that belonged to another image."""
        with self.strength.changed.blocked():  # the result in view keeps its own
            self.strength.value = 1
        self.region.value = "layer"
        self.remove.reset()
        super()._on_layer()

    def _on_model(self) -> None:
        super()._on_model()
        self._offer()

    def _adapt(self) -> None:
        super()._adapt()
        set_shown(self.target, self.streams)
        if self._model_name() != self._offered:
            self._offer()

    def _model_name(self) -> str | None:
        """Return the model that would restore the layer; None if that is not known yet."""
        from napari_baryir.weights.registry import choose_model

        axes = self.axes.value.upper()
        if self.model.value != "auto":
            return str(self.model.value)
        return choose_model("S" in axes) if axes else None

    def _offer(self) -> None:
        """Offer what the model can remove by itself; reads the head of its file only."""
        from napari_baryir.weights.registry import removable_by

        name = self._offered = self._model_name()
        names = removable_by(name) if name else ()
        self.remove.offer(names, _why_all(name))
        set_shown(self.remove.amounts_row, bool(names))


def _why_all(model: str | None) -> str:
    """Return why there is no choice of what to remove."""
    if model is None:
        return "Open an image: the model for it decides what can be removed."
    return f"{Path(model).stem} removes whatever it finds; it cannot leave any of it."
