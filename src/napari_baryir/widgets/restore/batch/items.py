"""The images of a batch: files and layers, and how one of them is restored."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_baryir.batch import run
from napari_baryir.batch.models import Models
from napari_baryir.batch.run import News, State
from napari_baryir.errors import InputError
from napari_baryir.restoration.results import Progress
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.steps import Failed, Step
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

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> BatchSettings:
        """Take what holds for all images from the arguments of `napari_baryir.restore`."""
        return cls(
            **{each.name: options[each.name] for each in fields(cls) if each.name in options}
        )

    def in_words(self) -> str:
        """Return what differs between batches: model, what is removed, strength."""
        parts = [f"model {Path(self.model).stem}"]
        if isinstance(self.remove, Mapping):
            parts.append("removes " + ", ".join(removed_in_words(self.remove)))
        return ", ".join([*parts, f"strength {self.strength:.2f}"])


ItemSteps = Generator[Progress, None, Done | None]


class Item(Protocol):
    """One image of a batch."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def dropped(self) -> bool:
        """Whether its result is no longer wanted."""

    @property
    def prefix(self) -> str:
        """The beginning of errors that name it; the table has the name already."""

    def outcome(self) -> str:
        """Return where the result is, or will be."""

    def is_done(self) -> bool:
        """Return whether an earlier run has left the result."""

    def steps(self, settings: BatchSettings, models: Models) -> ItemSteps:
        """Restore it; return nothing where the result lies in a file."""


@dataclass(frozen=True)
class FileItem:
    """An image file, restored into another."""

    job: Job
    folder: Path
    """The folder that names are relative to."""
    dropped: bool = False

    @property
    def name(self) -> str:
        """Path below the folder."""
        source = self.job.source
        return (
            str(source.relative_to(self.folder)) if self.folder in source.parents else source.name
        )

    @property
    def prefix(self) -> str:
        """Its path."""
        return f"{self.job.source}: "

    def outcome(self) -> str:
        """Return the path of the result."""
        return str(self.job.target)

    def is_done(self) -> bool:
        """Return whether the result is there and not older than the image."""
        return self.job.is_done()

    def steps(self, settings: BatchSettings, models: Models) -> ItemSteps:
        """Restore from file to file; the result appears whole, or not at all."""
        yield from run.iter_restore_file(self.job, models, **vars(settings))
        return None


@dataclass(eq=False)
class LayerItem:
    """A layer, restored into another."""

    layer: Image
    done: bool = field(default=False, init=False)
    dropped: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        """Name of the layer."""
        return str(self.layer.name)

    @property
    def prefix(self) -> str:
        """Its name in quotation marks."""
        return f"“{self.name}”: "

    def outcome(self) -> str:
        """Return what to look for."""
        return "a new layer above it"

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


@dataclass(frozen=True, eq=False)
class Update(Step):
    """News of one image; `progress` is that of the whole batch."""

    row: int
    """Number of the image, counted as they were given."""
    state: State
    text: str = ""
    """How far it is, where the result went, or why it failed."""
    result: Done | None = None
    """What came of it, where that does not lie in a file."""
    problem: Problem | None = None
    """Why it failed."""


@dataclass(frozen=True, eq=False)
class BatchDone(Done):
    """The batch is over; what came of each image was said on the way."""

    restoration: Any = None
    data: Any = None
    original: Any = None


def run_batch(
    items: Sequence[Item], settings: BatchSettings, *, again: bool = False
) -> Generator[Step, None, Done | Failed]:
    """Restore images one after the other, as `napari_baryir.batch.run.run_batch` does.

    Parameters
    ----------
    items
        The images.
    settings
        For all of them.
    again
        Restore what was done before once more.

    Yields
    ------
    Update
        When an image begins, after each of its tiles, and at its end.
    """
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
    return BatchDone()


def _require_wanted(item: Item) -> None:
    if item.dropped:
        raise InputError("it was removed before it was done")


def _update(news: News[Done | None], items: Sequence[Item]) -> Update:
    """Return news for the table."""
    item, part, text, problem = items[news.row], 1.0, "", None
    if news.error is not None:
        problem = Problem.of(news.error)
        logger.info("%s: %s", item.name, problem.details or problem.sentence)
        text = problem.sentence.removeprefix(item.prefix)
    elif news.state is State.DONE:
        text = item.outcome()
    elif news.progress is None:
        part = 0.0
    else:
        part = news.progress.done / max(1, news.progress.total)
        text = f"{part:.0%}"
    done, rows = int(PARTS * (news.row + part)), len(items)
    progress = Progress(done, PARTS * rows, news.row, rows)
    return Update(progress, None, news.row, news.state, text, news.result, problem)


def list_folder(folder: str, output: str) -> tuple[list[FileItem], str]:
    """Return the images below a folder, each with its place for the result, and what is left out.

    Raises
    ------
    InputError
        If there is no such folder, no image in it, or results would overwrite images.
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
    """Do what `list_folder` does, in a thread: instead of raising, return no images and say why."""
    try:
        return list_folder(folder, output)
    except Exception as error:
        return [], Problem.of(error).sentence


def list_layers(layers: Iterable[Layer], known: Iterable[Item] = ()) -> list[LayerItem]:
    """Make items of layers, keeping those that are known already."""
    before = {id(item.layer): item for item in known if isinstance(item, LayerItem)}
    return [before.get(id(layer)) or LayerItem(layer) for layer in layers]
