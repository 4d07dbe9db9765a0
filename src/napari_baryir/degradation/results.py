"""The results of estimating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_baryir.restoration.results import Provenance


@dataclass(frozen=True)
class Contributions:
    """The parts of a restored image that come from the barycenter and from the residual.

    Each map has the image's shape and units, float32 (alpha: 0); NumPy, or dask where the image is
    lazy. R_br is the decoded image with (1) or without (0) the barycenter b and the residual r,
    where zeros stand in for what is left out; all four come from one pass of the encoder.
    """

    barycenter: Any
    """The paper's difference map R_11 - R_01: what goes missing without the barycenter."""
    residual: Any
    """The paper's difference map R_11 - R_10: what goes missing without the residual."""
    shapley_barycenter: Any
    """Shapley's share ((R_11 - R_01) + (R_10 - R_00)) / 2."""
    shapley_residual: Any
    """Shapley's share ((R_11 - R_10) + (R_01 - R_00)) / 2."""
    total: Any
    """R_11 - R_00, the sum of Shapley's shares."""


@dataclass(frozen=True, kw_only=True)
class DegradationEstimate(Provenance):
    """An estimate of what is wrong with an image, how much, and where.

    The maps lie on a grid of cells: cell (i, j) covers rows ``[cell i, cell (i + 1))`` and columns
    ``[cell j, cell (j + 1))``; those at the end may reach beyond the image. Its centre is at pixel
    ``cell i + (cell - 1) / 2``. Dots stand for the image's axes without Y, X and S, in its order.
    """

    domains: tuple[str, ...]
    """The model's degradations, then "clean", then "unknown"; K in all."""
    probabilities: Any = field(repr=False)
    """(..., K, h, w) float32, sums to 1 over K. NumPy, or dask where the image is lazy."""
    severity: Any = field(repr=False)
    """(..., h, w) float32 in [0, 1]: s stands for an expected error of ``s / (1 - s) / 10`` of the
    range between the degraded image and the clean one. NumPy, or dask where the image is lazy."""
    summary: Sequence[Mapping[str, float]]
    """For each plane, in C order of the leading axes: domain to its share of the plane, the largest
    first; the shares sum to 1. Where the image is lazy, a plane is computed when it is asked for:
    ``summary[5]`` computes plane 5 alone, once."""
    severities: Sequence[float]
    """Mean severity of each plane, computed as `summary` is."""
    axes: str
    """The axes of `severity`, for example "TYX"."""
    image_shape: tuple[int, ...]
    image_axes: str
    cell: int
    """Side of a cell, pixels."""
    contributions: Contributions | None = field(default=None, repr=False)
    """Maps where they were asked for, else None."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return arguments that repeat the run: ``estimate_degradation(image, **settings)``."""
        return self._settings(self.image_axes, contributions=self.contributions is not None)

    @property
    def record(self) -> dict[str, Any]:
        """Return how the estimate was made, as plain JSON values, to keep beside the maps."""
        return self._record(self.settings, domains=list(self.domains), cell=self.cell)
