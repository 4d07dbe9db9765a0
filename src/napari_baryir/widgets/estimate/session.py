"""From a job to maps: follows its run, and has the maps put into the viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_baryir.widgets.dock.run import Run
from napari_baryir.widgets.dock.seen import KeptPlanes, LazyMap, PartWorker
from napari_baryir.widgets.dock.session import RunSession
from napari_baryir.widgets.estimate import layers as degradation_layers
from napari_baryir.widgets.estimate.job import Estimated, EstimateJob, estimate_steps
from napari_baryir.widgets.estimate.maps import DegradationMaps
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer


@dataclass(eq=False)
class MapResult:
    """The maps of one layer."""

    image_layer: Image
    box: Box
    axes: str
    """Axes of the image, with S."""
    estimate: Any
    """A `napari_baryir.DegradationEstimate`."""
    maps: DegradationMaps
    severity: Image
    domains: Labels
    contributions: list[Image]
    workers: list[PartWorker] = field(default_factory=list)
    """The workers that compute planes of lazy maps and contributions."""
    only: str | None = None
    """The domain that is shown alone; None for all."""

    @property
    def layers(self) -> list[Layer]:
        """The image and its maps."""
        return [self.image_layer, self.severity, self.domains, *self.contributions]


class EstimateSession(RunSession):
    """Estimates layers of one viewer; `finished` comes with the `MapResult`.

    Keeps the results that are still in the viewer.
    """

    shown = Signal()
    """`result` is another one, or none."""
    computed = Signal()
    """A plane of a lazy result is known now."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.result: MapResult | None = None
        self.results: list[MapResult] = []
        self._job: EstimateJob | None = None
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.layers.selection.events.active.connect(self._on_active)

    def estimate(self, job: EstimateJob) -> Run:
        """Queue a run; `InputError` if there is one already."""
        self._check_free()
        assert job.image_layer is not None
        self._job = job
        return self._submit(estimate_steps(job), f"Looking at {job.image_layer.name}", job.stopping)

    def show_only(self, domain: str | None) -> None:
        """Show one domain of the result, or all."""
        if self.result is not None:
            self.result.only = domain
            self.result.domains.colormap = degradation_layers.colormap(self.result.maps, domain)

    def _let_go(self) -> None:
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        for result in self.results:
            _let_go(result)
        self.results, self.result = [], None

    def _give_up(self) -> None:
        self._job = None

    def _finish(self, done: Estimated) -> None:
        job, self._job = self._job, None
        assert job is not None
        layer, estimate = job.image_layer, done.estimate
        assert layer is not None
        record = {**estimate.record, "device": estimate.device, **layers.origin(layer, job.box)}
        found = degradation_layers.add_layers(self.viewer, layer, job.box, done, record)
        result = MapResult(layer, job.box, job.axes, estimate, done.maps, *found)
        layers.hide_earlier(self.viewer, layer, layer)  # results cover the maps below them
        self._look_as_seen(result)
        self.results.append(result)
        self._look_at(result)
        self.finished.emit(result)

    def _look_as_seen(self, result: MapResult) -> None:
        """Look at planes of lazy maps as the user scrolls to them."""
        lazy = {id(planes): planes for planes in map(_planes_of, result.layers) if planes}
        result.workers = [PartWorker(planes) for planes in lazy.values()]
        for worker in result.workers:
            # Methods, since PySide6 keeps functions with all that they refer to: here, the maps.
            worker.made.connect(self._on_made)
            worker.failed.connect(self.failed)
            self._draw(result, worker)  # asks for what has come into view since the run began

    def _draw(self, result: MapResult, worker: PartWorker) -> None:
        """Draw the maps that a worker has computed a plane of."""
        for layer in result.layers:
            if _planes_of(layer) is worker.kept:
                layers.refresh(layer)
        self.computed.emit()

    def _on_made(self) -> None:
        for result in self.results:
            for worker in result.workers:
                if worker is self.sender():
                    self._draw(result, worker)

    def _look_at(self, result: MapResult | None) -> None:
        self.result = result
        self.shown.emit()

    def _on_active(self, event: Any) -> None:
        """Follow the layer list from result to result."""
        of_it = [result for result in self.results if event.value in result.layers]
        if of_it and self.result not in of_it:
            self._look_at(of_it[-1])

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if self._job is not None and layer is self._job.image_layer:
            self.cancel()
        gone = [r for r in self.results if layer is r.severity or layer is r.domains]
        for result in gone:
            self.results.remove(result)
            _let_go(result)
        if self.result in gone:
            self._look_at(self.results[-1] if self.results else None)


def _let_go(result: MapResult) -> None:
    """Look at no more planes of a result."""
    for worker in result.workers:
        worker.close()


def _planes_of(layer: Layer) -> KeptPlanes[Any] | None:
    """Return where the values of a lazy map come from; None for other layers."""
    return layer.data.planes if isinstance(layer.data, LazyMap) else None
