"""The images of a batch: files and layers, and how one of them is restored."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_baryir.errors import InputError
from napari_baryir.restoration.results import Progress
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.steps import Failed
from napari_baryir.widgets.restore.job import Done, RestoreJob, Settings, restore_steps
from napari_baryir.widgets.viewer.regions import Box, axes_of, level_0, why_not

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_baryir.batch.jobs import Job
    from napari_baryir.commands.restore import Models


@dataclass(frozen=True)
class BatchSettings(Settings):
    """How to restore all images alike; axes and intensities come from each image."""

    strength: float = 1.0
    """Applied while restoring: nobody drags a slider over a hundred images."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> BatchSettings:
        """Take what holds for all images from the arguments of `napari_baryir.restore`."""
        return cls(**{each.name: told[each.name] for each in fields(cls) if each.name in told})


ItemSteps = Generator[Progress, None, Done | None]


class Item(Protocol):
    """One image of a batch."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def dropped(self) -> bool:
        """Whether nobody wants its result any more."""

    @property
    def prefix(self) -> str:
        """How errors begin that name it; the table has the name already."""

    def outcome(self) -> str:
        """Say where the result is, or will be."""

    def is_done(self) -> bool:
        """Whether an earlier run has left the result."""

    def steps(self, settings: BatchSettings, models: Models) -> ItemSteps:
        """Restore it; returns nothing where the result lies in a file."""


@dataclass(frozen=True)
class FileItem:
    """An image file, restored into another."""

    job: Job
    folder: Path
    """That names are told from."""
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
        """Path of the result."""
        return str(self.job.target)

    def is_done(self) -> bool:
        """Whether the result is there and not older than the image."""
        return self.job.is_done()

    def steps(self, settings: BatchSettings, models: Models) -> ItemSteps:
        """Restore from file to file; the result appears whole, or not at all."""
        from napari_baryir.files import open_output, read_image
        from napari_baryir.restoration import iter_restore

        with read_image(self.job.source) as image:
            _, model = models.get(image, image.axes)
            told = {**vars(settings), "model": model}
            with open_output(self.job.target, image) as pixels:
                yield from iter_restore(image.data, axes=image.axes, out=pixels, **told)
        return None


@dataclass(eq=False)
class LayerItem:
    """A layer, restored into another."""

    layer: Image
    done: bool = field(default=False, init=False)
    dropped: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        """Of the layer."""
        return str(self.layer.name)

    @property
    def prefix(self) -> str:
        """Its name in quotation marks."""
        return f"“{self.name}”: "

    def outcome(self) -> str:
        """Say what to look for."""
        return "a new layer above it"

    def is_done(self) -> bool:
        """Whether its result was added in this session."""
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


def list_folder(folder: str, output: str) -> list[FileItem]:
    """Find the images below a folder, and where the result of each goes.

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
    # With a slash it is meant as a folder, whatever its name ends in.
    return [FileItem(job, Path(folder)) for job in plan_jobs([folder], f"{output}/")]


def find_images(folder: str, output: str) -> list[FileItem] | Problem:
    """Do what `list_folder` does, in a thread: errors are returned."""
    try:
        return list_folder(folder, output)
    except Exception as error:
        return Problem.of(error)


def list_layers(layers: Iterable[Layer], known: Iterable[Item] = ()) -> list[LayerItem]:
    """Make items of layers, keeping those that are known already."""
    before = {id(item.layer): item for item in known if isinstance(item, LayerItem)}
    return [before.get(id(layer)) or LayerItem(layer) for layer in layers]
