"""Maps of lazy images: planes are looked at, once each, when somebody wants to see them.

Knows neither Qt nor napari.
"""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.widgets.degradation_maps import Place, PlaneMaps, Planes, PlaneSummary

KEPT_PLANES = 64
"""Planes that stay in memory; the maps of each have about as many values as an eighth of it."""


class LazyPlanes(Planes):
    """Planes that are computed once each, by whoever asks first.

    The severity layer and the domain map read the same tiles: without this, each would run the
    network by itself.

    Parameters
    ----------
    severity, probabilities
        (..., h, w) and (..., K, h, w), dask.
    domains
        K names.
    """

    def __init__(self, severity: Any, probabilities: Any, domains: tuple[str, ...]) -> None:
        super().__init__(severity, probabilities)
        self.sides: tuple[int, int] = (int(severity.shape[-2]), int(severity.shape[-1]))
        self._domains = domains
        self._lock = threading.Lock()
        self._recent: OrderedDict[Place, PlaneMaps] = OrderedDict()
        self._told: dict[Place, PlaneSummary] = {}
        self.on_wanted: Callable[[Place], None] | None = None
        """Called when a plane was to be shown that is not here; in the thread that asked."""

    def get(self, place: Place) -> PlaneMaps:
        """The maps of a plane, computed if need be."""
        with self._lock:
            found = self._recent.get(place)
            if found is None:
                found = self._recent[place] = self._compute(place)
            self._recent.move_to_end(place)
            self._told[place] = found.summary
            while len(self._recent) > KEPT_PLANES:
                self._recent.popitem(last=False)
        return found

    def known(self, place: Place) -> PlaneMaps | None:
        """The maps of a plane that is in memory."""
        return self._recent.get(place)

    def summary(self, place: Place) -> PlaneSummary | None:
        """What was found in a plane that has been looked at, also long ago."""
        return self._told.get(place)

    def _compute(self, place: Place) -> PlaneMaps:
        import dask

        from napari_baryir.degradation.planes import mean_severity, shares

        both: Any = dask.compute(  # type: ignore[attr-defined, no-untyped-call]
            self._severity[place], self._probabilities[place], scheduler="sync"
        )
        severity, probabilities = (np.asarray(each, np.float32) for each in both)
        found = PlaneSummary(shares(probabilities, self._domains), mean_severity(severity))
        return PlaneMaps(severity, probabilities, found)


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
        Takes the values from the maps of a plane.
    dtype
        Of the values.
    blank
        Stands for values that are not known.
    """

    def __init__(
        self,
        planes: LazyPlanes,
        order: tuple[int, ...],
        values: Callable[[PlaneMaps], NDArray[Any]],
        dtype: Any,
        blank: float,
    ) -> None:
        self._planes = planes
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
        outer = len(self._planes.shape)
        ranges = [
            range(n)[part] if isinstance(part, slice) else range(part, part + 1)
            for n, part in zip(self._planes.shape, wanted[:outer], strict=True)
        ]
        block = self._block(ranges)
        # What is left to do: planes that were asked for by number lose their axis.
        rest: list[Any] = [slice(None) if isinstance(p, slice) else 0 for p in wanted[:outer]]
        rest += wanted[outer:]
        result: NDArray[Any] = block.transpose(self._order)[tuple(rest[a] for a in self._order)]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All values, computed."""
        block = np.empty((*self._planes.shape, *self._planes.sides), self.dtype)
        for place in np.ndindex(*self._planes.shape):
            block[place] = self._values(self._planes.get(place))
        return block.transpose(self._order).astype(dtype or self.dtype, copy=False)

    def _block(self, ranges: list[range]) -> NDArray[Any]:
        """Some planes, (..., h, w); blank where not known."""
        counts = tuple(len(each) for each in ranges)
        block = np.full((*counts, *self._planes.sides), self._blank, self.dtype)
        for number in np.ndindex(*counts):
            place = tuple(each[i] for each, i in zip(ranges, number, strict=True))
            plane = self._planes.known(place)
            if plane is not None:
                block[number] = self._values(plane)
            # Read once: closing the dock takes it away, and this is napari's slicing thread.
            elif (wanted := self._planes.on_wanted) is not None:
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
