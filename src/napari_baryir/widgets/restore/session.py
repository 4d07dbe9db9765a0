"""From a wish to a layer: makes the job, follows its run, has the result put into the viewer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal

from napari_baryir.widgets.dock.run import Run
from napari_baryir.widgets.dock.session import RunSession
from napari_baryir.widgets.restore.compare import Asked, Comparison, Result
from napari_baryir.widgets.restore.job import (
    Done,
    LazyMode,
    RestoreJob,
    Settings,
    Step,
    restore_steps,
)
from napari_baryir.widgets.restore.record import make_record
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box, Region, level_0, plane_in_view, suitable_box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

    from napari_baryir.widgets.dock.seen import SeenPlanes

REFRESH_SECONDS = 0.3
"""Least time between two drawings of a result that is being made."""


class RestoreSession(RunSession):
    """Restores layers of one viewer; `finished` comes with the `Result`."""

    looking = Signal(bool)
    """Whether the plane in view of a lazy result is being restored."""
    _shown = Signal(object, object)
    """A source and its result, which is to be selected when the window has had time for others."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.comparison = Comparison(viewer)
        self._source: Image | None = None
        self._box: Box | None = None
        self._job: RestoreJob | None = None
        self._partial: Image | None = None
        self._strength = 1.0
        self._drawn = 0.0
        self._shown.connect(self._select, Qt.ConnectionType.QueuedConnection)
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
        self._check_free()
        box = suitable_box(self.viewer, source, axes, region, shapes)
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
        return self._submit(restore_steps(job), f"Restoring {source.name}")

    def restore_again(self) -> Run | None:
        """Queue a run over all of the result, asked for as that was; None if there is none.

        Raises
        ------
        InputError
            As `restore`.
        """
        result = self.comparison.result
        if result is None:
            return None
        asked = result.asked
        return self.restore(
            result.layer,
            asked.settings,
            axes=result.axes,
            strength=self.comparison.strength,
            lazy=asked.lazy,
            target=None if asked.target is None else free_name(asked.target),
        )

    def _let_go(self) -> None:
        self.comparison.close()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)

    def _follow(self, step: Step) -> None:
        progress = step.progress
        if step.image is not None and progress.planes > 1 and progress.plane_index is not None:
            self._show_partial(step)

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

    def _give_up(self) -> None:
        partial, self._partial, self._source = self._partial, None, None
        layers.remove(self.viewer, partial)

    def _finish(self, done: Done) -> None:
        source, partial = self._source, self._partial
        self._source = self._partial = None
        assert source is not None
        assert self._box is not None
        assert self._job is not None
        times = "again" if layers.kind_of(source) == "restored" else "restored"
        name = f"{source.name} {times}"
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
            from napari_baryir.widgets.dock.seen import shown_data

            data = shown_data(done, seen)
        if partial is None:
            layer = layers.add_result(
                self.viewer, source, self._box, data, name=name, record=record
            )
        else:
            layer = partial
            layers.finish(layer, name=name, record=record)
        self._shown.emit(source, layer)
        multiscale = layer.multiscale
        result = Result(
            source=source,
            layer=layer,
            box=self._box,
            axes=self._job.axes,
            originals=done.original if multiscale else [done.original],
            restored=done.data if multiscale else [done.data],
            seen=seen,
            asked=Asked(self._job.settings, self._job.lazy, self._job.target),
        )
        self.comparison.show(result, self._strength)
        self.finished.emit(result)

    def _select(self, source: Image, layer: Image) -> None:
        """Saving it or changing its contrast comes next, and the original may be hidden."""
        if not self._closed:
            layers.select_instead(self.viewer, source, layer)

    def _seen(self, done: Done) -> Sequence[SeenPlanes]:
        """The levels of a lazy result, which tell when they are looked at."""
        if not done.lazy:
            return ()
        from napari_baryir.widgets.dock.seen import seen_levels  # late: dask

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


def free_name(path: Path) -> Path:
    """A name for an OME-Zarr folder beside another one, that nothing has yet."""
    name = path.name.split(".", 1)
    for number in itertools.count(1):
        again = "again" if number == 1 else f"again-{number}"
        beside = path.with_name(".".join([f"{name[0]}-{again}", *name[1:]]))
        if not beside.exists():
            break
    return beside


def _units(source: Image, axes: str) -> dict[str, str]:
    """Units of those axes that have a physical one."""
    named = zip(axes, (str(unit) for unit in getattr(source, "units", ()) or ()), strict=False)
    return {letter: unit for letter, unit in named if unit not in ("pixel", "dimensionless")}
