"""One plane, tile by tile, in memory that does not grow with its height."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.imaging.intensity import NETWORK_HIGH, NETWORK_LOW, IntensityMap
from napari_baryir.imaging.reduction import Reduction
from napari_baryir.imaging.tiles import fill_invalid, pad_to
from napari_baryir.network.scene import scene_size
from napari_baryir.restoration.engine import MemoryAware, TileEngine
from napari_baryir.restoration.plan import Plan
from napari_baryir.restoration.results import Progress

HOT_NEIGHBOURS = 2
"""Largest number of bright pixels in a square of 3 for one of them to be hot."""


def to_unit(
    colours: NDArray[Any], intensity: IntensityMap, *, denoise: bool = False
) -> NDArray[np.float32]:
    """Map (H, W, C) to what a network is shown: about [0, 1], float32.

    Held within `NETWORK_LOW` and `NETWORK_HIGH`; where there is no data (NaN, inf, padding), it is
    filled from its surroundings.
    `denoise`: mend hot pixels first.
    """
    if denoise:
        colours = without_hot_pixels(colours, intensity)
    unit = np.clip(intensity.apply(colours), NETWORK_LOW, NETWORK_HIGH)
    invalid = intensity.missing(colours)
    return fill_invalid(unit, invalid) if invalid.any() else unit


def without_hot_pixels(
    colours: NDArray[Any], intensity: IntensityMap, strength: float = 1.0
) -> NDArray[Any]:
    """Move lone values far above the range towards the median of their neighbours, (H, W, C).

    A hot pixel or a cosmic ray is noise; a bright object has more pixels than one. Returns the very
    array where there are none; `strength` is the part of the way.
    """
    unit = intensity.apply(colours)
    bright = (unit > NETWORK_HIGH) & ~intensity.missing(colours)
    if not bright.any():
        return colours
    from scipy import ndimage  # late: few images need it, and it takes a quarter of a second

    around = np.ones((3, 3, 1), bool)
    near = ndimage.convolve(bright.astype(np.uint8), around.astype(np.uint8), mode="constant")
    hot = bright & (near <= HOT_NEIGHBOURS)
    if not hot.any():
        return colours
    around[1, 1] = False
    wide = np.where(hot, colours, 0).astype(np.float64)
    median = ndimage.median_filter(colours.astype(np.float64), footprint=around, mode="reflect")
    moved = wide + strength * (np.where(np.isfinite(median), median, wide) - wide)
    if colours.dtype.kind in "ui":
        moved = np.rint(moved)
    mended = colours.copy()
    mended[hot] = moved[hot].astype(colours.dtype)
    return mended


def add_change(
    colours: NDArray[Any],
    change: NDArray[np.float32],
    intensity: IntensityMap,
    strength: float,
    denoise: bool,
) -> NDArray[Any]:
    """Add `strength` times a change in [0, 1] to (H, W, C) values; NaN, inf and padding stay.

    `denoise`: mend hot pixels first, as far.
    """
    if denoise:
        colours = without_hot_pixels(colours, intensity, strength)
    restored = intensity.add_change(colours, change * np.float32(strength))
    return np.where(intensity.missing(colours), colours, restored)


def look_at(plan: Plan, plane: int, intensity: IntensityMap, engine: MemoryAware) -> bool:
    """Show an engine a whole plane, reduced, one row of tiles at a time.

    Returns whether there is anything in the plane to restore. This is decided for planes, not for
    tiles: an empty tile in a hazy or dark picture must change with it. Without a scene to look at,
    the first row mostly decides it.
    """
    layout = plan.layout
    height, width, colours = layout.height, layout.width, layout.colours
    size = scene_size(height, width, engine.scene_side) if engine.scene_side else (1, 1)
    reduction = Reduction(height, width, size, colours) if engine.scene_side else None
    first: NDArray[np.float32] | None = None
    constant = True
    for rows in (*([slice(0, 1)] if reduction is None else []), *plan.grid.bands):
        values = layout.read(plan.options.image, plane, rows)[..., :colours]
        unit, missing = to_unit(values, intensity), intensity.missing(values)
        data = unit[~missing.any(axis=-1)] if missing.any() else unit.reshape(-1, colours)
        first = data[:1] if first is None or not len(first) else first
        constant = constant and not bool((data != first).any())
        if reduction is not None:
            reduction.add(rows.start, unit, missing)
        elif not constant:
            return True
    if reduction is not None and not constant:
        engine.see_plane(reduction.picture, height, width)
    return not constant


def iter_planes(
    plan: Plan, work: Callable[[int, IntensityMap], Generator[None, None, None]]
) -> Generator[Progress, None, None]:
    """Work on the planes of an image in their order; `work` yields after each tile of a plane.

    Yields a `Progress` when the work is planned, then after every tile.
    """
    layout, count = plan.layout, plan.grid.count
    done, total, planes = 0, layout.planes * count, layout.planes
    yield Progress(done, total, plan.options.order[0], planes)
    for plane in plan.options.order:
        for _ in work(plane, plan.intensities[layout.channel(plane)]):
            done += 1
            index = layout.index(plane) if done % count == 0 else None
            yield Progress(done, total, plane, planes, index)


@dataclass(frozen=True)
class PlaneRestorer:
    """Restores planes of an image into an array of the same shape.

    The tiles of one row are blended into a band as wide as the plane; the rows that no later tile
    touches are written out, and the rest moves to the top of the band.
    """

    engine: TileEngine
    plan: Plan
    out: Any
    """Writable, of the image's shape and dtype."""
    non_finite: Counter[int] = field(default_factory=Counter)
    """Number of NaN and infinite values, by plane."""
    _squares: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Sum of the squared changes in [0, 1], by plane."""

    @property
    def change(self) -> float:
        """Return the root mean square change in [0, 1] of the plane that changed most."""
        layout = self.plan.layout
        values = layout.height * layout.width * layout.colours
        finite = ((total, values - self.non_finite[i]) for i, total in self._squares.items())
        return math.sqrt(max(total / max(1, count) for total, count in finite))

    def restore(self, plane: int, intensity: IntensityMap) -> Generator[None, None, None]:
        """Restore one plane, yielding after each tile."""
        plan, grid, layout = self.plan, self.plan.grid, self.plan.layout
        columns = grid.columns
        if not look_at(plan, plane, intensity, self.engine):  # written as it is
            for rows in grid.bands:
                original = layout.read(plan.options.image, plane, rows)
                self._write(plane, rows.start, original, original[..., : layout.colours])
                yield from (None for _ in columns)
            return
        band = np.zeros((grid.rows[0].size, columns[-1].stop, layout.colours), np.float32)
        for number, (row, finished) in enumerate(zip(grid.rows, grid.bands, strict=True)):
            original = layout.read(plan.options.image, plane, row.within(layout.height))
            colours = original[..., : layout.colours]
            unit = to_unit(colours, intensity, denoise=plan.denoises)
            for column in range(len(columns)):
                self._blend_tile(band, unit, number, column)
                if column < len(columns) - 1:
                    yield
            done, strength = finished.stop - finished.start, plan.options.asked.strength
            change = band[:done, : layout.width]
            restored = add_change(colours[:done], change, intensity, strength, plan.denoises)
            self._write(plane, row.start, original[:done], restored)
            band[:-done] = band[done:].copy()
            band[-done:] = 0
            yield

    def _blend_tile(
        self, band: NDArray[np.float32], unit: NDArray[np.float32], row: int, column: int
    ) -> None:
        grid = self.plan.grid
        span = grid.columns[column]
        tile = unit[:, span.within(grid.width)]
        self.engine.corner = grid.rows[row].start, span.start
        change = self.engine.change(pad_to(tile, grid.rows[row].size, span.size))
        change *= grid.row_windows[row][:, None, None]
        change *= grid.column_windows[column][:, None]
        band[:, span.start : span.stop] += change

    def _write(
        self, plane: int, start: int, original: NDArray[Any], restored: NDArray[Any]
    ) -> None:
        """Write finished rows, whose colours are `restored`; alpha stays as it was."""
        layout = self.plan.layout
        colours = original[..., : layout.colours]
        intensity = self.plan.intensities[layout.channel(plane)]
        change = intensity.apply(restored) - intensity.apply(colours)
        if original.dtype.kind == "f":
            change = change[np.isfinite(colours)]
            self.non_finite[plane] += colours.size - change.size
        self._squares[plane] += float(np.square(change).sum(dtype=np.float64))
        if layout.samples > layout.colours:
            restored = np.concatenate([restored, original[..., layout.colours :]], axis=-1)
        layout.write(self.out, plane, slice(start, start + len(original)), restored)
