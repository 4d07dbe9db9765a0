"""Restore dask arrays lazily: one task per tile, blended lazily.

A tile is computed once, however many chunks of the result it touches. The result is that of an
array in memory, but for two things that only more than a tile could tell: tiles of one value are
left alone (in memory, planes of one value), and NaN and inf are filled from within their tile (in
memory, from the row of tiles). Tiles are read from, and their answers added into, whatever chunks
there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar, cast

import dask.array
import numpy as np
from numpy.typing import NDArray

from napari_baryir.devices import choose_device, choose_precision
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.tiles import Span, TileGrid, pad_to
from napari_baryir.restoration.engine import MemoryAware, TileEngine
from napari_baryir.restoration.model_source import ModelSource
from napari_baryir.restoration.planes import add_change, to_unit

da: Any = dask.array
"""Most of dask is not annotated."""

LazyArray = Any
"""A dask array."""

_engines: dict[tuple[Any, ...], MemoryAware] = {}
"""The networks of this process; the latest few, since each may hold a GPU's memory."""

_MOST_ENGINES = 2

# One tile at a time in each process: torch uses all cores by itself, and memory is chosen for one.
one_tile = threading.Lock()

Engine = TypeVar("Engine", bound=MemoryAware)


def kept_engine(key: tuple[Any, ...], make: Callable[[], Engine]) -> Engine:
    """The engine of this process that goes by `key`; call it while holding `one_tile`."""
    engine = _engines.pop(key, None)
    if engine is None:
        engine = make()
    _engines[key] = engine  # now the latest
    while len(_engines) > _MOST_ENGINES:
        del _engines[next(iter(_engines))]
    return cast(Engine, engine)


@dataclass(frozen=True)
class TileWork:
    """What a task needs to know; travels to other processes."""

    source: ModelSource
    token: str
    """Tells weights apart."""
    device: str
    """As asked for: "auto" is decided where the task runs."""
    precision: str
    ensemble: bool
    overlap: int
    intensity: IntensityMap
    height: int
    """Of a whole tile; those at the end of a plane are padded to it."""
    width: int

    def change(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """What the network changes in a block of tiles, (..., h, w, C), float32 in [0, 1]."""
        h, w, colours = block.shape[-3:]
        changes = np.empty(block.shape, np.float32)
        planes = changes.reshape(-1, h, w, colours)
        for plane, tile in zip(planes, block.reshape(planes.shape), strict=True):
            padded = pad_to(to_unit(tile, self.intensity), self.height, self.width)
            with one_tile:
                plane[...] = self._engine().change(padded)[:h, :w]
        return changes

    def _engine(self) -> TileEngine:
        key = (self.token, self.device, self.precision, self.ensemble, self.overlap)
        return kept_engine(key, self._make_engine)

    def _make_engine(self) -> TileEngine:
        device = choose_device(self.device)
        return TileEngine(
            self.source.load(),
            device,
            choose_precision(self.precision, device),
            ensemble=self.ensemble,
            overlap=self.overlap,
            skip_empty=True,
        )

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        settings = (self.device, self.precision, self.ensemble, self.overlap)
        intensity = (self.intensity.low, self.intensity.high)
        return ("TileWork", self.token, settings, intensity, self.height, self.width)


@dataclass(frozen=True)
class LazyRestorer:
    """Restores a dask array plane by plane, as in memory, when its chunks are computed."""

    source: ModelSource
    device: str
    precision: str
    ensemble: bool
    layout: PlaneLayout
    grid: TileGrid
    strength: float

    @cached_property
    def token(self) -> str:
        """Of the network."""
        return self.source.token()

    def restore(self, image: LazyArray, intensities: tuple[IntensityMap, ...]) -> LazyArray:
        """Give the lazy result, of the shape, dtype and axes of `image`."""
        planes, order = planes_in_order(image, self.layout)
        restored = da.concatenate(
            [
                self._restore_channel(planes[number : number + 1], intensity)
                for number, intensity in enumerate(intensities)
            ]
        )
        if "S" not in order:
            restored = restored[..., 0]
        if "C" not in order:
            restored = restored[0]
        return restored.transpose([order.index(a) for a in self.layout.axes])

    def _restore_channel(self, planes: LazyArray, intensity: IntensityMap) -> LazyArray:
        """(1, ..., Y, X, S) to the same."""
        colours = planes[..., : self.layout.colours]
        change = self._change(colours, intensity)
        colours = colours.rechunk(change.chunks)
        restored = da.map_blocks(
            add_change,
            colours,
            change,
            intensity,
            self.strength,
            dtype=planes.dtype,
            meta=np.empty((0,) * planes.ndim, planes.dtype),
        )
        if self.layout.samples == self.layout.colours:
            return restored
        alpha = planes[..., self.layout.colours :].rechunk((*change.chunks[:-1], -1))
        return da.concatenate([restored, alpha], axis=-1).rechunk({planes.ndim - 1: -1})

    def _change(self, colours: LazyArray, intensity: IntensityMap) -> LazyArray:
        """Blended changes of all tiles, (1, ..., Y, X, C) float32; chunks start where tiles do."""
        work = TileWork(
            self.source,
            self.token,
            self.device,
            self.precision,
            self.ensemble,
            self.grid.overlap,
            intensity,
            self.grid.rows[0].size,
            self.grid.columns[0].size,
        )
        tiles = cut_tiles(colours, self.grid)
        meta = np.empty((0,) * colours.ndim, np.float32)
        change = da.map_blocks(_change, tiles, work, dtype=np.float32, meta=meta)
        return blend_tiles(change, self.grid)


def _change(block: NDArray[Any], work: TileWork) -> NDArray[np.float32]:
    return work.change(block)


def planes_in_order(image: LazyArray, layout: PlaneLayout) -> tuple[LazyArray, list[str]]:
    """Bring the axes of an image into the order (C, ..., Y, X, S), C and S added if missing.

    Returns
    -------
    The image, each plane in chunks of its own; and its own axes in their new order.
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
    """Values along one axis of `array`, ready to be multiplied with it."""
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
