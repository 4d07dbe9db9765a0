"""Maps of lazy images: planes are looked at, once each, when somebody wants to see them.

Knows neither Qt nor napari.
"""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_baryir.widgets.estimate.maps import Place, PlaneMaps, Planes, PlaneSummary

MOST_BYTES = 2**28
"""Of planes that stay in memory, per result; the latest stays whatever its size."""

Plane = TypeVar("Plane")
Check = Callable[[], None]
"""Called before every task, a tile for instance; raises `Stopped` if nobody waits any more."""


class Stopped(Exception):
    """Nobody wants the plane that is in work."""


class KeptPlanes(Generic[Plane]):
    """Planes that are computed once each, by whoever asks first; those of long ago are dropped.

    Several layers read the same tiles: without this, each would run the network by itself.

    Parameters
    ----------
    shape
        How many planes there are, along each axis other than Y and X.
    sides
        Of a plane.
    nbytes
        What a plane takes.
    compute
        Makes a plane.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sides: tuple[int, int],
        nbytes: int,
        compute: Callable[[Place, Check | None], Plane],
    ) -> None:
        self.shape = shape
        self.sides = sides
        self.most = max(1, MOST_BYTES // max(nbytes, 1))
        """Planes that are kept at once."""
        self._compute = compute
        self._lock = threading.Lock()
        self._recent: OrderedDict[Place, Plane] = OrderedDict()
        self.on_wanted: Callable[[Place], None] | None = None
        """Called when a plane was to be shown that is not here; in the thread that asked."""

    def get(self, place: Place, check: Check | None = None) -> Plane:
        """A plane, computed if need be."""
        with self._lock:
            found = self._recent.get(place)
            if found is None:
                found = self._recent[place] = self._compute(place, check)
            self._recent.move_to_end(place)
            while len(self._recent) > self.most:
                self._recent.popitem(last=False)
        return found

    def known(self, place: Place) -> Plane | None:
        """A plane that is in memory."""
        return self._recent.get(place)


class LazyPlaneMaps(KeptPlanes[PlaneMaps], Planes):
    """The planes of an estimate of dask arrays.

    Parameters
    ----------
    severity, probabilities
        (..., h, w) and (..., K, h, w), dask.
    domains
        K names.
    """

    def __init__(self, severity: Any, probabilities: Any, domains: tuple[str, ...]) -> None:
        shape, sides = _split(severity.shape)
        nbytes = 4 * int(np.prod(sides)) * (1 + len(domains))
        KeptPlanes.__init__(self, shape, sides, nbytes, self._look)
        self._severity = severity
        self._probabilities = probabilities
        self._domains = domains
        self._told: dict[Place, PlaneSummary] = {}

    def summary(self, place: Place) -> PlaneSummary | None:
        """What was found in a plane that has been looked at, also long ago."""
        return self._told.get(place)

    def _look(self, place: Place, check: Check | None) -> PlaneMaps:
        from napari_baryir.degradation.planes import mean_severity, shares

        severity, probabilities = _computed(
            [self._severity[place], self._probabilities[place]], check
        )
        found = PlaneSummary(shares(probabilities, self._domains), mean_severity(severity))
        self._told[place] = found
        return PlaneMaps(severity, probabilities, found)


def kept_parts(parts: Sequence[Any]) -> KeptPlanes[Sequence[NDArray[np.float32]]]:
    """Planes of several dask arrays of the same shape (..., h, w), computed together."""
    shape, sides = _split(parts[0].shape)

    def compute(place: Place, check: Check | None) -> Sequence[NDArray[np.float32]]:
        return _computed([part[place] for part in parts], check)

    return KeptPlanes(shape, sides, 4 * len(parts) * int(np.prod(sides)), compute)


def _split(shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, int]]:
    *outer, height, width = (int(n) for n in shape)
    return tuple(outer), (height, width)


def _computed(arrays: list[Any], check: Check | None) -> list[NDArray[np.float32]]:
    """Compute dask arrays that share tiles, in this thread."""
    import dask

    def before(*_: object) -> None:
        if check is not None:
            check()

    found: Any = dask.compute(  # type: ignore[attr-defined, no-untyped-call]
        *arrays, scheduler="sync", callbacks=[(None, None, before, None, None)]
    )
    return [np.asarray(each, np.float32) for each in found]


class LazyMap:
    """An array for a layer: reading a part never waits, reading all of it computes it.

    Planes that nobody has looked at are blank, and asked for. ``numpy.asarray``, as for saving,
    looks at all of them.

    Parameters
    ----------
    planes
        Where the values come from.
    order
        How the axes of (..., h, w) are transposed.
    values
        Takes the values from a plane.
    dtype
        Of the values.
    blank
        Stands for values that are not known.
    """

    def __init__(
        self,
        planes: KeptPlanes[Any],
        order: tuple[int, ...],
        values: Callable[[Any], NDArray[Any]],
        dtype: Any,
        blank: float,
    ) -> None:
        self.planes = planes
        self._order = order
        self._values = values
        self._blank = blank
        full = (*planes.shape, *planes.sides)
        self.shape = tuple(full[axis] for axis in order)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Basic indexing: integers, slices and an ellipsis."""
        parts = self._spelled_out(index)
        wanted: list[Any] = [slice(None)] * self.ndim
        for part, axis in zip(parts, self._order, strict=True):
            wanted[axis] = part
        outer = len(self.planes.shape)
        ranges = [
            range(n)[part] if isinstance(part, slice) else range(part, part + 1)
            for n, part in zip(self.planes.shape, wanted[:outer], strict=True)
        ]
        block = self._block(ranges)
        # What is left to do: planes that were asked for by number lose their axis.
        rest: list[Any] = [slice(None) if isinstance(p, slice) else 0 for p in wanted[:outer]]
        rest += wanted[outer:]
        result: NDArray[Any] = block.transpose(self._order)[tuple(rest[a] for a in self._order)]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All values, computed."""
        block = np.empty((*self.planes.shape, *self.planes.sides), self.dtype)
        for place in np.ndindex(*self.planes.shape):
            block[place] = self._values(self.planes.get(place))
        return block.transpose(self._order).astype(dtype or self.dtype, copy=False)

    def _block(self, ranges: list[range]) -> NDArray[Any]:
        """Some planes, (..., h, w); blank where not known."""
        counts = tuple(len(each) for each in ranges)
        block = np.full((*counts, *self.planes.sides), self._blank, self.dtype)
        for asked, number in enumerate(np.ndindex(*counts)):
            place = tuple(each[i] for each, i in zip(ranges, number, strict=True))
            plane = self.planes.known(place)
            if plane is not None:
                block[number] = self._values(plane)
            # Of a volume, no more than are kept, or each would drop another one for ever.
            # Read once: closing the dock takes it away, and this is napari's slicing thread.
            elif asked < self.planes.most and (wanted := self.planes.on_wanted) is not None:
                wanted(place)
        return block

    def _spelled_out(self, index: Any) -> list[Any]:
        """One integer (from 0) or slice per axis."""
        parts = list(index) if isinstance(index, tuple) else [index]
        at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
        left = self.ndim - len(parts) + (at < len(parts))
        parts[at : at + 1] = [slice(None)] * left
        return [
            part if isinstance(part, slice) else range(n)[operator.index(part)]
            for part, n in zip(parts, self.shape, strict=True)
        ]
