"""One run of estimating the degradations of a layer, as a generator."""

from __future__ import annotations

import operator
import threading
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_baryir.imaging.checks import as_array, is_dask
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.seen import (
    Check,
    KeptPlanes,
    LazyMap,
    PlaneIndex,
    Stopped,
    computed,
)
from napari_baryir.widgets.dock.steps import Outcome, Step, Success, guarded
from napari_baryir.widgets.estimate.maps import DegradationMaps, LazyPlanes, maps_of
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_baryir.degradation import DegradationEstimate

Parts = Literal["none", "additive", "differences", "both"]
"""Maps of contributions: Shapley's parts, which add up to the whole, or the paper's differences."""

LazyMaps = Literal["lazy", "memory"]
"""How lazy layers are estimated: as the user scrolls, or at once."""

Family = list[tuple[str, Any]]
"""Names and values of maps that belong together."""

MOST_VALUES = 10**6
"""Most values of a map that its contrast limits are taken from."""


@dataclass(frozen=True, eq=False)
class EstimateJob:
    """An image to estimate, and how. Arrays are not read before the run."""

    data: Any
    """Level 0: NumPy, dask, zarr or anything that NumPy can read."""
    axes: str
    box: Box
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `napari_baryir.estimate_degradation`."""
    parts: Parts = "none"
    first: tuple[int | None, ...] = ()
    """Plane in view, within the box; estimated first."""
    lazy: LazyMaps = "lazy"
    image_layer: Image | None = None
    """The layer that the data belong to."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set to stop the run at the next tile, also of a lazy plane."""

    def check(self) -> None:
        """Raise `Stopped` if it is to stop."""
        if self.stopping.is_set():
            raise Stopped


@dataclass(frozen=True, eq=False)
class Contribution:
    """The contribution of one embedding to the image."""

    name: str
    data: Any
    """Mean over the colours; shape of the image without its colour samples."""
    limit: float
    """Greatest absolute value but for outliers; the same for maps that belong together."""


@dataclass(frozen=True, eq=False)
class Estimated(Success):
    """The estimate of a layer."""

    estimate: DegradationEstimate
    maps: DegradationMaps
    contributions: tuple[Contribution, ...]


def estimate_steps(job: EstimateJob) -> Generator[Step, None, Outcome]:
    """Estimate, yielding after every tile."""
    return guarded(_estimate(job))


def _estimate(job: EstimateJob) -> Generator[Step, None, Estimated]:
    from napari_baryir.degradation import iter_estimate

    image = as_array(job.data)[job.box.slices]
    outer = tuple(n for n, a in zip(image.shape, job.axes, strict=True) if a not in "YXS")
    first = tuple(at or 0 for at in job.first) or (0,) * len(outer)
    steps = Steps(
        iter_estimate(
            image,
            axes=job.axes,
            contributions=job.parts != "none",
            first_plane=int(np.ravel_multi_index(first, outer)) if outer else 0,
            at_once=job.lazy == "memory",
            **job.settings,
        )
    )
    for progress in steps:
        yield Step(progress, None)
    estimate = steps.result
    maps = maps_of(estimate, job.axes)
    if isinstance(maps.planes, LazyPlanes):
        maps.planes.get(first, job.check)  # so that there is something to show
    families = [
        [(name, _grey(values, job.axes)) for name, values in family]
        for family in _families(job.parts, estimate)
    ]
    return Estimated(estimate, maps, tuple(_contributions(families, job, first)))


def _families(parts: Parts, estimate: DegradationEstimate) -> list[Family]:
    """Return the maps that were asked for."""
    found = estimate.contributions
    if found is None:
        return []
    additive = [
        ("barycenter part", found.shapley_barycenter),
        ("residual part", found.shapley_residual),
    ]
    differences = [
        ("barycenter difference", found.barycenter),
        ("residual difference", found.residual),
    ]
    asked = {"additive": [additive], "differences": [differences], "both": [additive, differences]}
    return asked.get(parts, [])


def _contributions(
    families: list[Family], job: EstimateJob, first: tuple[int, ...]
) -> Iterator[Contribution]:
    """Yield the maps; those of one family have the same limits."""
    every = [values for family in families for _, values in family]
    # The plane in view stands for all in finding the limits.
    data, seen = _lazily(every, job, first) if any(map(is_dask, every)) else (every, every)
    rest = iter(zip(data, seen, strict=True))
    for family in families:
        pairs = [next(rest) for _ in family]
        limit = max(_limit(values) for _, values in pairs)
        for (name, _), (values, _) in zip(family, pairs, strict=True):
            yield Contribution(name, values, limit)


def _lazily(
    every: list[Any], job: EstimateJob, first: tuple[int, ...]
) -> tuple[list[LazyMap], list[NDArray[Any]]]:
    """Return maps whose planes are computed together in a thread, and the plane in view."""
    letters = job.axes.replace("S", "")
    inner = "".join(letter for letter in letters if letter not in "YX") + "YX"
    there = [letters.index(letter) for letter in inner]
    back = tuple(inner.index(letter) for letter in letters)
    maps = [values.transpose(there) for values in every]

    def compute(plane: PlaneIndex, check: Check | None) -> list[NDArray[Any]]:
        return computed([each[plane] for each in maps], check)

    planes = KeptPlanes(maps[0].shape, len(maps), compute)
    values = [operator.itemgetter(number) for number in range(len(maps))]
    lazy = [LazyMap(planes, back, value, np.float32, np.nan) for value in values]
    return lazy, planes.get(first, job.check)


def _grey(values: Any, axes: str) -> Any:
    """Return the mean over colours; alpha, which is never changed, counts as none."""
    if "S" not in axes:
        return values
    axis = axes.index("S")
    colours = 3 if values.shape[axis] >= 3 else 1
    index = [slice(None)] * len(axes)
    index[axis] = slice(0, colours)
    return values[tuple(index)].mean(axis=axis)


def _limit(values: Any) -> float:
    """Return the 99.5th percentile of the absolute values."""
    array = np.asarray(values).reshape(-1)
    some = np.abs(array[:: max(1, array.size // MOST_VALUES)])
    finite = some[np.isfinite(some)]
    high = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    return high if high > 0 else 1.0
