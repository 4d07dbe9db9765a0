"""Lay tiles over a plane, and blend them into it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """Pixels `start` to `stop` (exclusive) along one axis."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def within(self, length: int) -> slice:
        """Return the part that lies inside an axis of this length."""
        return slice(self.start, min(self.stop, length))


def split(length: int, tile: int, overlap: int, multiple: int = 8) -> tuple[Span, ...]:
    """Cover an axis with equal, evenly spread spans that overlap.

    Starts and sizes are multiples of `multiple`, so that a tile sees the same grid of latents as
    the whole plane would. The last span may therefore end up to ``multiple - 1`` pixels beyond the
    axis, where the caller pads. `tile` is the greatest size of a span, at least two multiples;
    `overlap` the least overlap of neighbours, at most half of `tile`. All in pixels.
    """
    # All in cells of `multiple` pixels: the tile rounded down, length and overlap up.
    cells, most, shared = -(-length // multiple), tile // multiple, -(-overlap // multiple)
    shared = min(shared, most // 2)
    if cells <= most:
        return (Span(0, cells * multiple),)
    count = -(-(cells - shared) // (most - shared))
    size = -(-(cells + (count - 1) * shared) // count)
    starts = [i * (cells - size) // (count - 1) for i in range(count)]
    return tuple(Span(start * multiple, (start + size) * multiple) for start in starts)


def blend_windows(spans: tuple[Span, ...]) -> tuple[NDArray[np.float32], ...]:
    """Return the weights of each span along its axis, (size,) float32; everywhere they add up to 1.

    A raised cosine leads from one span to the next over the middle half of their overlap. The outer
    quarters are left out, since there a tile lacks its surroundings most.
    """
    weights = [np.ones(span.size) for span in spans]
    for (left, before), (right, after) in pairwise(zip(weights, spans, strict=True)):
        shared = before.stop - after.start
        if shared <= 0:
            continue
        margin = shared // 4
        along = (np.arange(shared) + 0.5 - margin) / (shared - 2 * margin)
        rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(along, 0, 1))
        left[-shared:] *= 1 - rise
        right[:shared] *= rise
    total = np.zeros(spans[-1].stop)
    for span, weight in zip(spans, weights, strict=True):
        total[span.start : span.stop] += weight
    return tuple(
        (weight / total[span.start : span.stop]).astype(np.float32)
        for span, weight in zip(spans, weights, strict=True)
    )


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one plane."""

    height: int
    width: int
    tile: int
    """Greatest side of a tile, pixels."""
    overlap: int
    """Least overlap of neighbours, pixels."""
    multiple: int = 8
    """Sides and starts of tiles are multiples of this."""

    @cached_property
    def rows(self) -> tuple[Span, ...]:
        return split(self.height, self.tile, self.overlap, self.multiple)

    @cached_property
    def columns(self) -> tuple[Span, ...]:
        return split(self.width, self.tile, self.overlap, self.multiple)

    @cached_property
    def row_windows(self) -> tuple[NDArray[np.float32], ...]:
        """Return the blending weights of each of `rows`."""
        return blend_windows(self.rows)

    @cached_property
    def column_windows(self) -> tuple[NDArray[np.float32], ...]:
        """Return the blending weights of each of `columns`."""
        return blend_windows(self.columns)

    @property
    def count(self) -> int:
        return len(self.rows) * len(self.columns)

    @cached_property
    def bands(self) -> tuple[slice, ...]:
        """Return the rows of the plane from the start of each row of tiles to that of the next."""
        starts = [row.start for row in self.rows]
        return tuple(slice(*ends) for ends in pairwise([*starts, self.height]))

    def coarser(self, cell: int) -> TileGrid:
        """Return the same tiles counted in cells of `cell` pixels, a divisor of `multiple`.

        A cell that lies partly outside of the plane counts.
        """
        height, width = (-(-length // cell) for length in (self.height, self.width))
        overlap = -(-self.overlap // cell)
        return TileGrid(height, width, self.tile // cell, overlap, self.multiple // cell)

    def blend(self, total: NDArray[Any], values: NDArray[Any], row: int, column: int) -> None:
        """Add the weighted values of tile (`row`, `column`), (rows, columns, ...), to those of the
        plane.

        What lies outside of the plane is left out.
        """
        rows, columns = self.rows[row], self.columns[column]
        part = total[rows.start : rows.stop, columns.start : columns.stop]
        height, width = part.shape[:2]
        windows = self.row_windows[row][:height, None] * self.column_windows[column][:width]
        weights = windows.reshape(height, width, *(1,) * (values.ndim - 2))
        part += weights * values[:height, :width]


def pad_to(tile: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Continue (h, w, C) by reflection at the bottom and the right, to (height, width, C).

    Works for any size: where there are too few pixels, the reflection is reflected again.
    """
    if tile.shape[:2] == (height, width):
        return tile
    missing = ((0, height - tile.shape[0]), (0, width - tile.shape[1]), (0, 0))
    return np.pad(tile, missing, mode="reflect")


def fill_invalid(values: NDArray[np.float32], invalid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Replace invalid pixels, (H, W, C), by the mean of the nearest valid ones; by 0 without any.

    The neighbourhood grows by powers of two (an image pyramid), so that large holes cost no more
    than small ones.
    """
    valid = ~invalid
    known = np.where(valid, values, np.float32(0))
    height, width, channels = values.shape
    # At one pixel a colour that has no valid value anywhere stays 0, whatever the others have.
    if valid.all() or not valid.any() or height == width == 1:
        return known
    even = ((0, height % 2), (0, width % 2), (0, 0))
    blocks = (-(-height // 2), 2, -(-width // 2), 2, channels)
    counts = np.pad(valid, even).reshape(blocks).sum((1, 3), dtype=np.float32)
    sums = np.pad(known, even).reshape(blocks).sum((1, 3), dtype=np.float32)
    coarse = fill_invalid(sums / np.maximum(counts, 1), counts == 0)
    nearby = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(valid, values, nearby)
