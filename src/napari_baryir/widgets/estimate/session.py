"""From a wish to maps: makes the job, follows its run, has the maps put into the viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_baryir.widgets.dock.plane_fetcher import PlaneFetcher
from napari_baryir.widgets.dock.run import Run
from napari_baryir.widgets.dock.session import RunSession
from napari_baryir.widgets.estimate import layers as degradation_layers
from napari_baryir.widgets.estimate.job import (
    Estimated,
    EstimateJob,
    EstimateSettings,
    LazyMaps,
    Parts,
    estimate_steps,
)
from napari_baryir.widgets.estimate.lazy_maps import KeptPlanes, LazyMap
from napari_baryir.widgets.estimate.maps import DegradationMaps
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box, Region, level_0, plane_in_view, suitable_box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Shapes


@dataclass(eq=False)
class MapResult:
    """The maps of one layer."""

    source: Image
    box: Box
    axes: str
    """Of the source, with S."""
    estimate: Any
    """A `napari_baryir.DegradationEstimate`."""
    maps: DegradationMaps
    severity: Image
    domains: Labels
    contributions: list[Image]
    fetchers: list[PlaneFetcher] = field(default_factory=list)
    """Of lazy maps, and of lazy contributions."""
    only: str | None = None
    """The domain that is shown alone; None for all."""

    @property
    def layers(self) -> list[Layer]:
        """All that it is about."""
        return [self.source, self.severity, self.domains, *self.contributions]


class EstimateSession(RunSession):
    """Estimates layers of one viewer; `finished` comes with the `MapResult`.

    Keeps the results that are still in the viewer.
    """

    shown = Signal()
    """Another result is the one to look at, or none."""
    computed = Signal()
    """A plane of a lazy result is known now."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.result: MapResult | None = None
        self.results: list[MapResult] = []
        self._source: Image | None = None
        self._job: EstimateJob | None = None
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.layers.selection.events.active.connect(self._on_active)

    def estimate(
        self,
        source: Image,
        settings: EstimateSettings,
        *,
        axes: str,
        region: Region = "layer",
        shapes: Shapes | None = None,
        parts: Parts = "none",
        lazy: LazyMaps = "lazy",
    ) -> Run:
        """Queue a run.

        Raises
        ------
        InputError
            If the layer cannot be looked at, or there is a run already.
        """
        self._check_free()
        box = suitable_box(self.viewer, source, axes, region, shapes)
        self._source = source
        self._job = EstimateJob(
            data=level_0(source),
            axes=axes,
            box=box,
            settings=settings,
            parts=parts,
            first=plane_in_view(self.viewer, source, axes, box),
            lazy=lazy,
        )
        steps, title = estimate_steps(self._job), f"Looking at {source.name}"
        return self._submit(steps, title, self._job.stopping)

    def show_only(self, domain: str | None) -> None:
        """Show one domain of the result, or all."""
        if self.result is not None:
            self.result.only = domain
            degradation_layers.show_domain(self.result.domains, self.result.maps, domain)

    def _let_go(self) -> None:
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        for result in self.results:
            _let_go(result)
        self.results, self.result = [], None

    def _give_up(self) -> None:
        self._source = self._job = None

    def _finish(self, done: Estimated) -> None:
        source, job = self._source, self._job
        self._source = self._job = None
        assert source is not None
        assert job is not None
        record = make_record(done.estimate, job, source)
        place = (self.viewer, source)
        severity = degradation_layers.add_severity(*place, job.box, done.maps, record=record)
        domains = degradation_layers.add_domains(
            self.viewer, severity, source, job.box, done.maps, record=record
        )
        contributions = [
            degradation_layers.add_contribution(
                self.viewer, severity, source, job.box, done.maps.axes, each, record=record
            )
            for each in done.contributions
        ]
        result = MapResult(
            source, job.box, job.axes, done.estimate, done.maps, severity, domains, contributions
        )
        self._fetch_as_seen(result)
        self.results.append(result)
        self._look_at(result)
        self.finished.emit(result)

    def _fetch_as_seen(self, result: MapResult) -> None:
        """Look at planes of lazy maps as one scrolls to them."""
        lazy = {id(planes): planes for planes in map(_planes_of, result.layers) if planes}
        result.fetchers = [PlaneFetcher(planes) for planes in lazy.values()]
        for fetcher in result.fetchers:
            # Methods, since PySide6 keeps functions with all that they refer to: here, the maps.
            fetcher.fetched.connect(self._on_fetched)
            fetcher.failed.connect(self._complain)
            self._draw(result, fetcher)  # asks for what has come into view since the run began

    def _draw(self, result: MapResult, fetcher: PlaneFetcher) -> None:
        """Draw maps of which more is known."""
        for layer in result.layers:
            if _planes_of(layer) is fetcher.planes:
                layers.refresh(layer)
        self.computed.emit()

    def _on_fetched(self) -> None:
        for result in self.results:
            for fetcher in result.fetchers:
                if fetcher is self.sender():
                    self._draw(result, fetcher)

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
        if layer is self._source:
            self.cancel()
        gone = [r for r in self.results if layer is r.severity or layer is r.domains]
        for result in gone:
            self.results.remove(result)
            _let_go(result)
        if self.result in gone:
            self._look_at(self.results[-1] if self.results else None)


def _let_go(result: MapResult) -> None:
    """Look at no more planes of a result."""
    for fetcher in result.fetchers:
        fetcher.close()


def _planes_of(layer: Layer) -> KeptPlanes[Any] | None:
    """Where the values of a lazy map come from; None for other layers."""
    return layer.data.planes if isinstance(layer.data, LazyMap) else None


def make_record(estimate: Any, job: EstimateJob, source: Image) -> dict[str, Any]:
    """What is kept in the maps' metadata: plain JSON values, enough to repeat the run."""
    path = getattr(source.source, "path", None)
    return {
        **estimate.record,
        "device": estimate.device,
        "source": source.name,
        "path": str(path) if path else None,
        "region": None if job.box.whole else job.box.bounds,
    }
