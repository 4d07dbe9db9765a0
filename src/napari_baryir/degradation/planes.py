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
from napari_baryir.restoration.planes import is_constant, to_unit

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PlaneEstimator:
    """Estimates planes of an image.

    Projected residuals are blended where tiles overlap, and averaged over windows afterwards, so
    that windows reach across tiles. Only these few numbers per cell are kept for a whole plane.
    """

    engine: EstimateEngine
    calibration: Calibration
    image: Any
    """NumPy or dask; read one row of tiles at a time."""
    layout: PlaneLayout
    grid: TileGrid
    parts: Sequence[Array]
    """Zeros of the image's shape, into which the contributions are added; empty for none."""

    def estimate(
        self, plane: int, intensity: IntensityMap
    ) -> Generator[tuple[Array, Array] | None, None, None]:
        """Estimate one plane, tile by tile.

        Yields
        ------
        None after each tile but the last; then probabilities (K, h, w) and severity (h, w).
        """
        cells = self.grid.coarser(self.grid.multiple)
        if is_constant(self.image, self.layout, self.grid, plane, intensity):
            yield from (None for _ in range(self.grid.count - 1))
            yield nothing_to_judge(len(self.calibration.names), cells.height, cells.width)
            return
        colours = self.layout.colours
        maps = [self.layout.read(part, plane)[..., :colours] for part in self.parts]
        stitched = np.zeros((cells.height, cells.width, self.engine.subspace.shape[0]), np.float32)
        for row, rows in enumerate(self.grid.rows):
            values = self.layout.read(self.image, plane, rows.within(self.layout.height))
            unit = to_unit(values[..., :colours], intensity)
            for column, columns in enumerate(self.grid.columns):
                tile = pad_to(unit[:, columns.within(self.layout.width)], rows.size, columns.size)
                projected, *decoded = self.engine.compute(tile)
                cells.blend(stitched, projected, row, column)
                for part in decoded:
                    part *= np.float32(intensity.span)
                    for number, whole in enumerate(maps):
                        self.grid.blend(whole, part[:, :, number], row, column)
                last = row == len(self.grid.rows) - 1 and column == len(self.grid.columns) - 1
                yield self.calibration.judge(stitched) if last else None


def nothing_to_judge(domains: int, height: int, width: int) -> tuple[Array, Array]:
    """The estimate of a plane of one value: unknown, severity 0."""
    probabilities = np.zeros((domains, height, width), np.float32)
    probabilities[-1] = 1
    return probabilities, np.zeros((height, width), np.float32)


def shares(probabilities: Array, names: Sequence[str]) -> dict[str, float]:
    """Share of each domain in a plane, (K, h, w), the largest first; they sum to 1."""
    means = probabilities.mean(axis=(1, 2), dtype=np.float64)
    means /= means.sum()
    order = np.argsort(-means, kind="stable")
    return {names[i]: float(means[i]) for i in order}


def mean_severity(severity: Array) -> float:
    """Mean severity of a plane, (h, w)."""
    return float(severity.mean(dtype=np.float64))
