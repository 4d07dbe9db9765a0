"""The images of a batch: files and layers, and how one of them is restored."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_baryir.batch import run
from napari_baryir.batch.models import Models
from napari_baryir.batch.run import News, State
from napari_baryir.errors import InputError
from napari_baryir.restoration.results import Progress
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.steps import Failed, Outcome, Step, Success, guarded
from napari_baryir.widgets.restore.job import Done, RestoreJob, Settings, restore_steps
from napari_baryir.widgets.restore.record import removed_in_words
from napari_baryir.widgets.viewer.regions import Box, axes_of, level_0, why_not

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_baryir.batch.jobs import Job

logger = logging.getLogger(__name__)

PARTS = 100
"""Parts of an image in the progress of all, so that a stack counts no more than a photograph."""


@dataclass(frozen=True)
class BatchSettings(Settings):
    """How to restore all images alike; axes and intensities come from each image."""

    strength: float = 1.0
    """Applied while restoring; a batch has no slider."""

    def in_words(self) -> str:
        """Return model, what is removed, and strength."""
        parts = [f"model {Path(self.model).stem}"]
        if isinstance(self.remove, Mapping):
            parts.append("removes " + ", ".join(removed_in_words(self.remove)))
        return ", ".join([*parts, f"strength {self.strength:.2f}"])


ItemSteps = Generator[Progress, None, Done | run.RestoredFile]


@dataclass(frozen=True)
class FileItem:
    """An image file, restored into another."""

    job: Job
    folder: Path
    """The folder that names are relative to."""
    dropped: bool = field(default=False, init=False)
    """Whether the result is no longer wanted; only a layer can go."""

    @property
    def name(self) -> str:
        """Path below the folder, for the table."""
        path = self.job.path
        return str(path.relative_to(self.folder)) if self.folder in path.parents else path.name

    @property
    def prefix(self) -> str:
        """The beginning of its errors, which the table has as the name already."""
        return f"{self.job.path}: "

    @property
    def outcome(self) -> str:
        """The path of the result."""
        return str(self.job.target)

    def is_done(self) -> bool:
        """Return whether the result is there and not older than the image."""
        return self.job.is_done()

    def steps(self, settings: BatchSettings, models: Models) -> ItemSteps:
        """Restore from file to file; the result appears whole, or not at all."""
        return (yield from run.iter_restore_file(self.job, models, **vars(settings)))


@dataclass(eq=False)
class LayerItem:
    """A layer, restored into another."""

    layer: Image
    done: bool = field(default=False, init=False)
    dropped: bool = field(default=False, init=False)
    """Whether the layer was removed."""
    outcome = "a new layer above it"

    @property
    def name(self) -> str:
        """Name of the layer."""
        return str(self.layer.name)

    @property
    def prefix(self) -> str:
        """The beginning of its errors."""
        return f"“{self.name}”: "

    def is_done(self) -> bool:
        """Return whether its result was added in this session."""
        return self.done

    @property
    def box(self) -> Box:
        """All of the layer."""
        shape = level_0(self.layer).shape
        return Box(tuple(slice(0, int(n)) for n in shape), whole=True)

    def steps(self, settings: BatchSettings, models: Models) -> ItemSteps:
        """Restore the pixels as the Restore tab does."""
        reason = why_not(self.layer)
        if reason is not None:
            raise InputError(reason)
        coarser = tuple(self.layer.data[1:]) if self.layer.multiscale else ()
        data, axes = level_0(self.layer), axes_of(self.layer)
        steps = Steps(restore_steps(RestoreJob(data, axes, self.box, settings, coarser)))
        for step in steps:
            yield step.progress
        if isinstance(steps.result, Failed):
            raise steps.result.error
        return steps.result


Item = FileItem | LayerItem


@dataclass(frozen=True, eq=False)
class Update(Step):
    """News of one image; `progress` is that of the whole batch."""

    row: int
    """Number of the image, counted as they were given."""
    state: State
    text: str = ""
    """The percentage that is done, the outcome, or the error."""
    result: Done | None = None
    """The result of a layer."""
    problem: Problem | None = None
    """The error, if the image failed."""
    unchanged: bool = False
    """Whether the result is practically the image as it was."""


def run_batch(
    items: Sequence[Item], settings: BatchSettings, *, again: bool = False
) -> Generator[Step, None, Outcome]:
    """Restore images one after the other, as `napari_baryir.batch.run.run_batch` does.

    Yields an `Update` when an image begins, after each of its tiles, and at its end. With `again`,
    images that were done before are restored once more.
    """
    return guarded(_batch(items, settings, again))


def _batch(
    items: Sequence[Item], settings: BatchSettings, again: bool
) -> Generator[Step, None, Success]:
    models: list[Models] = []  # made with the first image, which fails if there is no such model

    def work(item: Item) -> ItemSteps:
        if not models:
            models.append(Models(settings.model, settings.device))
        _require_wanted(item)
        steps = Steps(item.steps(settings, models[0]))
        for progress in steps:
            yield progress
            _require_wanted(item)
        return steps.result

    with contextlib.closing(run.run_batch(items, work, again=again)) as batch:
        for news in batch:
            yield _update(news, items)
    return Success()


def _require_wanted(item: Item) -> None:
    if item.dropped:
        raise InputError("it was removed before it was done")


def _update(news: News[Done | run.RestoredFile], items: Sequence[Item]) -> Update:
    item, part, text, problem = items[news.row], 1.0, "", None
    if news.error is not None:
        problem = Problem.of(news.error)
        logger.info("%s: %s", item.name, problem.details or problem.sentence)
        text = problem.sentence.removeprefix(item.prefix)
    elif news.state is State.DONE:
        text = item.outcome
    elif news.progress is None:
        part = 0.0
    else:
        part = news.progress.done / max(1, news.progress.total)
        text = f"{part:.0%}"
    done, rows = int(PARTS * (news.row + part)), len(items)
    progress = Progress(done, PARTS * rows, news.row, rows)
    result = news.result
    unchanged = result is not None and result.restoration.practically_unchanged
    layer = result if isinstance(result, Done) else None
    return Update(progress, None, news.row, news.state, text, layer, problem, unchanged)


def list_folder(folder: str, output: str) -> tuple[list[FileItem], str]:
    """Return the images below a folder with the files for their results, and notes on other files.

    Raises `InputError` without such a folder or images, or if results would overwrite images.
    """
    from napari_baryir.batch.jobs import plan_jobs

    if not folder:
        raise InputError("choose the folder that has the images")
    if not output:
        raise InputError("choose the folder for the results")
    if not Path(folder).is_dir():
        raise InputError(f"there is no folder {folder}")
    if Path(folder).resolve() == Path(output).resolve():
        raise InputError("the results would overwrite the images; choose another folder for them")
    plan = plan_jobs([folder], output, to_folder=True)
    return [FileItem(job, Path(folder)) for job in plan.jobs], "\n".join(plan.notes)


def find_images(folder: str, output: str) -> tuple[list[FileItem], str]:
    """Return what `list_folder` does; instead of raising, no images and the error as the note."""
    try:
        return list_folder(folder, output)
    except Exception as error:
        return [], Problem.of(error).sentence


def list_layers(layers: Iterable[Layer], known: Iterable[Item] = ()) -> list[LayerItem]:
    """Make items of layers, keeping those that are known already."""
    before = {id(item.layer): item for item in known if isinstance(item, LayerItem)}
    return [before.get(id(layer)) or LayerItem(layer) for layer in layers]
