"""Fit a calibration to residual embeddings of cells whose degradation is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from napari_baryir.degradation.calibration import Calibration, SeverityCurve
from napari_baryir.training.degradations.fields import Array, Array64

SHRINKAGE = 0.3
"""Share of a sphere in the covariance within domains: few scenes know little of 256 dimensions.
With 0.05, fewer whole held-out images were named right."""
RIDGE = 0.05
"""Regularises the severity's direction, per cell."""
KNOTS = 16
"""Number of knots of each severity curve."""
PRIOR = 1e-3
"""Holds the offsets back where the domains differ enough without them."""
UNKNOWN_QUANTILE = 0.975
"""Share of held-out cells of known degradations that are nearer than "unknown" begins."""
LEAST_RISE = 1e-4
"""Least rise of the expected error from knot to knot, so that curves never stand still."""


@dataclass(frozen=True)
class Cells:
    """Cells of degraded pictures."""

    points: Array
    """Residuals averaged over windows, (N, D)."""
    domains: NDArray[np.int64]
    """(N,)"""
    levels: Array64
    """Level of the degradation, (N,)."""
    errors: Array64
    """Mean |degraded - clean| over the window, (N,), of the range."""

    @classmethod
    def of(cls, parts: Sequence[Cells]) -> Cells:
        """Put the cells of several pictures together."""
        names = [each.name for each in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Fitted:
    """A calibration and the tensors that belong to it."""

    calibration: Calibration
    subspace: Array
    """(d, D)"""


def fit(known: Cells, held_out: Cells, domains: tuple[str, ...], window: int, data: str) -> Fitted:
    """Fit subspace and prototypes to `known`, temperature and "unknown" to `held_out`.

    The curves of the severity are fitted to both, their directions to `known`: the held-out quarter
    of the usual 960 scenes has some forty of a degradation, too few for `KNOTS` knots.

    The covariance within domains is shared and shrunk towards a sphere; in coordinates that whiten
    it, the prototypes span the discriminants, and one more direction per degradation follows its
    level. `domains` are degradations, then "clean"; `window` is the side of the squares of cells
    that were averaged over; `data` says in the record where the cells are from.
    """
    whitening, centre = _whiten(known, len(domains))
    white = (known.points - centre) @ whitening
    means = np.stack([white[known.domains == k].mean(axis=0) for k in range(len(domains))])
    discriminants = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)[2][:-1]
    rising = _rising_directions(white, known, len(domains) - 1)
    basis = np.linalg.qr(np.concatenate([discriminants, rising]).T)[0]  # (D, d)
    subspace = (whitening @ basis).T
    # Not centred: a projection is all that the engine has to do.
    prototypes = means @ basis + centre @ subspace.T
    points = held_out.points.astype(np.float64) @ subspace.T
    squared = np.square(points[:, None] - prototypes).sum(axis=-1)
    temperature, tail, offsets = _temperature(squared, held_out.domains)
    nearest = np.sqrt(squared.min(axis=1))
    limit, beyond = np.quantile(nearest, [UNKNOWN_QUANTILE, (1 + UNKNOWN_QUANTILE) / 2])
    both = [known.points.astype(np.float64) @ subspace.T, points]
    curves = tuple(
        _curve(k, basis.T @ direction, np.concatenate(both), known, held_out)
        for k, direction in enumerate(rising)
    )
    calibration = Calibration(
        domains=domains,
        window=window,
        prototypes=_rows(prototypes),
        offsets=tuple(_short(offsets)),
        temperature=_short([temperature])[0],
        tail=_short([tail])[0],
        unknown_distance=float(limit),
        unknown_width=float(max(beyond - limit, 1e-3 * limit) / 2),
        severity=curves,
        data=data,
    )
    return Fitted(calibration, subspace.astype(np.float32))


def _whiten(cells: Cells, domains: int) -> tuple[Array64, Array64]:
    """Return the matrix that whitens the covariance in domains, (D, D), and the mean of means."""
    points = cells.points.astype(np.float64)
    means = np.stack([points[cells.domains == k].mean(axis=0) for k in range(domains)])
    within = points - means[cells.domains]
    # Each domain counts alike, however many cells it has.
    weights = 1 / np.bincount(cells.domains, minlength=domains)[cells.domains]
    covariance = (within * weights[:, None]).T @ within / weights.sum()
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere)
    return vectors / np.sqrt(values), means.mean(axis=0)


def _rising_directions(white: Array64, cells: Cells, count: int) -> Array64:
    """Return for each degradation the direction along which its level rises, (count, D)."""
    directions = []
    for k in range(count):
        own = cells.domains == k
        points = white[own] - white[own].mean(axis=0)
        levels = cells.levels[own] - cells.levels[own].mean()
        gram = points.T @ points / len(points) + RIDGE * np.eye(points.shape[1])
        directions.append(np.linalg.solve(gram, points.T @ levels / len(points)))
    return np.stack(directions)


def _temperature(squared: Array64, domains: NDArray[np.int64]) -> tuple[float, float, Array64]:
    """Return the temperature, tail and offsets under which the held-out cells are likeliest.

    With Gauss's tails the few cells that lie far from their own prototype would decide alone: on
    photographs, the likelihood of a cell is then half of what it is with Student's.
    """
    count = squared.shape[1]
    weights = 1 / np.bincount(domains, minlength=count)[domains]

    def cost(values: Array64) -> float:
        slope, tail, offsets = np.exp(values[0]), np.exp(values[1]), values[2:]
        logits = offsets - slope * np.log1p(squared / tail)
        right = special.log_softmax(logits, axis=1)[np.arange(len(domains)), domains]
        return float(-(weights * right).sum() / weights.sum() + PRIOR * np.square(offsets).sum())

    start = np.concatenate([[1.0, 2.0], np.zeros(count)])
    # Bounded, since well separated domains would make the softmax as sharp as one likes.
    limits = [(-4.0, 6.0), (-4.0, 12.0), *((-5.0, 5.0),) * count]
    found = optimize.minimize(cost, start, method="L-BFGS-B", bounds=limits).x
    slope, tail = float(np.exp(found[0])), float(np.exp(found[1]))
    return tail / (2 * slope), tail, found[2:] - found[2:].mean()


def _curve(
    domain: int, direction: Array64, points: Array64, known: Cells, held_out: Cells
) -> SeverityCurve:
    """Fit the error along a direction: isotonic over equal shares of the cells of a domain."""
    domains = np.concatenate([known.domains, held_out.domains])
    errors = np.concatenate([known.errors, held_out.errors])[domains == domain]
    along = points[domains == domain] @ direction
    order = np.array_split(np.argsort(along, kind="stable"), KNOTS)
    inputs = np.array([along[part].mean() for part in order])
    rising = optimize.isotonic_regression([errors[part].mean() for part in order]).x
    rising = rising + LEAST_RISE * np.arange(KNOTS)
    # On beyond the outermost knots, so that the strongest still differs from the strong.
    step = 2 * float(along.std()) + 1e-6
    inputs = np.concatenate([[inputs[0] - step], inputs, [inputs[-1] + step]])
    reach = [max(0.0, 0.5 * rising[0]), *rising, min(1.0, 1.25 * rising[-1] + LEAST_RISE)]
    return SeverityCurve(
        direction=tuple(_short(direction)),
        inputs=tuple(_strictly_rising(_short(inputs))),
        errors=tuple(_short(reach)),
    )


def _strictly_rising(values: list[float]) -> list[float]:
    """Return numbers that hardly fall, each that does not rise moved above the one before.

    To be called after rounding to six digits, which would undo so small a move.
    """
    least = 1e-6 * max(1.0, *map(abs, values))
    rising = values[:1]
    for value in values[1:]:
        rising.append(value if value > rising[-1] else rising[-1] + least)
    return rising


def _rows(matrix: Array64) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(_short(row)) for row in matrix)


def _short(values: Array64 | list[float]) -> list[float]:
    """Round to six digits: more than is known, and a short header."""
    return [float(f"{value:.6g}") for value in values]
