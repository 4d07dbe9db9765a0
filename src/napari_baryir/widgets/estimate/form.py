"""The controls of the Degradation map dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox

from napari_baryir.widgets.dock.form import LayerForm
from napari_baryir.widgets.estimate.job import EstimateJob, LazyMaps, Parts

if TYPE_CHECKING:
    from napari.components import ViewerModel

PARTS: dict[str, Parts] = {
    "nothing": "none",
    "parts that add up": "additive",
    "differences": "differences",
    "both kinds": "both",
}

LAZY: dict[str, LazyMaps] = {
    "estimate as one scrolls": "lazy",
    "at once, in memory": "memory",
}


class EstimateForm(LayerForm):
    """The controls of estimating, in two lists, `basic` and `advanced`."""

    group = "estimate"
    done = "estimated"
    lazy_choices = LAZY
    remembered = (
        "model", "region", "parts", "device", "precision", "tile", "overlap", "intensity", "lazy",
    )  # fmt: skip

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self.layer.tooltip = (
            "Layer to look at. It is never changed; the maps are new layers above it."
        )
        self.region.label = "look at"
        self.region.tooltip = "The whole layer, or a part of it."
        self.shapes.tooltip = "Selected shapes, or all; their common bounding box is looked at."
        self.lazy.tooltip = (
            "For dask and zarr layers. As one scrolls: planes that are not yet in view are blank."
        )
        self.parts = ComboBox(
            label="also show", choices=list(PARTS.items()),
            tooltip="Also map what the model's view of the scene and its view of what is wrong do "
            "to the image (in the paper: contributions of barycenter and residual). Parts that add "
            "up: Shapley's split of the whole. Differences: with one of them minus without it, as "
            "in the paper. Takes about as long as three restorations.",
        )  # fmt: skip
        self.basic = [self.layer, self.model, self.region, self.shapes, self.parts]
        self.advanced = [
            self.device, self.precision, self.tile, self.overlap, self.axes, self.intensity,
            self.lazy,
        ]  # fmt: skip
        self._begin()

    def job(self) -> EstimateJob:
        """Return the job; `InputError` if a control holds a value that is not possible."""
        return EstimateJob(**self._job(), settings=self._common(), parts=self.parts.value)
