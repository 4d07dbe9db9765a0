"""Estimates laid out for layers and panels: plane by plane, lazy where the image is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_baryir.domains import CLEAN, colors_of
from napari_baryir.imaging.checks import is_dask
from napari_baryir.widgets.dock.seen import Check, KeptPlanes, LazyMap, PlaneIndex, computed

if TYPE_CHECKING:
    from napari_baryir.degradation import DegradationEstimate

LEVELS = 10
"""Steps of severity in the domain map.

A cell of domain number k (from 1) and severity s has the label 10 k + floor(10 s): its tens are
the domain, its ones the severity. Clean is 0."""

PENDING = 1
"""Label of cells that are not known yet, in lazy maps; complete maps have none."""


@dataclass(frozen=True)
class PlaneSummary:
    """Mean estimates of a plane, or of several."""

    shares: Mapping[str, float]
    """Shares of the domains, most first; they sum to 1."""
    severity: float
    """Mean, in [0, 1]."""

    @property
    def clean(self) -> float:
        """The share of clean."""
        return self.shares.get(CLEAN, 0.0)

    @property
    def wrong(self) -> dict[str, float]:
        """The shares of the other domains."""
        return {domain: share for domain, share in self.shares.items() if domain != CLEAN}


class PlaneMaps(NamedTuple):
    """The maps of one plane."""

    severity: NDArray[np.float32]
    """(h, w), in [0, 1]."""
    probabilities: NDArray[np.float32]
    """(K, h, w), sums to 1 over K."""


class Planes:
    """The planes of an estimate that is in memory."""

    def __init__(self, estimate: DegradationEstimate) -> None:
        self._estimate = estimate
        self.shape: tuple[int, ...] = tuple(estimate.severity.shape[:-2])

    def known(self, plane: PlaneIndex) -> PlaneMaps | None:
        """Return the maps of a plane."""
        return PlaneMaps(self._estimate.severity[plane], self._estimate.probabilities[plane])

    def summary(self, plane: PlaneIndex) -> PlaneSummary | None:
        """Return the summary of a plane."""
        number = int(np.ravel_multi_index(plane, self.shape)) if plane else 0
        found = self._estimate
        return PlaneSummary(found.summary[number], float(found.severities[number]))


class LazyPlanes(KeptPlanes[PlaneMaps]):
    """The planes of an estimate of dask arrays, judged when they are looked at.

    Parameters
    ----------
    severity, probabilities
        (..., h, w) and (..., K, h, w), dask.
    domains
        K names.
    """

    def __init__(self, severity: Any, probabilities: Any, domains: tuple[str, ...]) -> None:
        super().__init__(severity.shape, 1 + len(domains), self._judge)
        self._severity = severity
        self._probabilities = probabilities
        self._domains = domains
        self._summaries: dict[PlaneIndex, PlaneSummary] = {}

    def summary(self, plane: PlaneIndex) -> PlaneSummary | None:
        """Return the summary of a plane that has been judged, also long ago; else None."""
        return self._summaries.get(plane)

    def _judge(self, plane: PlaneIndex, check: Check | None) -> PlaneMaps:
        from napari_baryir.degradation.estimation import mean_severity, shares

        arrays = [self._severity[plane], self._probabilities[plane]]
        severity, probabilities = computed(arrays, check)
        found = PlaneSummary(shares(probabilities, self._domains), mean_severity(severity))
        self._summaries[plane] = found
        return PlaneMaps(severity, probabilities)


@dataclass(frozen=True, eq=False)
class DegradationMaps:
    """An estimate as layers and panels show it."""

    domains: tuple[str, ...]
    """Degradations, then clean, then unknown."""
    axes: str
    """Axes of the layer that was looked at, without S."""
    cell: int
    """Side of a cell, in pixels."""
    planes: Planes | LazyPlanes
    severity: Any
    """float32 in [0, 1], axes as `axes`; NumPy, or a `LazyMap` with NaN where it is not known."""
    labels: Any
    """Labels as `LEVELS` says, axes as `axes`; NumPy, or a `LazyMap` with `PENDING`."""

    @property
    def outer(self) -> str:
        """Axes that count planes."""
        return "".join(letter for letter in self.axes if letter not in "YX")

    def matching(self, plane: tuple[int | None, ...]) -> Iterator[PlaneIndex]:
        """Yield the planes that an index means; None stands for all along that axis."""
        ranges = [
            range(n) if at is None else range(at, at + 1)
            for at, n in zip(plane, self.planes.shape, strict=True)
        ]
        for number in np.ndindex(*(len(each) for each in ranges)):
            yield tuple(each[i] for each, i in zip(ranges, number, strict=True))

    def summary(self, plane: tuple[int | None, ...]) -> PlaneSummary | None:
        """Return the mean of those planes that are known; None if none is."""
        summaries = (self.planes.summary(each) for each in self.matching(plane))
        found = [each for each in summaries if each is not None]
        if len(found) <= 1:  # quick, since a plot along a long stack asks for many
            return found[0] if found else None
        shares = {
            domain: float(np.mean([each.shares.get(domain, 0.0) for each in found]))
            for domain in self.domains
        }
        ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
        return PlaneSummary(ordered, float(np.mean([each.severity for each in found])))

    def at(self, plane: PlaneIndex, row: int, column: int) -> tuple[float, dict[str, float]] | None:
        """Return severity and probabilities of a cell, most first; None if not known yet."""
        known = self.planes.known(plane)
        if known is None:
            return None
        values = known.probabilities[:, row, column]
        order = np.argsort(-values, kind="stable")
        chances = {self.domains[k]: float(values[k]) for k in order}
        return float(known.severity[row, column]), chances


def maps_of(estimate: DegradationEstimate, axes: str) -> DegradationMaps:
    """Lay an estimate, NumPy or dask, out for layers of the axes of the image, without S."""
    domains = tuple(estimate.domains)
    wanted = axes.replace("S", "")
    order = tuple(estimate.axes.index(letter) for letter in wanted)
    dtype = np.uint8 if LEVELS * (len(domains) + 1) <= 256 else np.uint16

    def labels(severity: Any, probabilities: Any) -> NDArray[Any]:
        return labels_of(severity, probabilities, domains).astype(dtype)

    if is_dask(estimate.severity):
        lazy = LazyPlanes(estimate.severity, estimate.probabilities, domains)

        def marked(plane: PlaneMaps) -> NDArray[Any]:
            return labels(plane.severity, plane.probabilities)

        return DegradationMaps(
            domains,
            wanted,
            estimate.cell,
            lazy,
            LazyMap(lazy, order, lambda plane: plane.severity, np.float32, np.nan),
            LazyMap(lazy, order, marked, dtype, PENDING),
        )
    return DegradationMaps(
        domains,
        wanted,
        estimate.cell,
        Planes(estimate),
        estimate.severity.transpose(order),
        labels(estimate.severity, estimate.probabilities).transpose(order),
    )


def labels_of(
    severity: NDArray[np.float32], probabilities: NDArray[np.float32], domains: tuple[str, ...]
) -> NDArray[np.int64]:
    """Return the most probable domain and the severity as one number, as `LEVELS` says.

    Parameters
    ----------
    severity
        (..., h, w), in [0, 1].
    probabilities
        (..., K, h, w).
    domains
        K names.
    """
    domain = probabilities.argmax(axis=-3)
    level = np.clip((severity * LEVELS).astype(np.int64), 0, LEVELS - 1)
    named = LEVELS * (domain + 1) + level
    clean = domains.index(CLEAN) if CLEAN in domains else -1
    return np.where(domain == clean, 0, named)


def label_colors(
    domains: Sequence[str], only: str | None = None
) -> dict[int | None, tuple[float, float, float, float]]:
    """Return the colour of each label of the domain map, as opaque as it is severe.

    Shows the domain `only` alone, or all but clean.
    """
    colors = colors_of(domains)
    table: dict[int | None, tuple[float, float, float, float]] = {None: (0.0, 0.0, 0.0, 0.0)}
    # Clean has one label and no severity worth showing; alone, it is veiled in white.
    table[0] = (*colors.get(CLEAN, (1.0, 1.0, 1.0)), 0.5 if only == CLEAN else 0.0)
    for number, domain in enumerate(domains, start=1):
        if domain == CLEAN:
            continue
        for level in range(LEVELS):
            alpha = (level + 0.5) / LEVELS if only in (None, domain) else 0.0
            table[LEVELS * number + level] = (*colors[domain], alpha)
    return table
