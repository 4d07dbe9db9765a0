"""Restore dask arrays lazily: one task per tile, blended lazily.

A tile is computed once, however many chunks of the result it touches. The result is that of an
array in memory, but for two things that need more than a tile: tiles of one value are
left alone (in memory, planes of one value), and NaN and inf are filled from within their tile (in
memory, from the row of tiles). Tiles are read from, and their answers added into, whatever chunks
there are.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import dask.array
import numpy as np
import torch
from numpy.typing import NDArray

from napari_baryir.devices import Precision, choose_device, choose_precision
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.reduction import area_weights
from napari_baryir.imaging.tiles import TileGrid, pad_to
from napari_baryir.network.scene import scene_size
from napari_baryir.restoration.engine import MemoryAware, TileEngine
from napari_baryir.restoration.lazy_tiles import (
    LazyArray,
    blend_tiles,
    cut_tiles,
    planes_in_order,
)
from napari_baryir.restoration.model_source import ModelSource
from napari_baryir.restoration.options import Plan
from napari_baryir.restoration.planes import add_change, to_unit, without_hot_pixels

da: Any = dask.array
"""Most of dask is not annotated."""

_engines: dict[tuple[Any, ...], MemoryAware] = {}
"""The networks of this process; the latest few, since each may hold a GPU's memory."""

_MOST_ENGINES = 2

# One tile at a time in each process: torch uses all cores by itself, and memory is chosen for one.
one_tile = threading.Lock()

Engine = TypeVar("Engine", bound=MemoryAware)


def kept_engine(key: tuple[Any, ...], make: Callable[[], Engine]) -> Engine:
    """Return the engine of this process that goes by `key`; call it while holding `one_tile`."""
    engine = _engines.pop(key, None)
    if engine is None:
        engine = make()
    _engines[key] = engine  # now the latest
    while len(_engines) > _MOST_ENGINES:
        del _engines[next(iter(_engines))]
    return cast(Engine, engine)


@dataclass(frozen=True)
class Tiles(ABC):
    """A recipe for computing tiles in any process: it travels there and makes its engine."""

    source: ModelSource
    token: str
    """The same text for the same weights."""
    device: str
    """The device that was asked for; "auto" is decided where the task runs."""
    precision: str
    overlap: int

    @abstractmethod
    def make(self, device: torch.device, precision: Precision) -> MemoryAware:
        """Make an engine."""

    @abstractmethod
    def values(self, engine: MemoryAware, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a tile (H, W, C): to (H, W, depth), or to (H/8, W/8, depth)."""

    @property
    @abstractmethod
    def key(self) -> tuple[Any, ...]:
        """Return values that distinguish engines, beside the common ones."""

    def engine(self) -> MemoryAware:
        """Return the engine of this process; call it while holding `one_tile`."""
        common = (type(self).__name__, self.token, self.device, self.precision, self.overlap)
        return kept_engine((*common, *self.key), self._make)

    def _make(self) -> MemoryAware:
        device = choose_device(self.device)
        return self.make(device, choose_precision(self.precision, device))


@dataclass(frozen=True)
class RestoreTiles(Tiles):
    """Tiles to what a network changes in them."""

    ensemble: bool
    removed: tuple[float, ...] | None

    @classmethod
    def of(cls, plan: Plan) -> RestoreTiles:
        """Take over what a plan says."""
        asked = plan.options.asked
        return cls(*common_settings(plan), bool(asked.ensemble), plan.removed)

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.ensemble, self.removed)

    def make(self, device: torch.device, precision: Precision) -> MemoryAware:
        return TileEngine(
            self.source.load(),
            device,
            precision,
            ensemble=self.ensemble,
            removed=self.removed,
            overlap=self.overlap,
            skip_empty=True,
        )

    def values(self, engine: MemoryAware, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return cast("TileEngine", engine).change(tile)


def common_settings(plan: Plan) -> tuple[ModelSource, str, str, str, int]:
    """Return the first fields of `Tiles`."""
    asked = plan.options.asked
    return (
        plan.source,
        plan.source.token(),
        str(asked.device),
        asked.precision,
        plan.grid.overlap,
    )


@dataclass(frozen=True)
class TileWork:
    """A task for one tile; it travels to other processes."""

    tiles: Tiles
    grid: TileGrid
    intensity: IntensityMap
    denoise: bool
    """Whether to mend hot pixels."""

    def __call__(
        self,
        block: NDArray[Any],
        picture: NDArray[np.float32],
        block_id: tuple[int, ...] | None = None,
    ) -> NDArray[np.float32]:
        """Compute the tile in a block (..., h, w, C), of a plane with the reduced `picture`."""
        assert block_id is not None
        h, w, colours = block.shape[-3:]
        row, column = self.grid.rows[block_id[-3]], self.grid.columns[block_id[-2]]
        values = block.reshape(h, w, colours)
        mended = without_hot_pixels(values, self.intensity) if self.denoise else values
        unit = to_unit(mended, self.intensity)
        padded = pad_to(unit, self.grid.rows[0].size, self.grid.columns[0].size)
        with one_tile:
            engine = self.tiles.engine()
            engine.corner = row.start, column.start
            if engine.scene_side:
                small = picture.reshape(picture.shape[-3:])
                engine.see_plane(small, self.grid.height, self.grid.width)
            answer = self.tiles.values(engine, padded)
        cell = len(padded) // len(answer)
        answer = answer[: -(-h // cell), : -(-w // cell)]
        return answer.reshape(*block.shape[:-3], *answer.shape)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        tiles = self.tiles
        settings = (type(tiles).__name__, tiles.token, tiles.device, tiles.precision, *tiles.key)
        intensity = (self.intensity.low, self.intensity.high)
        return ("TileWork", settings, self.grid, intensity, self.denoise)


@dataclass(frozen=True)
class TiledPlanes:
    """Computes a dask array plane by plane, as in memory, when its chunks are computed."""

    layout: PlaneLayout
    grid: TileGrid
    tiles: Tiles

    def compute(
        self,
        colours: LazyArray,
        intensity: IntensityMap,
        *,
        cell: int,
        depth: int,
        denoise: bool = False,
    ) -> LazyArray:
        """Compute and blend the tiles of one channel.

        Parameters
        ----------
        colours
            (1, ..., Y, X, C).
        intensity
            The intensity map of the channel.
        cell, depth
            Pixels a side for each value of the result, and its last length.
        denoise
            Whether to mend hot pixels.

        Returns
        -------
        (1, ..., Y / cell, X / cell, depth) float32; chunks start where tiles do.
        """
        tiles = cut_tiles(colours, self.grid)
        down, right = (tuple(-(-n // cell) for n in tiles.chunks[axis]) for axis in (-3, -2))
        computed = da.map_blocks(
            TileWork(self.tiles, self.grid, intensity, denoise),
            tiles,
            self._pictures(colours, intensity),
            dtype=np.float32,
            meta=np.empty((0,) * colours.ndim, np.float32),
            chunks=(*tiles.chunks[:-3], down, right, (depth,)),
        )
        return blend_tiles(computed, self.grid.coarser(cell) if cell > 1 else self.grid)

    def _pictures(self, colours: LazyArray, intensity: IntensityMap) -> LazyArray:
        """Reduce each plane: (1, ..., Y, X, C) to (1, ..., h, w, C), one chunk a plane."""
        side = int(getattr(self.tiles.source.module, "scene_side", 0))
        ones = dict.fromkeys(range(colours.ndim - 3, colours.ndim), -1)
        if not side:
            nothing = da.zeros((*colours.shape[:-3], 1, 1, 1), dtype=np.float32, chunks=1)
            return nothing.rechunk(dict(enumerate(colours.chunks[:-3])))
        height, width = colours.shape[-3:-1]
        size = scene_size(height, width, side)
        meta = np.empty((0,) * colours.ndim, np.float32)
        unit = da.map_blocks(to_unit_of_block, colours, intensity, dtype=np.float32, meta=meta)
        down, right = (
            da.from_array(area_weights(length, n), chunks=(n, chunks))
            for length, n, chunks in zip(
                (height, width), size, (unit.chunks[-3], unit.chunks[-2]), strict=True
            )
        )
        narrow = da.einsum("...hwc,jw->...hjc", unit, right)
        return da.einsum("...hjc,ih->...ijc", narrow, down).rechunk(ones)

    def restore(
        self,
        image: LazyArray,
        intensities: tuple[IntensityMap, ...],
        strength: float,
        denoise: bool,
    ) -> LazyArray:
        """Return the lazy result, of the shape, dtype and axes of `image`."""
        planes, order = planes_in_order(image, self.layout)
        restored = da.concatenate(
            [
                self._restore_channel(planes[number : number + 1], intensity, strength, denoise)
                for number, intensity in enumerate(intensities)
            ]
        )
        if "S" not in order:
            restored = restored[..., 0]
        if "C" not in order:
            restored = restored[0]
        return restored.transpose([order.index(a) for a in self.layout.axes])

    def _restore_channel(
        self, planes: LazyArray, intensity: IntensityMap, strength: float, denoise: bool
    ) -> LazyArray:
        """Restore (1, ..., Y, X, S), to the same."""
        colours = planes[..., : self.layout.colours]
        change = self.compute(
            colours, intensity, cell=1, depth=self.layout.colours, denoise=denoise
        )
        colours = colours.rechunk(change.chunks)
        restored = da.map_blocks(
            _add_change,
            colours,
            change,
            intensity,
            strength,
            denoise,
            dtype=planes.dtype,
            meta=np.empty((0,) * planes.ndim, planes.dtype),
        )
        if self.layout.samples == self.layout.colours:
            return restored
        alpha = planes[..., self.layout.colours :].rechunk((*change.chunks[:-1], -1))
        return da.concatenate([restored, alpha], axis=-1).rechunk({planes.ndim - 1: -1})


def _add_change(
    colours: NDArray[Any],
    change: NDArray[np.float32],
    intensity: IntensityMap,
    strength: float,
    denoise: bool,
) -> NDArray[Any]:
    """Add changes to blocks (..., h, w, C), whose hot pixels go where asked."""
    if denoise:
        planes = colours.reshape(-1, *colours.shape[-3:])
        mended = [without_hot_pixels(plane, intensity, strength) for plane in planes]
        colours = np.stack(mended).reshape(colours.shape)
    return add_change(colours, change, intensity, strength)


def to_unit_of_block(block: NDArray[Any], intensity: IntensityMap) -> NDArray[np.float32]:
    """Map a block (..., h, w, C) to about [0, 1], as `to_unit`."""
    planes = block.reshape(-1, *block.shape[-3:])
    return np.stack([to_unit(plane, intensity) for plane in planes]).reshape(block.shape)
