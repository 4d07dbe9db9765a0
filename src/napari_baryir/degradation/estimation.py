"""Estimate what is wrong with an image of any axes, dtype and size.

`estimate_degradation` does it in one go; `iter_estimate` yields `Progress` after every tile, and
stops computing when it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_baryir.degradation.calibration import Calibration, Reading
from napari_baryir.degradation.estimator import PARTS, EstimateEngine
from napari_baryir.degradation.results import Contributions, DegradationEstimate
from napari_baryir.imaging.checks import is_dask
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.tiles import pad_to
from napari_baryir.restoration.options import Intensity, Options, RestoreOptions, check_options
from napari_baryir.restoration.plan import Plan
from napari_baryir.restoration.planes import iter_planes, look_at, to_unit
from napari_baryir.restoration.results import Progress
from napari_baryir.steps import finish

Array = NDArray[np.float32]


def estimate_degradation(
    image: Any,
    *,
    axes: str | None = None,
    model: str | os.PathLike[str] | nn.Module = "auto",
    device: str | torch.device = "auto",
    precision: str = "auto",
    tile: int | Literal["auto", "whole"] = "auto",
    overlap: int | Literal["auto"] = "auto",
    intensity: Intensity = "auto",
    contributions: bool = False,
) -> DegradationEstimate:
    """Estimate which degradations an image has, how strong they are, and where.

    Parameters
    ----------
    image
        NumPy, dask or zarr array of 2 or more dimensions, 8 to 64 bit integer or float; each RGB(A)
        or single-channel plane is judged by itself. Never changed. Or a DataArray of xarray.
    axes, model, device, precision, tile, overlap, intensity
        As for `napari_baryir.restore`.
    contributions
        Also decode, to show what the barycenter and the residual embedding each contribute to the
        restored image.

    Returns
    -------
    DegradationEstimate
        With NumPy maps; with lazy dask ones for dask and zarr. A plane of one value is "unknown",
        severity 0: there is nothing in it to judge.

    Raises
    ------
    InputError
        If the image or an option cannot be used.
    WeightsError
        If the model is unknown, damaged or not calibrated.
    DeviceError
        If the device is not there, or out of memory with the smallest tile.
    """
    asked = RestoreOptions(axes, model, device, precision, tile, overlap, intensity)
    return finish(_start(image, asked, contributions))


def iter_estimate(
    image: Any,
    *,
    axes: str | None = None,
    model: str | os.PathLike[str] | nn.Module = "auto",
    device: str | torch.device = "auto",
    precision: str = "auto",
    tile: int | Literal["auto", "whole"] = "auto",
    overlap: int | Literal["auto"] = "auto",
    intensity: Intensity = "auto",
    contributions: bool = False,
    first_plane: int = 0,
    at_once: bool = False,
) -> Generator[Progress, None, DegradationEstimate]:
    """Estimate step by step; arguments, result and errors as for `estimate_degradation`.

    The arguments are checked at once; the network is loaded and the work planned with the first
    step, which yields a `Progress` with nothing done; one more follows after every tile, and none
    where the result is lazy. Closing the generator stops the work.

    `first_plane` is the number of the plane to begin with; the others follow by distance. With
    `at_once`, dask and zarr arrays are estimated now, one row of tiles at a time, instead of
    lazily.
    """
    asked = RestoreOptions(axes, model, device, precision, tile, overlap, intensity)
    return _start(image, asked, contributions, first_plane, at_once)


def _start(
    image: Any,
    asked: RestoreOptions,
    contributions: bool,
    first_plane: int = 0,
    at_once: bool = False,
) -> Generator[Progress, None, DegradationEstimate]:
    options = check_options(image, asked, first=first_plane)
    work = _lazily if is_dask(options.image) and not at_once else _at_once
    return work(options, contributions)


def _at_once(
    options: Options, contributions: bool
) -> Generator[Progress, None, DegradationEstimate]:
    """Estimate into arrays, yielding after every tile."""
    plan = Plan.of(options)
    layout, grid = plan.layout, plan.grid
    reading = Reading.of(plan.model.load(), plan.model.name)
    engine = EstimateEngine(
        plan.model.load(),
        options.device,
        options.precision,
        reading.subspace,
        overlap=grid.overlap,
        contributions=contributions,
    )
    steps = iter_planes(plan, lambda plane, intensity: estimator.estimate(plane, intensity))
    yield next(steps)
    cells, planes, names = grid.coarser(grid.multiple), layout.planes, reading.calibration.names
    probabilities = np.zeros((planes, len(names), cells.height, cells.width), np.float32)
    severity = np.zeros((planes, cells.height, cells.width), np.float32)
    parts = [np.zeros(layout.shape, np.float32) for _ in PARTS] if contributions else []
    estimator = PlaneEstimator(engine, reading.calibration, plan, probabilities, severity, parts)
    yield from steps
    return _result(
        plan,
        reading,
        engine.largest,
        probabilities=probabilities.reshape(*layout.outer_shape, *probabilities.shape[1:]),
        severity=severity.reshape(*layout.outer_shape, *severity.shape[1:]),
        summary=tuple(shares(p, names) for p in probabilities),
        severities=tuple(mean_severity(s) for s in severity),
        contributions=Contributions(*parts) if contributions else None,
    )


def _lazily(
    options: Options, contributions: bool
) -> Generator[Progress, None, DegradationEstimate]:
    """Plan dask arrays that are estimated when they are computed; yields nothing."""
    yield from ()
    from napari_baryir.degradation import lazy

    plan = Plan.of(options)
    reading = Reading.of(plan.model.load(), plan.model.name)
    probabilities, severity = lazy.estimate_lazily(plan, reading)
    names = reading.calibration.names
    parts = lazy.contributions_lazily(plan, reading) if contributions else None
    return _result(
        plan,
        reading,
        None,
        probabilities=probabilities,
        severity=severity,
        summary=lazy.ValuesOfPlanes(probabilities, 3, lambda values: shares(values, names)),
        severities=lazy.ValuesOfPlanes(severity, 2, mean_severity),
        contributions=Contributions(*parts) if parts else None,
    )


def _result(plan: Plan, reading: Reading, tile: int | None, **maps: Any) -> DegradationEstimate:
    """Return the record of the run with the maps that it made."""
    layout = plan.layout
    return DegradationEstimate(
        domains=reading.calibration.names,
        axes="".join(layout.axes[i] for i in layout.outer) + "YX",
        image_shape=layout.shape,
        image_axes=layout.axes,
        cell=plan.grid.multiple,
        **plan.provenance(tile),
        **maps,
    )


@dataclass(frozen=True)
class PlaneEstimator:
    """Estimates planes of an image into arrays.

    Projected residuals are blended where tiles overlap, and averaged over windows afterwards, so
    that windows reach across tiles. Only these few numbers per cell are kept for a whole plane.
    """

    engine: EstimateEngine
    calibration: Calibration
    plan: Plan
    probabilities: Array
    """(planes, K, h, w), written."""
    severity: Array
    """(planes, h, w), written."""
    parts: Sequence[Array]
    """Zeros of the image's shape, into which the contributions are added; empty for none."""

    def estimate(self, plane: int, intensity: IntensityMap) -> Generator[None, None, None]:
        """Estimate one plane, yielding after each tile."""
        layout, grid = self.plan.layout, self.plan.grid
        if not look_at(self.plan, plane, intensity, self.engine):
            # A plane of one value: there is nothing to judge.
            self.probabilities[plane, -1] = 1
            yield from (None for _ in range(grid.count))
            return
        cells, colours = grid.coarser(grid.multiple), layout.colours
        maps = [layout.read(part, plane)[..., :colours] for part in self.parts]
        stitched = np.zeros((cells.height, cells.width, self.engine.subspace.shape[0]), np.float32)
        last = len(grid.rows) - 1, len(grid.columns) - 1
        for row, rows in enumerate(grid.rows):
            values = layout.read(self.plan.options.image, plane, rows.within(layout.height))
            unit = to_unit(values[..., :colours], intensity)
            for column, columns in enumerate(grid.columns):
                tile = pad_to(unit[:, columns.within(layout.width)], rows.size, columns.size)
                self.engine.corner = rows.start, columns.start
                projected, *decoded = self.engine.compute(tile)
                cells.blend(stitched, projected, row, column)
                for part in decoded:
                    for number, whole in enumerate(maps):
                        grid.blend(whole, part[:, :, number], row, column)
                if (row, column) == last:
                    for whole in maps:
                        whole[...] = intensity.in_units(whole)
                    judged = self.calibration.judge(stitched)
                    self.probabilities[plane], self.severity[plane] = judged
                yield


def shares(probabilities: Array, names: Sequence[str]) -> dict[str, float]:
    """Return the shares of the domains in a plane, (K, h, w), the largest first; they sum to 1."""
    means = probabilities.mean(axis=(1, 2), dtype=np.float64)
    means /= means.sum()
    order = np.argsort(-means, kind="stable")
    return {names[i]: float(means[i]) for i in order}


def mean_severity(severity: Array) -> float:
    """Return the mean severity of a plane, (h, w)."""
    return float(severity.mean(dtype=np.float64))
