"""From a wish to maps: makes the job, follows its run, has the maps put into the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets import degradation_layers, layers
from napari_baryir.widgets.degradation_maps import DegradationMaps
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.estimate_job import (
    Estimated,
    EstimateJob,
    EstimateSettings,
    LazyMaps,
    Parts,
    estimate_steps,
)
from napari_baryir.widgets.job import Failed
from napari_baryir.widgets.lazy_maps import LazyPlanes
from napari_baryir.widgets.plane_fetcher import PlaneFetcher
from napari_baryir.widgets.queue import run_queue
from napari_baryir.widgets.regions import Box, Region, box_of, level_0, plane_in_view, why_not
from napari_baryir.widgets.worker import Run

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
    fetcher: PlaneFetcher | None = None
    """Of lazy maps."""
    only: str | None = None
    """The domain that is shown alone; None for all."""

    @property
    def layers(self) -> list[Layer]:
        """All that it is about."""
        return [self.source, self.severity, self.domains, *self.contributions]


class EstimateSession(QObject):
    """Runs of one viewer, one at a time, and the results that are still in it."""

    changed = Signal()
    """The run began, went on or ended."""
    failed = Signal(object)
    """A `Problem`."""
    cancelled = Signal()
    finished = Signal(object)
    """The `MapResult` of a run that went well."""
    shown = Signal()
    """Another result is the one to look at, or none."""
    computed = Signal()
    """A plane of a lazy result is known now."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.run: Run | None = None
        self.result: MapResult | None = None
        self.results: list[MapResult] = []
        self._source: Image | None = None
        self._job: EstimateJob | None = None
        self._closed = False
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
        if self.run is not None:
            raise InputError("a run is going on; cancel it, or wait for it")
        reason = why_not(source, axes)
        if reason is not None:
            raise InputError(reason.rstrip("."))
        box = box_of(self.viewer, source, axes, region, shapes)
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
        run = Run(estimate_steps(self._job), f"Looking at {source.name}")
        run.started.connect(self.changed)
        run.stepped.connect(self._on_step)
        run.ended.connect(self._on_ended)
        self.run = run
        run_queue().submit(run)
        self.changed.emit()
        return run

    def cancel(self) -> None:
        """Stop computing after the tile in work."""
        if self.run is not None:
            self.run.cancel()
            self.changed.emit()

    def show_only(self, domain: str | None) -> None:
        """Show one domain of the result, or all."""
        if self.result is not None:
            self.result.only = domain
            degradation_layers.show_domain(self.result.domains, self.result.maps, domain)

    def close(self) -> None:
        """End everything; the viewer or the dock is gone. The maps stay."""
        if self._closed:
            return
        self._closed = True
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        for result in self.results:
            _let_go(result)
        self.results, self.result = [], None
        if self.run is not None:
            self.run.cancel()

    def _on_step(self, _: Any) -> None:
        if not self._closed:
            self.changed.emit()

    def _on_ended(self) -> None:
        run, source, job = self.run, self._source, self._job
        self.run = self._source = self._job = None
        if self._closed or run is None:
            return
        if isinstance(run.outcome, Estimated) and source is not None and job is not None:
            self._finish(run.outcome, source, job)
        elif isinstance(run.outcome, Failed):
            problem = Problem.of(run.outcome.error)
            notify(problem)
            self.failed.emit(problem)
        else:
            self.cancelled.emit()
        self.changed.emit()

    def _finish(self, done: Estimated, source: Image, job: EstimateJob) -> None:
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
        if isinstance(done.maps.planes, LazyPlanes):
            result.fetcher = self._fetcher(result, done.maps.planes)
        self.results.append(result)
        self._look_at(result)
        self.finished.emit(result)

    def _fetcher(self, result: MapResult, planes: LazyPlanes) -> PlaneFetcher:
        """Look at planes as one scrolls to them, and draw them."""
        fetcher = PlaneFetcher(planes)
        # Methods, since PySide6 keeps functions with all that they refer to: here, the maps.
        fetcher.fetched.connect(self._on_fetched)
        fetcher.failed.connect(self._on_fetch_failed)
        self._draw(result)  # asks for what has come into view since the run began
        return fetcher

    def _draw(self, result: MapResult) -> None:
        """Draw maps of which more is known."""
        layers.refresh(result.severity)
        layers.refresh(result.domains)
        self.computed.emit()

    def _on_fetched(self) -> None:
        for result in self.results:
            if result.fetcher is self.sender():
                self._draw(result)

    def _on_fetch_failed(self, problem: Problem) -> None:
        notify(problem)
        self.failed.emit(problem)

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
    if result.fetcher is not None:
        result.fetcher.close()


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
