"""Cut the planes of dask arrays into tiles, one a chunk, and blend them again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import dask.array
import numpy as np
from numpy.typing import NDArray

from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.tiles import Span, TileGrid

da: Any = dask.array
"""Most of dask is not annotated."""

LazyArray = Any
"""A dask array."""


def planes_in_order(image: LazyArray, layout: PlaneLayout) -> tuple[LazyArray, list[str]]:
    """Bring the axes of an image into the order (C, ..., Y, X, S), C and S added if missing.

    Returns the image, each plane in chunks of its own, and its own axes in their new order.
    """
    outer = [a for a in layout.axes if a not in "CYXS"]
    order = [a for a in ("C", *outer, "Y", "X", "S") if a in layout.axes]
    planes = image.transpose([layout.axes.index(a) for a in order])
    if "C" not in order:
        planes = planes[np.newaxis]
    if "S" not in order:
        planes = planes[..., np.newaxis]
    ones = dict.fromkeys(range(planes.ndim - 3), 1)
    return planes.rechunk({**ones, planes.ndim - 1: -1}), order


def as_image(planes: LazyArray, layout: PlaneLayout, order: list[str]) -> LazyArray:
    """Undo `planes_in_order`."""
    planes = planes if "S" in order else planes[..., 0]
    planes = planes if "C" in order else planes[0]
    return planes.transpose([order.index(a) for a in layout.axes])


def cut_tiles(planes: LazyArray, grid: TileGrid) -> LazyArray:
    """Lay the tiles of (..., Y, X, C) beside and below each other, each a chunk of its own."""
    y, x = planes.ndim - 3, planes.ndim - 2
    return _cut(_cut(planes, grid.rows, y), grid.columns, x)


def blend_tiles(tiles: LazyArray, grid: TileGrid) -> LazyArray:
    """Undo `cut_tiles`, blending where tiles overlap; chunks start where tiles do."""
    y, x = tiles.ndim - 3, tiles.ndim - 2
    if len(grid.rows) > 1:
        windows = np.concatenate(grid.row_windows)[: tiles.shape[y]]
        tiles = _add_up(tiles * _along(windows, y, tiles), grid.rows, y, grid.height)
    if len(grid.columns) > 1:
        windows = np.concatenate(grid.column_windows)[: tiles.shape[x]]
        tiles = _add_up(tiles * _along(windows, x, tiles), grid.columns, x, grid.width)
    return tiles


def _cut(array: LazyArray, spans: tuple[Span, ...], axis: int) -> LazyArray:
    """Lay the spans of an axis one after the other, each a chunk of its own."""
    length = array.shape[axis]
    select: list[slice] = [slice(None)] * array.ndim
    parts = []
    for span in spans:
        select[axis] = span.within(length)
        parts.append(array[tuple(select)])
    sizes = tuple(part.shape[axis] for part in parts)
    return da.concatenate(parts, axis=axis).rechunk({axis: sizes})


def _along(values: NDArray[np.float32], axis: int, array: LazyArray) -> LazyArray:
    """Return values along one axis of `array`, ready to be multiplied with it."""
    lazy = da.from_array(values, chunks=(array.chunks[axis],))
    return lazy.reshape([-1 if i == axis else 1 for i in range(array.ndim)])


def _add_up(array: LazyArray, spans: tuple[Span, ...], axis: int, length: int) -> LazyArray:
    """Undo `_cut`: put every span back where it was, and add where they overlap."""
    offsets = np.cumsum([0, *array.chunks[axis]])
    inside = [(span.start, min(span.stop, length)) for span in spans]
    edges = sorted({edge for span in inside for edge in span})
    select = [slice(None)] * array.ndim
    pieces = []
    for low, high in pairwise(edges):
        covering = []
        for (start, stop), offset in zip(inside, offsets, strict=False):
            if start <= low and high <= stop:
                select[axis] = slice(int(offset) + low - start, int(offset) + high - start)
                covering.append(array[tuple(select)])
        total = covering[0]
        for more in covering[1:]:
            total = total + more
        pieces.append(total)
    starts = [start for start, _ in inside]
    sizes = tuple(b - a for a, b in pairwise([*starts, length]))
    return da.concatenate(pieces, axis=axis).rechunk({axis: sizes})
