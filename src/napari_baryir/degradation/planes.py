"""One plane, tile by tile; its tiles are stitched on the grid of cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.degradation.calibration import Calibration
from napari_baryir.degradation.estimator import EstimateEngine
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.tiles import TileGrid, pad_to
from napari_baryir.restoration.planes import look_at, to_unit

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PlaneEstimator:
    """Estimates planes of an image into arrays.

    Projected residuals are blended where tiles overlap, and averaged over windows afterwards, so
    that windows reach across tiles. Only these few numbers per cell are kept for a whole plane.
    """

    engine: EstimateEngine
    calibration: Calibration
    image: Any
    """NumPy or dask; read one row of tiles at a time."""
    layout: PlaneLayout
    grid: TileGrid
    probabilities: Array
    """(planes, K, h, w), written."""
    severity: Array
    """(planes, h, w), written."""
    parts: Sequence[Array]
    """Zeros of the image's shape, into which the contributions are added; empty for none."""

    def estimate(self, plane: int, intensity: IntensityMap) -> Generator[None, None, None]:
        """Estimate one plane, yielding after each tile."""
        if not look_at(self.image, self.layout, self.grid, plane, intensity, self.engine):
            # A plane of one value: there is nothing to judge.
            self.probabilities[plane, -1] = 1
            yield from (None for _ in range(self.grid.count))
            return
        cells, colours = self.grid.coarser(self.grid.multiple), self.layout.colours
        maps = [self.layout.read(part, plane)[..., :colours] for part in self.parts]
        stitched = np.zeros((cells.height, cells.width, self.engine.subspace.shape[0]), np.float32)
        last = len(self.grid.rows) - 1, len(self.grid.columns) - 1
        for row, rows in enumerate(self.grid.rows):
            values = self.layout.read(self.image, plane, rows.within(self.layout.height))
            unit = to_unit(values[..., :colours], intensity)
            for column, columns in enumerate(self.grid.columns):
                tile = pad_to(unit[:, columns.within(self.layout.width)], rows.size, columns.size)
                self.engine.corner = rows.start, columns.start
                projected, *decoded = self.engine.compute(tile)
                cells.blend(stitched, projected, row, column)
                for part in decoded:
                    for number, whole in enumerate(maps):
                        self.grid.blend(whole, part[:, :, number], row, column)
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
