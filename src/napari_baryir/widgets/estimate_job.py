"""One run of estimating what is wrong with a layer, as a generator without Qt or napari."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_baryir.imaging.checks import is_dask
from napari_baryir.widgets.degradation_maps import DegradationMaps, maps_of
from napari_baryir.widgets.job import (
    Failed,
    Outcome,
    Step,
    Success,
    cores_left_for_the_window,
    read_data,
)
from napari_baryir.widgets.lazy_maps import LazyPlanes
from napari_baryir.widgets.regions import Box

if TYPE_CHECKING:
    from napari_baryir.degradation import DegradationEstimate

Parts = Literal["none", "additive", "differences", "both"]
"""Which maps of the embeddings' contributions are wanted.

Shapley's parts, which add up to the whole; the paper's differences; both."""

LazyMaps = Literal["lazy", "memory"]
"""What becomes of lazy layers: estimated as one scrolls, or at once."""

MOST_VALUES = 10**6
"""Of a map, from which its contrast limits are found."""


@dataclass(frozen=True)
class EstimateSettings:
    """How to estimate; arguments of `napari_baryir.estimate_degradation`."""

    model: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    tile: int | str = "auto"
    overlap: int | str = "auto"
    intensity: Any = "auto"


@dataclass(frozen=True, eq=False)
class EstimateJob:
    """What to look at. Arrays are not read before the run."""

    data: Any
    """Level 0: NumPy, dask, zarr or anything that NumPy can read."""
    axes: str
    box: Box
    settings: EstimateSettings = EstimateSettings()
    parts: Parts = "none"
    first: tuple[int | None, ...] = ()
    """Plane in view, within the box; begun with."""
    lazy: LazyMaps = "lazy"


@dataclass(frozen=True, eq=False)
class Contribution:
    """What one embedding does to the image."""

    name: str
    data: Any
    """Of the shape of what was looked at, but without colour samples: their mean."""
    limit: float
    """Greatest absolute value but for outliers; the same for maps that belong together."""


@dataclass(frozen=True, eq=False)
class Estimated(Success):
    """A layer was looked at."""

    estimate: DegradationEstimate
    maps: DegradationMaps
    contributions: tuple[Contribution, ...]


def estimate_steps(job: EstimateJob) -> Generator[Step, None, Outcome]:
    """Estimate, yielding after every tile; errors are returned, so that none is told twice."""
    try:
        with cores_left_for_the_window():
            return (yield from _estimate(job))
    except Exception as error:
        # A frame of the traceback would keep the image, and on a GPU its memory, alive.
        return Failed(error.with_traceback(None) if isinstance(error, MemoryError) else error)


def _estimate(job: EstimateJob) -> Generator[Step, None, Estimated]:
    from napari_baryir.degradation import iter_estimate

    image = read_data(job.data)[job.box.slices]
    outer = tuple(n for n, a in zip(image.shape, job.axes, strict=True) if a not in "YXS")
    first = tuple(at or 0 for at in job.first) or (0,) * len(outer)
    steps = iter_estimate(
        image,
        axes=job.axes,
        contributions=job.parts != "none",
        first_plane=int(np.ravel_multi_index(first, outer)) if outer else 0,
        at_once=job.lazy == "memory",
        **vars(job.settings),
    )
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                estimate: DegradationEstimate = stop.value
                break
            yield Step(progress, None)
    finally:
        steps.close()
    maps = maps_of(estimate, job.axes)
    if isinstance(maps.planes, LazyPlanes):
        maps.planes.get(first)  # here instead of where the window would wait for it
    return Estimated(estimate, maps, tuple(_contributions(job, estimate, first)))


def _contributions(
    job: EstimateJob, estimate: DegradationEstimate, first: tuple[int, ...]
) -> Generator[Contribution, None, None]:
    """The maps that were asked for, those of a kind with the same limits."""
    parts = estimate.contributions
    if parts is None:
        return
    families = []
    if job.parts in ("additive", "both"):
        families.append(
            (
                ("barycenter part", parts.shapley_barycenter),
                ("residual part", parts.shapley_residual),
            )
        )
    if job.parts in ("differences", "both"):
        families.append(
            (("barycenter difference", parts.barycenter), ("residual difference", parts.residual))
        )
    for family in families:
        maps = [(name, _grey(values, job.axes)) for name, values in family]
        limit = max(_limit(values, job.axes, first) for _, values in maps)
        for name, values in maps:
            yield Contribution(name, values, limit)


def _grey(values: Any, axes: str) -> Any:
    """The mean over colours; alpha, which is never changed, counts as none."""
    if "S" not in axes:
        return values
    axis = axes.index("S")
    colours = 3 if values.shape[axis] >= 3 else 1
    index = [slice(None)] * len(axes)
    index[axis] = slice(0, colours)
    return values[tuple(index)].mean(axis=axis)


def _limit(values: Any, axes: str, first: tuple[int, ...]) -> float:
    """A round figure that nearly all absolute values are below."""
    if is_dask(values):  # the plane in view stands for all
        place = iter(first)
        letters = axes.replace("S", "")
        values = values[tuple(slice(None) if a in "YX" else next(place) for a in letters)]
    array = np.asarray(values).reshape(-1)
    some = np.abs(array[:: max(1, array.size // MOST_VALUES)])
    finite = some[np.isfinite(some)]
    high = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    return high if high > 0 else 1.0
