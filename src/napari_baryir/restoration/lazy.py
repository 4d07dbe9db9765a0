"""Restore dask arrays lazily: one task per tile, blended lazily.

A tile is computed once, however many chunks of the result it touches. The result is that of an
array in memory, but for two things that need more than a tile: tiles of one value are left alone
(in memory, planes of one value), and NaN and inf are filled from within their tile (in memory, from
the row of tiles).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import dask.array
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from napari_baryir.devices import choose_device, choose_precision
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.reduction import area_weights, mean_of_data, with_data
from napari_baryir.imaging.tiles import TileGrid, pad_to
from napari_baryir.network.scene import scene_size
from napari_baryir.restoration.engine import MemoryAware, TileEngine
from napari_baryir.restoration.lazy_tiles import (
    LazyArray,
    as_image,
    blend_tiles,
    cut_tiles,
    planes_in_order,
)
from napari_baryir.restoration.plan import Plan
from napari_baryir.restoration.planes import add_change, to_unit
from napari_baryir.restoration.portable_model import PortableModel

da: Any = dask.array
"""Most of dask is not annotated."""

_engines: dict[tuple[Any, ...], MemoryAware] = {}
"""The networks of this process; the latest few, since each may hold a GPU's memory."""

_MOST_ENGINES = 2

# One tile at a time in each process: torch uses all cores by itself, and memory is chosen for one.
one_tile = threading.Lock()


@dataclass(frozen=True)
class Tiles:
    """A recipe for computing tiles in any process: it travels there and makes its engine."""

    kind: type[MemoryAware]
    options: dict[str, Any]
    """Arguments that only this kind of engine has."""
    model: PortableModel
    token: str
    """The same text for the same weights."""
    device: str
    """The device that was asked for; "auto" is decided where the task runs."""
    precision: str
    overlap: int

    @classmethod
    def of(cls, plan: Plan, kind: type[MemoryAware], **options: Any) -> Tiles:
        """Take over the settings of a plan."""
        asked, model = plan.options.asked, plan.model
        asked_for = str(asked.device), asked.precision
        return cls(kind, options, model, model.token(), *asked_for, plan.grid.overlap)

    @property
    def key(self) -> tuple[Any, ...]:
        """Return values that distinguish engines."""
        own = tokenize(self.options)
        return (self.kind.__name__, own, self.token, self.device, self.precision, self.overlap)

    def engine(self) -> MemoryAware:
        """Return the engine of this process; call it while holding `one_tile`."""
        engine = _engines.pop(self.key, None)
        if engine is None:
            device = choose_device(self.device)
            precision = choose_precision(self.precision, device)
            engine = self.kind(
                self.model.load(), device, precision, overlap=self.overlap, **self.options
            )
        _engines[self.key] = engine  # now the latest
        while len(_engines) > _MOST_ENGINES:
            del _engines[next(iter(_engines))]
        return engine


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
        unit = to_unit(block.reshape(h, w, colours), self.intensity, denoise=self.denoise)
        padded = pad_to(unit, self.grid.rows[0].size, self.grid.columns[0].size)
        with one_tile:
            engine = self.tiles.engine()
            engine.corner = row.start, column.start
            if engine.scene_side:
                small = picture.reshape(picture.shape[-3:])
                engine.see_plane(small, self.grid.height, self.grid.width)
            answer = engine.values(padded)
        cell = len(padded) // len(answer)
        answer = answer[: -(-h // cell), : -(-w // cell)]
        return answer.reshape(*block.shape[:-3], *answer.shape)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        intensity = (self.intensity.low, self.intensity.high, self.intensity.no_data)
        return ("TileWork", self.tiles.key, self.grid, intensity, self.denoise)


def compute_tiles(
    plan: Plan, tiles: Tiles, planes: LazyArray, channel: int, *, cell: int, depth: int
) -> LazyArray:
    """Compute and blend the tiles of one channel when its chunks are computed.

    `planes` is the image from `planes_in_order`, (C, ..., Y, X, S), `channel` which C. To (1, ...,
    Y / cell, X / cell, depth) float32, whose chunks start where tiles do.
    """
    colours, intensity = _colours(plan, planes, channel), plan.intensities[channel]
    cut = cut_tiles(colours, plan.grid)
    down, right = (tuple(-(-n // cell) for n in cut.chunks[axis]) for axis in (-3, -2))
    computed = da.map_blocks(
        TileWork(tiles, plan.grid, intensity, tiles.kind is TileEngine and plan.denoises),
        cut,
        _pictures(plan, colours, intensity),
        dtype=np.float32,
        meta=_empty(planes),
        chunks=(*cut.chunks[:-3], down, right, (depth,)),
    )
    return blend_tiles(computed, plan.grid.coarser(cell) if cell > 1 else plan.grid)


def _colours(plan: Plan, planes: LazyArray, channel: int) -> LazyArray:
    return planes[channel : channel + 1, ..., : plan.layout.colours]


def _empty(like: LazyArray, dtype: Any = np.float32) -> NDArray[Any]:
    return np.empty((0,) * like.ndim, dtype)


def _pictures(plan: Plan, colours: LazyArray, intensity: IntensityMap) -> LazyArray:
    """Reduce each plane: (1, ..., Y, X, C) to (1, ..., h, w, C), one chunk a plane."""
    side = int(getattr(plan.model.module, "scene_side", 0))
    if not side:
        nothing = da.zeros((*colours.shape[:-3], 1, 1, 1), dtype=np.float32, chunks=1)
        return nothing.rechunk(dict(enumerate(colours.chunks[:-3])))
    height, width = colours.shape[-3:-1]
    unit = da.map_blocks(
        _with_data,
        colours.rechunk({colours.ndim - 1: -1}),
        intensity,
        dtype=np.float32,
        meta=_empty(colours),
        chunks=(*colours.chunks[:-1], (colours.shape[-1] + 1,)),
    )
    down, right = (
        da.from_array(area_weights(length, n), chunks=(n, chunks))
        for length, n, chunks in zip(
            (height, width), scene_size(height, width, side), unit.chunks[-3:-1], strict=True
        )
    )
    narrow = da.einsum("...hwc,jw->...hjc", unit, right)
    last = dict.fromkeys(range(colours.ndim - 3, colours.ndim), -1)
    sums = da.einsum("...hjc,ih->...ijc", narrow, down).rechunk(last)
    return da.map_blocks(
        _mean_of_data, sums, dtype=np.float32, meta=_empty(colours),
        chunks=(*sums.chunks[:-1], (colours.shape[-1],)),
    )  # fmt: skip


def restore_lazily(plan: Plan) -> LazyArray:
    """Return the lazy result, of the image's shape, dtype and axes."""
    removed, ensemble = plan.removed, plan.options.asked.ensemble
    tiles = Tiles.of(plan, TileEngine, ensemble=ensemble, removed=removed, skip_empty=True)
    planes, order = planes_in_order(plan.options.image, plan.layout)
    channels = [_restore_channel(plan, tiles, planes, c) for c in range(len(plan.intensities))]
    restored = da.concatenate(channels).astype(planes.dtype)  # joining loses a foreign byte order
    return as_image(restored, plan.layout, order)


def _restore_channel(plan: Plan, tiles: Tiles, planes: LazyArray, channel: int) -> LazyArray:
    """Restore one channel of (C, ..., Y, X, S), to (1, ..., Y, X, S)."""
    layout = plan.layout
    change = compute_tiles(plan, tiles, planes, channel, cell=1, depth=layout.colours)
    restored = da.map_blocks(
        _add_change,
        _colours(plan, planes, channel).rechunk(change.chunks),
        change,
        plan.intensities[channel],
        plan.options.asked.strength,
        plan.denoises,
        dtype=planes.dtype,
        meta=_empty(planes, planes.dtype),
    )
    if layout.samples == layout.colours:
        return restored
    alpha = planes[channel : channel + 1, ..., layout.colours :].rechunk((*change.chunks[:-1], -1))
    return da.concatenate([restored, alpha], axis=-1).rechunk({planes.ndim - 1: -1})


def _add_change(
    colours: NDArray[Any],
    change: NDArray[np.float32],
    intensity: IntensityMap,
    strength: float,
    denoise: bool,
) -> NDArray[Any]:
    """Add changes to a block (..., h, w, C)."""
    planes, changes = (each.reshape(-1, *each.shape[-3:]) for each in (colours, change))
    pairs = zip(planes, changes, strict=True)
    restored = [add_change(*pair, intensity, strength, denoise) for pair in pairs]
    return np.stack(restored).reshape(colours.shape).astype(colours.dtype, copy=False)


def _with_data(block: NDArray[Any], intensity: IntensityMap) -> NDArray[np.float32]:
    """Map a block (..., h, w, C) to about [0, 1], as `to_unit`, and mark where there is data."""
    planes = block.reshape(-1, *block.shape[-3:])
    marked = [with_data(to_unit(p, intensity), intensity.missing(p)) for p in planes]
    return np.stack(marked).reshape(*block.shape[:-1], -1)


def _mean_of_data(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the reduced pictures of a block, (..., h, w, C + 1) to (..., h, w, C)."""
    planes = sums.reshape(-1, *sums.shape[-3:])
    return np.stack([mean_of_data(p) for p in planes]).reshape(*sums.shape[:-1], -1)
