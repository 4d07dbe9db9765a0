"""One run of restoring a layer, as a generator that knows neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.checks import as_array, is_dask
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.steps import Failed, Step, Success, guarded
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_baryir.restoration.results import Restoration
    from napari_baryir.widgets.dock.controls import LazyMode


@dataclass(frozen=True)
class Settings:
    """How to restore: the arguments of `napari_baryir.restore` that the dock offers."""

    model: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    tile: int | str = "auto"
    overlap: int | str = "auto"
    intensity: str | tuple[float, float] = "auto"
    ensemble: bool = False
    remove: str | Mapping[str, float] = "auto"
    """"auto" for all that the model knows, or names of degradations and amounts from 0 to 1."""


@dataclass(frozen=True, eq=False)
class RestoreJob:
    """An image to restore, and how. Arrays are not read before the run."""

    data: Any
    """Level 0: NumPy, dask, zarr or anything that NumPy can read."""
    axes: str
    box: Box
    settings: Settings = Settings()
    coarser: tuple[Any, ...] = ()
    """The other levels of a multiscale layer."""
    first: tuple[int | None, ...] | None = None
    """Plane in view, within the box."""
    lazy: LazyMode = "lazy"
    target: Path | None = None
    """OME-Zarr folder to write, for "zarr"."""
    scale: Mapping[str, float] = field(default_factory=dict)
    """Step between pixels per axis letter, for files."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Their units in full."""
    image_layer: Image | None = None
    """The layer that the data belong to."""
    strength: float = 1.0
    """How the result is blended with the original when it is shown."""
    preview: bool = False
    """Whether the box is a part of one plane, to be restored as it will be in the whole image."""
    finished: list[int] = field(default_factory=list)
    """Numbers of the planes that are done, filled while it runs."""


@dataclass(frozen=True, eq=False)
class Done(Success):
    """A restored layer."""

    restoration: Restoration
    data: Any
    """The result: an array, or a list of arrays for a multiscale layer."""
    original: Any
    """The pixels that were restored, in the same form."""

    @property
    def lazy(self) -> bool:
        """Whether the network will run only where the user looks."""
        return self.restoration.non_finite is None


def restore_steps(job: RestoreJob) -> Generator[Step, None, Done | Failed]:
    """Restore, yielding after every tile.

    Closing the generator stops the work and leaves no file behind.
    """
    return guarded(_restore(job))


def _restore(job: RestoreJob) -> Generator[Step, None, Done]:
    if job.preview:
        return _preview(job)
    image = as_array(job.data)[job.box.slices]
    if is_dask(image) and job.lazy == "lazy":
        return (yield from _lazily(job, image))
    if job.lazy == "zarr" and job.target is not None:
        return (yield from _into_file(job, image, job.target))
    out = np.array(image)  # planes that are not restored yet show the original
    restoration = yield from _steps(job, image, out)
    if not job.coarser:
        return Done(restoration, out, image)
    return Done(restoration, _pyramid(job, out), _pyramid(job, image))


def _steps(job: RestoreJob, image: Any, out: Any, **changed: Any) -> Generator[Step, None, Any]:
    """Run `iter_restore`, and yield its progress as steps."""
    from napari_baryir.restoration import iter_restore

    options = {**vars(job.settings), "axes": job.axes, "out": out, "first": job.first, **changed}
    steps = Steps(iter_restore(image, **options))
    shown = out if isinstance(out, np.ndarray) else None
    for progress in steps:
        if progress.plane_index is not None:
            job.finished.append(progress.plane)
        try:
            yield Step(progress, shown)
        except GeneratorExit:
            if shown is not None and progress.plane_index is None:
                # A cancelled run keeps no plane that is restored in part.
                plane = PlaneLayout.of(image, job.axes).index(progress.plane)
                shown[plane] = image[plane]
            raise
    return steps.result


def _preview(job: RestoreJob) -> Done:
    """Restore the box with the scene of its plane and the intensities of the whole image."""
    from napari_baryir.restoration.options import RestoreOptions
    from napari_baryir.restoration.part import restore_part

    image = as_array(job.data)
    asked = RestoreOptions(axes=job.axes, **vars(job.settings))
    restoration = restore_part(image, job.box.slices, asked)
    return Done(restoration, restoration.image, np.array(image[job.box.slices]))


def _lazily(job: RestoreJob, image: Any) -> Generator[Step, None, Done]:
    """Return a lazy result; levels that are seen from afar are restored by themselves when seen."""
    restoration = yield from _steps(job, image, None)
    if not job.coarser:
        return Done(restoration, restoration.image, image)
    if not job.box.whole:
        return Done(restoration, _pyramid(job, restoration.image), _pyramid(job, image))
    originals = [image, *(_lazy(level) for level in job.coarser)]
    levels = [restoration.image]
    for level in originals[1:]:
        # The average of level 0 would have to compute all of it to show a thumbnail.
        coarse = yield from _steps(
            job,
            level,
            None,
            model=restoration.model,
            intensity=restoration.intensity,
            tile="auto",
            overlap="auto",
        )
        levels.append(coarse.image)
    return Done(restoration, levels, originals)


def _into_file(job: RestoreJob, image: Any, target: Path) -> Generator[Step, None, Done]:
    """Stream to OME-Zarr, which appears when it is complete."""
    from napari_baryir.files import open_output, read_image
    from napari_baryir.files.image_file import ImageFile

    described = ImageFile(Path(), "", image, job.axes, scale=job.scale, units=job.units)
    with open_output(target, described) as out:
        restoration = yield from _steps(job, image, out)
    written = read_image(target)
    # OME-Zarr has its own order of axes, and colours as channels.
    wanted = job.axes if "S" in written.axes else job.axes.replace("S", "C")
    data = written.data.transpose([written.axes.index(letter) for letter in wanted])
    if not job.coarser:
        return Done(restoration, data, image)
    return Done(restoration, _pyramid(job, data), _pyramid(job, image))


def _pyramid(job: RestoreJob, fine: Any) -> list[Any]:
    """Return levels as far apart as those of the layer, by averaging."""
    from napari_baryir.files.lazy import averaged

    whole = [int(n) for n in job.data.shape]
    levels, lazy = [fine], _lazy(fine)
    for level in job.coarser:
        ratios = [small / n for small, n in zip(level.shape, whole, strict=True)]
        shape = [max(1, round(n * ratio)) for n, ratio in zip(fine.shape, ratios, strict=True)]
        made = averaged(lazy, shape)
        levels.append(made if is_dask(fine) else made.compute(scheduler="sync"))
    return levels


def _lazy(array: Any) -> Any:
    import dask.array

    lazy: Any = dask.array
    array = as_array(array)
    return array if is_dask(array) else lazy.from_array(array)
