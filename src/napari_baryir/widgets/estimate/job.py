"""One run of estimating what is wrong with a layer, as a generator."""

from __future__ import annotations

import operator
import threading
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_baryir.imaging.checks import is_dask
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.seen import (
    Check,
    KeptPlanes,
    LazyMap,
    PlaneIndex,
    Stopped,
    computed,
)
from napari_baryir.widgets.dock.steps import Outcome, Step, Success, guarded, read_data
from napari_baryir.widgets.estimate.maps import DegradationMaps, LazyPlanes, maps_of
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_baryir.degradation import DegradationEstimate

Parts = Literal["none", "additive", "differences", "both"]
"""Which maps of the embeddings' contributions are wanted.

Shapley's parts, which add up to the whole; the paper's differences; both."""

LazyMaps = Literal["lazy", "memory"]
"""What becomes of lazy layers: estimated as one scrolls, or at once."""

Family = list[tuple[str, Any]]
"""Names and values of maps that belong together."""

MOST_VALUES = 10**6
"""Most values of a map that its contrast limits are found from."""


@dataclass(frozen=True, eq=False)
class EstimateJob:
    """What to look at. Arrays are not read before the run."""

    data: Any
    """Level 0: NumPy, dask, zarr or anything that NumPy can read."""
    axes: str
    box: Box
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `napari_baryir.estimate_degradation`."""
    parts: Parts = "none"
    first: tuple[int | None, ...] = ()
    """Plane in view, within the box; begun with."""
    lazy: LazyMaps = "lazy"
    source: Image | None = None
    """The layer that the data belong to."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when it is to stop; heard at every tile, also of a lazy plane."""

    def check(self) -> None:
        """Raise `Stopped` if it is to stop."""
        if self.stopping.is_set():
            raise Stopped


@dataclass(frozen=True, eq=False)
class Contribution:
    """What one embedding does to the image."""

    name: str
    data: Any
    """Its shape is that of the image without colour samples; it is their mean."""
    limit: float
    """Greatest absolute value but for outliers; the same for maps that belong together."""


@dataclass(frozen=True, eq=False)
class Estimated(Success):
    """A layer was looked at."""

    estimate: DegradationEstimate
    maps: DegradationMaps
    contributions: tuple[Contribution, ...]


def estimate_steps(job: EstimateJob) -> Generator[Step, None, Outcome]:
    """Estimate, yielding after every tile."""
    return guarded(_estimate(job))


def _estimate(job: EstimateJob) -> Generator[Step, None, Estimated]:
    from napari_baryir.degradation import iter_estimate

    image = read_data(job.data)[job.box.slices]
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
    if any(is_dask(values) for family in families for _, values in family):
        return Estimated(estimate, maps, tuple(_lazily(families, job, first)))
    return Estimated(estimate, maps, tuple(_at_once(families)))


def _families(parts: Parts, estimate: DegradationEstimate) -> list[Family]:
    """Return the maps that were asked for; those in one family have the same limits."""
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


def _at_once(families: list[Family]) -> Iterator[Contribution]:
    for family in families:
        limit = max(_limit(values) for _, values in family)
        for name, values in family:
            yield Contribution(name, values, limit)


def _lazily(
    families: list[Family], job: EstimateJob, first: tuple[int, ...]
) -> Iterator[Contribution]:
    """Maps whose planes are computed together, in a thread; the one in view here."""
    letters = job.axes.replace("S", "")
    inner = "".join(letter for letter in letters if letter not in "YX") + "YX"
    there = [letters.index(letter) for letter in inner]
    back = tuple(inner.index(letter) for letter in letters)
    maps = [values.transpose(there) for family in families for _, values in family]

    def compute(plane: PlaneIndex, check: Check | None) -> list[NDArray[Any]]:
        return computed([each[plane] for each in maps], check)

    planes = KeptPlanes(maps[0].shape, len(maps), compute)
    seen = planes.get(first, job.check)  # it stands for all in finding the limits
    number = 0
    for family in families:
        limit = max(_limit(values) for values in seen[number : number + len(family)])
        for name, _ in family:
            data = LazyMap(planes, back, operator.itemgetter(number), np.float32, np.nan)
            yield Contribution(name, data, limit)
            number += 1


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
    """Return a figure that nearly all absolute values are below."""
    array = np.asarray(values).reshape(-1)
    some = np.abs(array[:: max(1, array.size // MOST_VALUES)])
    finite = some[np.isfinite(some)]
    high = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    return high if high > 0 else 1.0
