"""Estimates laid out for layers and panels: plane by plane, lazy where the image is.

Knows neither Qt nor napari.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.domains import CLEAN, colors_of
from napari_baryir.imaging.checks import is_dask

if TYPE_CHECKING:
    from napari_baryir.degradation import DegradationEstimate

LEVELS = 10
"""Steps of severity that the domain map tells apart.

A place of domain number k (from 1) and severity s has the label 10 k + floor(10 s): its tens are
the domain, its ones the severity. Clean is 0."""

PENDING = 1
"""Label of places that nobody has looked at yet, in lazy maps; in none that is complete."""

Place = tuple[int, ...]
"""Index of a plane: one number per axis other than Y, X and S."""


@dataclass(frozen=True)
class PlaneSummary:
    """A plane, or several, in a few figures."""

    shares: Mapping[str, float]
    """Of the domains, most first; sums to 1."""
    severity: float
    """Mean, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class PlaneMaps:
    """The maps of one plane."""

    severity: NDArray[np.float32]
    """(h, w), in [0, 1]."""
    probabilities: NDArray[np.float32]
    """(K, h, w), sums to 1 over K."""
    summary: PlaneSummary


class Planes:
    """The planes of an estimate that is in memory.

    Parameters
    ----------
    severity, probabilities
        (..., h, w) and (..., K, h, w).
    summary, severities
        Of the estimate: per plane.
    """

    def __init__(
        self, severity: Any, probabilities: Any, summary: Any = (), severities: Any = ()
    ) -> None:
        self.shape: tuple[int, ...] = tuple(severity.shape[:-2])
        self._severity = severity
        self._probabilities = probabilities
        self._summary = summary
        self._severities = severities

    def get(self, place: Place) -> PlaneMaps:
        """The maps of a plane."""
        number = int(np.ravel_multi_index(place, self.shape)) if place else 0
        summary = PlaneSummary(self._summary[number], float(self._severities[number]))
        return PlaneMaps(self._severity[place], self._probabilities[place], summary)

    def known(self, place: Place) -> PlaneMaps | None:
        """The maps of a plane where that takes no time; else None."""
        return self.get(place)

    def summary(self, place: Place) -> PlaneSummary | None:
        """What was found in a plane; None where nobody has looked at it."""
        return self.get(place).summary


@dataclass(frozen=True, eq=False)
class DegradationMaps:
    """What the layers and panels of one estimate show."""

    domains: tuple[str, ...]
    """Degradations, then clean, then unknown."""
    axes: str
    """Of the layer that was looked at, without S."""
    cell: int
    """Side of a place, in pixels."""
    planes: Planes
    severity: Any
    """float32 in [0, 1], axes as `axes`; NumPy, or a `LazyMap` with NaN where nobody looked yet."""
    labels: Any
    """Labels as `LEVELS` says, axes as `axes`; NumPy, or a `LazyMap` with `PENDING`."""

    @property
    def outer(self) -> str:
        """Axes that count planes."""
        return "".join(letter for letter in self.axes if letter not in "YX")

    def matching(self, place: tuple[int | None, ...]) -> Iterator[Place]:
        """Places of which this is one, None standing for all along that axis."""
        ranges = [
            range(n) if at is None else range(at, at + 1)
            for at, n in zip(place, self.planes.shape, strict=True)
        ]
        for number in np.ndindex(*(len(each) for each in ranges)):
            yield tuple(each[i] for each, i in zip(ranges, number, strict=True))

    def summary(self, place: tuple[int | None, ...]) -> PlaneSummary | None:
        """Mean of those planes that are known; None if none is."""
        summaries = (self.planes.summary(each) for each in self.matching(place))
        found = [each for each in summaries if each is not None]
        if len(found) <= 1:  # no mean to take: a plot along a long stack asks for many
            return found[0] if found else None
        shares = {
            domain: float(np.mean([each.shares.get(domain, 0.0) for each in found]))
            for domain in self.domains
        }
        ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
        return PlaneSummary(ordered, float(np.mean([each.severity for each in found])))

    def at(self, place: Place, row: int, column: int) -> tuple[float, dict[str, float]] | None:
        """Severity and probabilities, most first, of one place; None where not known or outside."""
        plane = self.planes.known(place)
        if plane is None:
            return None
        h, w = plane.severity.shape
        if not (0 <= row < h and 0 <= column < w):
            return None
        values = plane.probabilities[:, row, column]
        order = np.argsort(-values, kind="stable")
        chances = {self.domains[k]: float(values[k]) for k in order}
        return float(plane.severity[row, column]), chances


def maps_of(estimate: DegradationEstimate, axes: str) -> DegradationMaps:
    """Lay an estimate out for layers of the axes of the image, S left out.

    Parameters
    ----------
    estimate
        Of NumPy or dask arrays.
    axes
        Of the image that was looked at.
    """
    domains = tuple(estimate.domains)
    wanted = axes.replace("S", "")
    order = tuple(estimate.axes.index(letter) for letter in wanted)
    dtype = np.uint8 if LEVELS * (len(domains) + 1) <= 256 else np.uint16

    def labels(severity: Any, probabilities: Any) -> NDArray[Any]:
        return labels_of(severity, probabilities, domains).astype(dtype)

    if is_dask(estimate.severity):
        from napari_baryir.widgets.estimate.lazy_maps import LazyMap, LazyPlaneMaps

        lazy = LazyPlaneMaps(estimate.severity, estimate.probabilities, domains)

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
    severity = np.asarray(estimate.severity, np.float32)
    probabilities = np.asarray(estimate.probabilities)
    return DegradationMaps(
        domains,
        wanted,
        estimate.cell,
        Planes(severity, probabilities, estimate.summary, estimate.severities),
        severity.transpose(order),
        labels(severity, probabilities).transpose(order),
    )


def labels_of(
    severity: NDArray[np.float32], probabilities: NDArray[np.float32], domains: tuple[str, ...]
) -> NDArray[np.int64]:
    """Most probable domain and severity as one number, as `LEVELS` says.

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
    """Colour and opacity of each label of the domain map; opacity is severity.

    Parameters
    ----------
    domains
        In the order of the estimate.
    only
        Domain to show alone; None for all but clean.
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
