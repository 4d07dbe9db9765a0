"""From a job to a layer: follows its run, and puts the result into the viewer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets.dock.run import Run
from napari_baryir.widgets.dock.session import RunSession
from napari_baryir.widgets.dock.steps import Step
from napari_baryir.widgets.restore.compare import Comparison, Result
from napari_baryir.widgets.restore.job import Done, RestoreJob, restore_steps
from napari_baryir.widgets.restore.record import make_record, name_of
from napari_baryir.widgets.restore.saving import Saved, SaveJob, save_steps
from napari_baryir.widgets.viewer import layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_baryir.widgets.restore.seen import SeenLevel

REFRESH_SECONDS = 0.3
"""Least time between two drawings of a result that is being made."""


class RestoreSession(RunSession):
    """Restores layers of one viewer; `finished` comes with the `Result`."""

    looking = Signal(bool)
    """Whether the plane in view of a lazy result is being restored."""
    previewed = Signal(object)
    """The `Result` of a preview."""
    saved = Signal(object)
    """The path of a file that has been written."""
    _shown = Signal(object, object)
    """A layer and its result, which is selected after the events that wait."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.comparison = Comparison(viewer)
        self._job: RestoreJob | None = None
        self._partial: Image | None = None
        self._planes = 0
        self._preview: Image | None = None
        self._unfinished: tuple[Image, Image] | None = None
        """The image and the layer of a run that was stopped, while the layer can be kept."""
        self.unfinished = ""
        """The part of it that is done, in words; empty where nothing can be kept."""
        self._drawn = 0.0
        self._shown.connect(self._select, Qt.ConnectionType.QueuedConnection)
        viewer.layers.events.removed.connect(self._on_layer_removed)

    def restore(self, job: RestoreJob) -> Run:
        """Queue a run; `InputError` if there is one already."""
        self._check_free()
        assert job.image_layer is not None
        if not job.preview:
            layers.remove(self.viewer, self._preview)
        self._job, self._partial = job, None
        self._unfinished, self.unfinished = None, ""
        return self._submit(restore_steps(job), f"Restoring {job.image_layer.name}")

    def save(self, path: Path) -> Run:
        """Queue the saving of the result in view; `InputError` if there is a run already."""
        self._check_free()
        result = self.comparison.result
        if result is None:
            raise InputError("there is no result; restore an image first")
        job = SaveJob.of(result, path)
        return self._submit(save_steps(job), f"Saving {result.layer.name}")

    def keep(self) -> None:
        """Add the finished planes of the run that was stopped last."""
        if self._unfinished is not None:
            image_layer, layer = self._unfinished
            layer.name = f"{image_layer.name} · {self.unfinished}"
            layers.set_record(layer, {"kind": "restored", "source": image_layer.name})
            layers.add_above(self.viewer, image_layer, layer)
            layers.hide_earlier(self.viewer, image_layer, layer)
        self._unfinished, self.unfinished = None, ""

    def _let_go(self) -> None:
        self.comparison.close()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)

    def _follow(self, step: Step) -> None:
        progress = step.progress
        self._planes = progress.planes
        if step.image is not None and progress.planes > 1 and progress.plane_index is not None:
            self._show_partial(step)

    def _show_partial(self, step: Step) -> None:
        """Show the planes that are finished; the others still show the original."""
        job = self._job
        if job is None or job.image_layer is None or job.coarser:
            return
        if self._partial is None:
            self._partial = self._add(job, step.image, "restoring…", {"kind": "restoring"})
        elif time.perf_counter() - self._drawn < REFRESH_SECONDS:
            return
        else:
            layers.refresh(self._partial)
        self._drawn = time.perf_counter()

    def _add(self, job: RestoreJob, data: Any, name: str, record: dict[str, Any]) -> Image:
        assert job.image_layer is not None
        layer = layers.add_result(
            self.viewer, job.image_layer, job.box, data, name=name, record=record
        )
        if not job.box.whole and layer.blending not in layers.COVERING:
            layer.blending = "translucent"  # it covers a part of the original, which stays visible
        return layer

    def _give_up(self) -> None:
        partial, job = self._partial, self._job
        self._partial = self._job = None
        there = self.viewer.layers
        if partial in there and job is not None and job.image_layer in there and job.finished:
            self._unfinished = job.image_layer, partial
            self.unfinished = f"{len(job.finished)} of {self._planes} planes"
        layers.remove(self.viewer, partial)

    def _finish(self, done: Done | Saved) -> None:
        if isinstance(done, Saved):
            self.saved.emit(done.path)
            return
        job, partial = self._job, self._partial
        self._job = self._partial = None
        assert job is not None
        assert job.image_layer is not None
        image_layer = job.image_layer
        record = make_record(done.restoration, image_layer, job.box, 1.0)
        name = name_of(record)
        if job.preview:
            record["kind"], name = "preview", f"{image_layer.name} · preview"
            layers.remove(self.viewer, self._preview)
        data, seen = self._seen(done) if done.lazy else (done.data, [])
        if partial is None:
            layer = self._add(job, data, name, record)
        else:
            layer = partial
            layer.name = name
            layers.set_record(layer, record)
            layer.refresh()
        layers.hide_earlier(self.viewer, image_layer, layer)
        multiscale = layer.multiscale
        result = Result(
            image_layer=image_layer,
            layer=layer,
            box=job.box,
            axes=job.axes,
            originals=done.original if multiscale else [done.original],
            restored=done.data if multiscale else [done.data],
            name=name,
            seen=seen,
        )
        self.comparison.show(result, job.strength)
        if job.preview:
            self._preview = layer
            self.comparison.set_wipe(0.5)  # it lies around the middle of the view
            self.previewed.emit(result)
        else:
            self._shown.emit(image_layer, layer)
            self.finished.emit(result)

    def _select(self, image_layer: Image, layer: Image) -> None:
        """Select a result, since the user saves it next, or changes its contrast."""
        if not self._closed:
            layers.select_instead(self.viewer, image_layer, layer)

    def _seen(self, done: Done) -> tuple[Any, list[SeenLevel]]:
        """Return the data and levels of a lazy result, whose workers report to the dock."""
        from napari_baryir.widgets.restore.seen import seen_levels  # late: dask

        data, seen = seen_levels(done, self.viewer)
        for level in seen:
            level.busy.connect(self.looking)
            level.failed.connect(self.failed)
        return data, seen

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if self._job is not None and layer in (self._job.image_layer, self._partial):
            self.cancel()
        self.comparison.forget(layer)
        result = self.comparison.result
        if result is not None and layer in (result.image_layer, result.layer):
            self.comparison.show(None, 1.0)
        self.changed.emit()
