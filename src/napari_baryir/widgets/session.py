"""From a wish to a layer: makes the job, follows its run, has the result put into the viewer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets import layers
from napari_baryir.widgets.compare import Comparison, Result
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.job import (
    Done,
    Failed,
    LazyMode,
    RestoreJob,
    Settings,
    Step,
    restore_steps,
)
from napari_baryir.widgets.queue import run_queue
from napari_baryir.widgets.record import make_record
from napari_baryir.widgets.regions import Box, Region, box_of, level_0, plane_in_view, why_not
from napari_baryir.widgets.worker import Run

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

    from napari_baryir.widgets.seen_planes import SeenPlanes

REFRESH_SECONDS = 0.3
"""Least time between two drawings of a result that is being made."""


class RestoreSession(QObject):
    """Runs of one viewer, one at a time."""

    changed = Signal()
    """The run began, went on or ended."""
    failed = Signal(object)
    """A `Problem`."""
    cancelled = Signal()
    finished = Signal(object)
    """The `Result` of a run that went well."""
    looking = Signal(bool)
    """Whether the plane in view of a lazy result is being restored."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.comparison = Comparison(viewer)
        self.run: Run | None = None
        self._source: Image | None = None
        self._box: Box | None = None
        self._job: RestoreJob | None = None
        self._partial: Image | None = None
        self._strength = 1.0
        self._drawn = 0.0
        self._closed = False
        viewer.layers.events.removed.connect(self._on_layer_removed)

    def restore(
        self,
        source: Image,
        settings: Settings,
        *,
        axes: str,
        region: Region = "layer",
        shapes: Shapes | None = None,
        strength: float = 1.0,
        lazy: LazyMode = "lazy",
        target: Path | None = None,
    ) -> Run:
        """Queue a run.

        Raises
        ------
        InputError
            If the layer cannot be restored, or there is a run already.
        """
        if self.run is not None:
            raise InputError("a run is going on; cancel it, or wait for it")
        reason = why_not(source, axes)
        if reason is not None:
            raise InputError(reason.rstrip("."))
        box = box_of(self.viewer, source, axes, region, shapes)
        job = RestoreJob(
            data=level_0(source),
            axes=axes,
            box=box,
            settings=settings,
            coarser=tuple(source.data[1:]) if source.multiscale else (),
            first=plane_in_view(self.viewer, source, axes, box),
            lazy=lazy,
            target=target,
            scale=dict(zip(axes, (float(s) for s in source.scale), strict=False)),
            units=_units(source, axes),
        )
        self._source, self._box, self._job, self._strength = source, box, job, strength
        self._partial = None
        run = Run(restore_steps(job), f"Restoring {source.name}")
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

    def close(self) -> None:
        """End everything; the viewer or the dock is gone."""
        if self._closed:
            return
        self._closed = True
        self.comparison.close()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        if self.run is not None:
            self.run.cancel()

    def _on_step(self, step: Step) -> None:
        if self._closed or self.run is None:
            return
        progress = step.progress
        if step.image is not None and progress.planes > 1 and progress.plane_index is not None:
            self._show_partial(step)
        self.changed.emit()

    def _show_partial(self, step: Step) -> None:
        """Show the planes that are finished while the others are still black."""
        if self._source is None or self._box is None or self._job is None or self._job.coarser:
            return
        if self._partial is None:
            name = f"{self._source.name} restoring…"
            self._partial = layers.add_result(
                self.viewer,
                self._source,
                self._box,
                step.image,
                name=name,
                record={"kind": "restoring"},
            )
        elif time.perf_counter() - self._drawn < REFRESH_SECONDS:
            return
        else:
            layers.refresh(self._partial)
        self._drawn = time.perf_counter()

    def _on_ended(self) -> None:
        run, partial, source = self.run, self._partial, self._source
        self.run = self._partial = self._source = None
        if self._closed or run is None:
            return
        if isinstance(run.outcome, Done) and source is not None:
            self._finish(run.outcome, source, partial)
        else:
            layers.remove(self.viewer, partial)
            if isinstance(run.outcome, Failed):
                problem = Problem.of(run.outcome.error)
                notify(problem)
                self.failed.emit(problem)
            else:
                self.cancelled.emit()
        self.changed.emit()

    def _finish(self, done: Done, source: Image, partial: Image | None) -> None:
        assert self._box is not None
        assert self._job is not None
        name = f"{source.name} restored"
        path = getattr(source.source, "path", None)
        record = make_record(
            done.restoration,
            source=source.name,
            path=str(path) if path else None,
            box=self._box,
            strength=1.0,
        )
        data, seen = done.data, self._seen(done)
        if seen:
            from napari_baryir.widgets.seen_planes import shown_data

            data = shown_data(done, seen)
        # Selected, since saving it or changing its contrast comes next; the original may be hidden.
        if partial is None:
            layer = layers.add_result(
                self.viewer, source, self._box, data, name=name, record=record, select=True
            )
        else:
            layer = partial
            layers.finish(layer, name=name, record=record)
            layers.select_instead(self.viewer, source, layer)
        multiscale = layer.multiscale
        result = Result(
            source=source,
            layer=layer,
            box=self._box,
            axes=self._job.axes,
            originals=done.original if multiscale else [done.original],
            restored=done.data if multiscale else [done.data],
            seen=seen,
        )
        self.comparison.show(result, self._strength)
        self.finished.emit(result)

    def _seen(self, done: Done) -> Sequence[SeenPlanes]:
        """The levels of a lazy result, which tell when they are looked at."""
        if not done.lazy:
            return ()
        from napari_baryir.widgets.seen_planes import seen_levels  # late: dask

        seen = seen_levels(done, self.viewer)
        for level in seen:
            level.busy.connect(self.looking)
            level.failed.connect(self.failed)
        return seen

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if layer is self._source or (layer is self._partial and layer is not None):
            self.cancel()
        result = self.comparison.result
        if result is not None and layer in (result.source, result.layer):
            self.comparison.show(None, 1.0)
            self.changed.emit()


def _units(source: Image, axes: str) -> dict[str, str]:
    """Units of those axes that have a physical one."""
    named = zip(axes, (str(unit) for unit in getattr(source, "units", ()) or ()), strict=False)
    return {letter: unit for letter, unit in named if unit not in ("pixel", "dimensionless")}
