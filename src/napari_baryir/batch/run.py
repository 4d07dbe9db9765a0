"""The one loop over many images: one that fails never stops the rest."""

from __future__ import annotations

import enum
import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from napari_baryir.errors import DeviceError, WeightsError
from napari_baryir.steps import Steps, finish

if TYPE_CHECKING:
    from napari_baryir.batch.jobs import Job
    from napari_baryir.batch.models import Models
    from napari_baryir.files import ImageFile
    from napari_baryir.restoration import Progress, Restoration

logger = logging.getLogger(__name__)


class State(enum.Enum):
    """The state of an image; the table of the Batch tab shows the value."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Item(Protocol):
    """One image of a batch."""

    def is_done(self) -> bool:
        """Return whether an earlier run has left the result."""


Image = TypeVar("Image", bound=Item)
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class News(Generic[Result]):
    """News of one image."""

    row: int
    """Number of the image, counted as they were given."""
    state: State
    progress: Progress | None = None
    """Set after each tile."""
    result: Result | None = None
    """The value that the work returned; None for an image that was done before."""
    error: Exception | None = None
    """The error, if the image failed."""
    stops: bool = False
    """Whether the batch stops, since every other image would fail in the same way."""


def run_batch(
    items: Sequence[Image],
    work: Callable[[Image], Generator[Progress, None, Result]],
    *,
    again: bool = False,
) -> Generator[News[Result], None, None]:
    """Work on images one after the other; `work` gives the steps of one image.

    An image that fails does not stop the rest, whatever is wrong with it. Weights that cannot be
    loaded and a device that is not there do: the next image would meet them too. Finished images
    are left out unless `again`. Closing the generator stops within a tile and leaves no unfinished
    file behind.

    Yields `News` when an image begins, after each of its tiles, and at its end.
    """
    for row, item in enumerate(items):
        try:
            if not again and item.is_done():
                yield News(row, State.DONE)
                continue
            yield News(row, State.RUNNING)
            steps = Steps(work(item))
            for progress in steps:
                yield News(row, State.RUNNING, progress)
            yield News(row, State.DONE, result=steps.result)
        except Exception as error:
            logger.debug("image %d of the batch", row + 1, exc_info=True)
            stops = isinstance(error, DeviceError | WeightsError)
            yield News(row, State.FAILED, error=error, stops=stops)
            if stops:
                return


@dataclass(frozen=True, eq=False)
class RestoredFile:
    """The result of restoring one file."""

    restoration: Restoration
    notes: tuple[str, ...]
    """Remarks on the file and its result; one sentence each."""


def iter_restore_file(
    job: Job, models: Models, *, axes: str | None = None, **options: Any
) -> Generator[Progress, None, RestoredFile]:
    """Restore from file to file, step by step; the result appears whole, or not at all.

    `axes` has one letter per dimension; None: as the file says. `options` are more arguments of
    `napari_baryir.iter_restore`.
    """
    from napari_baryir.files import format_name, open_output, read_image
    from napari_baryir.imaging.axes import check_axes
    from napari_baryir.restoration import iter_restore

    with read_image(job.path) as image:
        chosen = check_axes(axes, image.shape) if axes else image.axes
        # Written back to its own format, a file keeps the axes that it came with.
        same = format_name(job.target) == image.format
        described = image if same else replace(image, axes=chosen)
        name, model = models.get(image, chosen)
        options["model"] = model
        with open_output(job.target, described) as pixels:
            done = yield from iter_restore(image.data, axes=chosen, out=pixels, **options)
    notes = notes_of(image, axes)
    if done.non_finite:
        notes += (f"{done.non_finite} values are not finite numbers and stay as they are",)
    return RestoredFile(replace(done, image=None, model=name), notes)


def restore_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    axes: str | None = None,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    progress: bool = False,
    **options: Any,
) -> Restoration:
    """Restore an image file into another, with its metadata.

    Parameters
    ----------
    path
        The image: TIFF, OME-Zarr, PNG, JPEG, CZI and more; ``cells.lif/2`` is the second of a file.
    out
        The result, whose suffix decides the format; replaced when there. It appears whole, or not
        at all.
    axes
        One letter of T, Z, C, Y, X, S per dimension; None: as the file says.
    model, device, progress
        As for `napari_baryir.restore`, but no network.
    options
        More of its options: precision, tile, overlap, intensity, strength, ensemble, remove.

    Returns
    -------
    Restoration
        Its `image` is what `out` holds.

    Raises
    ------
    InputError
        If a file or an option cannot be used.
    WeightsError, DeviceError
        As `napari_baryir.restore`.
    """
    from napari_baryir.batch.jobs import Job
    from napari_baryir.batch.models import Models
    from napari_baryir.files import read_image

    models = Models(os.fspath(model), device)
    work = iter_restore_file(
        Job(Path(path), Path(out)), models, axes=axes, device=device, **options
    )
    done = finish(work, progress=progress)
    for note in done.notes:
        logger.warning("%s: %s", path, note)
    return replace(done.restoration, image=read_image(out).data)


def notes_of(image: ImageFile, axes: str | None) -> tuple[str, ...]:
    """Return remarks on an image that was read; `axes` are those that the user gave."""
    if not image.axes_guessed or axes is not None:
        return image.notes
    return (*image.notes, f"its axes were taken to be {image.axes}; --axes says otherwise")
