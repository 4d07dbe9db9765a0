"""Save a result through our own writer, as steps that know neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_baryir.errors import BaryIRError
from napari_baryir.imaging.checks import is_dask
from napari_baryir.widgets.dock.steps import Failed, Step, Success, guarded
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.blending import LiveBlend
from napari_baryir.widgets.viewer.regions import units_of

if TYPE_CHECKING:
    from napari_baryir.files import ImageFile
    from napari_baryir.widgets.restore.compare import Result


@dataclass(frozen=True, eq=False)
class SaveJob:
    """A result to save."""

    path: Path
    data: Any
    """NumPy, dask, or what NumPy can read."""
    axes: str
    scale: Mapping[str, float]
    """Step between pixels per axis letter, where the layer has one."""
    units: Mapping[str, str]
    original: Path | None
    """The file that the original was read from, whose metadata is kept."""

    @classmethod
    def of(cls, result: Result, path: Path) -> SaveJob:
        """Take the layer of a result as it is now."""
        layer, image_layer = result.layer, result.image_layer
        units = units_of(layer, result.axes)
        steps = zip(result.axes, (float(step) for step in layer.scale), strict=False)
        scale = {letter: step for letter, step in steps if letter in units or step != 1}
        opened = layers.path_of(image_layer)
        original = Path(opened) if opened and result.box.whole else None
        data = layers.levels(layer)[0]
        if isinstance(data, LiveBlend):  # which may be one strength behind
            data = LiveBlend(result.originals[0], result.restored[0], result.strength)
        return cls(path, data, result.axes, scale, units, original)


@dataclass(frozen=True, eq=False)
class Saved(Success):
    """A result that has been saved."""

    path: Path


def save_steps(job: SaveJob) -> Generator[Step, None, Saved | Failed]:
    """Save, yielding after every block; the file appears whole, or not at all."""
    return guarded(_save(job))


def _save(job: SaveJob) -> Generator[Step, None, Saved]:
    from napari_baryir.files import open_output
    from napari_baryir.restoration.results import Progress

    blocks = list(_blocks(job.data, job.axes))
    with open_output(job.path, _described(job)) as pixels:
        for number, block in enumerate(blocks):
            yield Step(Progress(number, len(blocks), 0, 1), None)
            values = job.data[block]
            pixels[block] = values.compute() if is_dask(values) else np.asarray(values)
    return Saved(job.path)


def _described(job: SaveJob) -> ImageFile:
    """Return the image to write, with the metadata of its file and the scale of its layer."""
    from napari_baryir.files import ImageFile, read_image

    described = ImageFile(Path(), "", job.data, job.axes)
    if job.original is not None:
        try:
            with read_image(job.original) as file:
                if (file.shape, file.dtype) == (described.shape, described.dtype):
                    described = replace(file, data=job.data)
        except (BaryIRError, OSError):  # the file has gone since, or napari alone can read it
            pass
    if job.scale:
        scale, units = {**described.scale, **job.scale}, {**described.units, **job.units}
        described = replace(described, scale=scale, units=units)
    return described


def _blocks(data: Any, axes: str) -> Iterator[tuple[slice, ...]]:
    """Yield parts to write one after the other: chunks, or planes along the first axis."""
    if is_dask(data):
        import dask.array

        slices: Any = dask.array.core.slices_from_chunks
        yield from slices(data.chunks)
    elif axes[0] in "YXS":
        yield (slice(None),) * data.ndim
    else:
        rest = (slice(None),) * (data.ndim - 1)
        yield from ((slice(at, at + 1), *rest) for at in range(data.shape[0]))
