"""The controls of the Restore dock: what is asked, checked and remembered; no work is done here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, FileEdit, FloatSlider
from qtpy.QtCore import Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets.dock.controls import set_shown
from napari_baryir.widgets.dock.form import LayerForm
from napari_baryir.widgets.restore.job import RestoreJob, Settings
from napari_baryir.widgets.restore.remove import NONE_LEFT, RemoveChoice
from napari_baryir.widgets.viewer.regions import units_of

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RestoreForm(LayerForm):
    """Two lists of controls, `basic` and `advanced`, to be laid out by `lay_out`."""

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

    def arguments(self) -> dict[str, Any]:
        """Return arguments of `napari_baryir.restore` that hold for any image, for a batch.

        Raises
        ------
        InputError
            If a control holds something that is not possible.
        """
        if not self.remove.value:
            raise InputError(NONE_LEFT.rstrip("."))
        return {**vars(self._settings()), "strength": float(self.strength.value)}

    def job(self, *, preview: bool = False) -> RestoreJob:
        """Return what is asked for, or a preview of it where the canvas shows the image.

        Raises
        ------
        InputError
            If a control holds something that is not possible.
        """
        job = self._job("here" if preview else None)
        source = job["source"]
        scale = (float(step) for step in source.scale)
        return RestoreJob(
            **job,
            settings=self._settings(),
            coarser=tuple(source.data[1:]) if source.multiscale and not preview else (),
            target=self._target() if self.streams and not preview else None,
            preview=preview,
            scale=dict(zip(job["axes"], scale, strict=False)),
            units=units_of(source, job["axes"]),
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
        return bool(self._source_is_lazy() and self.lazy.value == "zarr")

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
        """Begin anew what was chosen for another image only."""
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
