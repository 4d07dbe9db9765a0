"""One plane, tile by tile, in memory that does not grow with its height."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.tiles import TileGrid, fill_invalid, pad_to
from napari_baryir.restoration.engine import TileEngine


def to_unit(colours: NDArray[Any], intensity: IntensityMap) -> NDArray[np.float32]:
    """Map (H, W, C) to about [0, 1], float32; NaN and inf are filled from their surroundings."""
    unit = intensity.apply(colours)
    if colours.dtype.kind != "f":
        return unit
    invalid = ~np.isfinite(colours)
    return fill_invalid(unit, invalid) if invalid.any() else unit


def add_change(
    colours: NDArray[Any], change: NDArray[np.float32], intensity: IntensityMap, strength: float
) -> NDArray[Any]:
    """Add `strength` times a change in [0, 1] to (H, W, C) values; NaN and inf stay."""
    restored = intensity.add_change(colours, change * np.float32(strength))
    if colours.dtype.kind != "f":
        return restored
    return np.where(np.isfinite(colours), restored, colours)


def is_constant(
    image: Any, layout: PlaneLayout, grid: TileGrid, plane: int, intensity: IntensityMap
) -> bool:
    """Whether a plane has nothing in it to restore. Mostly its first row says no.

    Asked of planes, not of tiles: an empty tile in a hazy or dark picture must change with it.
    """
    first: NDArray[np.float32] | None = None
    for rows in [slice(0, 1), *(row.within(layout.height) for row in grid.rows)]:
        unit = to_unit(layout.read(image, plane, rows)[..., : layout.colours], intensity)
        first = unit[:1, :1] if first is None else first
        if (unit != first).any():
            return False
    return True


@dataclass(frozen=True)
class PlaneRestorer:
    """Restores planes of an image into an array of the same shape.

    The tiles of one row are blended into a band as wide as the plane; the rows that no later tile
    touches are written out, and the rest moves to the top of the band.
    """

    engine: TileEngine
    image: Any
    """NumPy, dask or zarr; read one row of tiles at a time."""
    out: Any
    """Writable, of the image's shape and dtype."""
    layout: PlaneLayout
    grid: TileGrid
    strength: float

    def restore(self, plane: int, intensity: IntensityMap) -> Generator[int, None, None]:
        """Restore one plane, tile by tile.

        Yields
        ------
        After each tile, how many NaN or infinite values the rows have that were just written.
        """
        if is_constant(self.image, self.layout, self.grid, plane, intensity):
            yield from self._copy(plane)
            return
        height, colours = self.layout.height, self.layout.colours
        rows, columns = self.grid.rows, self.grid.columns
        band = np.zeros((rows[0].size, columns[-1].stop, colours), np.float32)
        ends = [*(row.start for row in rows[1:]), height]
        for number, (row, end) in enumerate(zip(rows, ends, strict=True)):
            original = self.layout.read(self.image, plane, row.within(height))
            unit = to_unit(original[..., :colours], intensity)
            for column in range(len(columns)):
                self._blend_tile(band, unit, number, column)
                if column < len(columns) - 1:
                    yield 0
            done = end - row.start
            non_finite = self._write(plane, row.start, original[:done], band, intensity)
            band[:-done] = band[done:].copy()
            band[-done:] = 0
            yield non_finite

    def _copy(self, plane: int) -> Generator[int, None, None]:
        """Write a plane as it is, with the yields of `restore`."""
        height, columns = self.layout.height, len(self.grid.columns)
        rows = self.grid.rows
        ends = [*(row.start for row in rows[1:]), height]
        for row, end in zip(rows, ends, strict=True):
            original = self.layout.read(self.image, plane, slice(row.start, end))
            self.layout.write(self.out, plane, slice(row.start, end), original)
            yield from (0 for _ in range(columns - 1))
            yield self._non_finite(original)

    def _non_finite(self, original: NDArray[Any]) -> int:
        if original.dtype.kind != "f":
            return 0
        return int(np.count_nonzero(~np.isfinite(original[..., : self.layout.colours])))

    def _blend_tile(
        self, band: NDArray[np.float32], unit: NDArray[np.float32], row: int, column: int
    ) -> None:
        span = self.grid.columns[column]
        tile = unit[:, span.within(self.layout.width)]
        change = self.engine.change(pad_to(tile, self.grid.rows[row].size, span.size))
        change *= self.grid.row_windows[row][:, None, None]
        change *= self.grid.column_windows[column][:, None]
        band[:, span.start : span.stop] += change

    def _write(
        self,
        plane: int,
        start: int,
        original: NDArray[Any],
        band: NDArray[np.float32],
        intensity: IntensityMap,
    ) -> int:
        """Write finished rows; returns how many of their values were NaN or infinite."""
        colours, samples = self.layout.colours, self.layout.samples
        rows, width = original.shape[:2]
        restored = add_change(
            original[..., :colours], band[:rows, :width], intensity, self.strength
        )
        if samples > colours:  # alpha, untouched
            restored = np.concatenate([restored, original[..., colours:]], axis=-1)
        self.layout.write(self.out, plane, slice(start, start + rows), restored)
        return self._non_finite(original)
