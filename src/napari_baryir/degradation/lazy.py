"""Estimate dask arrays lazily: one task per tile, stitched lazily on the grid of cells.

The result is that of an array in memory but for what `napari_baryir.restoration.lazy` says: NaN
and inf are filled from within their tile. A plane of one value is seen by its cells: where they
are all the same there is nothing to judge in memory; here each tile of one value is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, overload

import dask.array
import numpy as np
from numpy.typing import NDArray

from napari_baryir.degradation.calibration import Calibration, Reading, pool
from napari_baryir.degradation.estimator import PARTS, EstimateEngine
from napari_baryir.devices import choose_device, choose_precision
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.tiles import TileGrid, pad_to
from napari_baryir.restoration.lazy import (
    LazyArray,
    blend_tiles,
    cut_tiles,
    kept_engine,
    one_tile,
    planes_in_order,
)
from napari_baryir.restoration.model_source import ModelSource
from napari_baryir.restoration.planes import to_unit

da: Any = dask.array
"""Most of dask is not annotated."""

Array = NDArray[np.float32]
Value = TypeVar("Value")


class LazyPlanes(Sequence[Value], Generic[Value]):
    """One value per plane, computed when it is asked for, and then kept.

    Parameters
    ----------
    maps
        Dask, (..., and the plane's own axes).
    inner
        How many axes a plane has.
    evaluate
        What to make of a plane.
    """

    def __init__(self, maps: LazyArray, inner: int, evaluate: Callable[[Array], Value]) -> None:
        self._maps = maps
        self._outer = maps.shape[: maps.ndim - inner]
        self._evaluate = evaluate
        self._known: dict[int, Value] = {}

    def __len__(self) -> int:
        return int(np.prod(self._outer, dtype=int))

    @overload
    def __getitem__(self, plane: int) -> Value: ...
    @overload
    def __getitem__(self, plane: slice) -> Sequence[Value]: ...
    def __getitem__(self, plane: int | slice) -> Value | Sequence[Value]:
        if isinstance(plane, slice):
            return tuple(self[i] for i in range(*plane.indices(len(self))))
        number = plane + len(self) if plane < 0 else plane
        if not 0 <= number < len(self):
            raise IndexError(f"there is no plane {plane} among {len(self)}")
        if number not in self._known:
            place = np.unravel_index(number, self._outer) if self._outer else ()
            index = tuple(int(i) for i in place)
            self._known[number] = self._evaluate(np.asarray(self._maps[index]))
        return self._known[number]

    def __repr__(self) -> str:
        return f"<{len(self)} planes, {len(self._known)} of them computed>"


@dataclass(frozen=True)
class EstimateWork:
    """What a task needs to know; travels to other processes."""

    source: ModelSource
    token: str
    device: str
    precision: str
    overlap: int
    intensity: IntensityMap
    height: int
    """Of a whole tile; those at the end of a plane are padded to it."""
    width: int
    subspace: Array
    contributions: bool

    def compute(self, block: NDArray[Any]) -> Array:
        """A block of tiles (..., h, w, C): to cells (..., h/8, w/8, d + 1), or to (..., h, w, 5 C).

        The last number of a cell is 1 where the tile is of one value, else 0.
        """
        h, w, colours = block.shape[-3:]
        tiles = block.reshape(-1, h, w, colours)
        results = np.stack([self._tile(tile) for tile in tiles])
        return results.reshape(*block.shape[:-3], *results.shape[1:])

    def _tile(self, tile: NDArray[Any]) -> Array:
        h, w, colours = tile.shape
        padded = pad_to(to_unit(tile, self.intensity), self.height, self.width)
        with one_tile:
            engine = self._engine()
            cells, *decoded = engine.compute(padded)
        if decoded:
            maps = decoded[0][:h, :w] * np.float32(self.intensity.span)
            return maps.reshape(h, w, len(PARTS) * colours)
        cell = engine.multiple
        empty = np.full((*cells.shape[:2], 1), (padded == padded[:1, :1]).all(), np.float32)
        return np.concatenate([cells, empty], axis=-1)[: -(-h // cell), : -(-w // cell)]

    def _engine(self) -> EstimateEngine:
        key = ("estimate", self.token, self.device, self.precision, self.overlap)
        return kept_engine((*key, self.contributions, self.subspace.tobytes()), self._make_engine)

    def _make_engine(self) -> EstimateEngine:
        device = choose_device(self.device)
        return EstimateEngine(
            self.source.load(),
            device,
            choose_precision(self.precision, device),
            self.subspace,
            overlap=self.overlap,
            contributions=self.contributions,
        )

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        settings = (self.device, self.precision, self.overlap, self.contributions)
        intensity = (self.intensity.low, self.intensity.high)
        size = (self.height, self.width)
        return ("EstimateWork", self.token, settings, intensity, size, self.subspace.tobytes())


@dataclass(frozen=True)
class LazyEstimator:
    """Estimates a dask array plane by plane, as in memory, when its chunks are computed."""

    source: ModelSource
    device: str
    precision: str
    layout: PlaneLayout
    grid: TileGrid
    reading: Reading

    @cached_property
    def token(self) -> str:
        """Of the network."""
        return self.source.token()

    def estimate(
        self, image: LazyArray, intensities: tuple[IntensityMap, ...]
    ) -> tuple[LazyArray, LazyArray]:
        """Lazy probabilities (..., K, h, w) and severity (..., h, w)."""
        planes, order = planes_in_order(image, self.layout)
        cells = self.grid.coarser(self.grid.multiple)
        directions = len(self.reading.subspace) + 1
        channels = []
        for number, intensity in enumerate(intensities):
            tiles = cut_tiles(planes[number : number + 1, ..., : self.layout.colours], self.grid)
            projected = da.map_blocks(
                _compute,
                tiles,
                self._work(intensity, contributions=False),
                dtype=np.float32,
                meta=np.empty((0,) * tiles.ndim, np.float32),
                chunks=(
                    *tiles.chunks[:-3],
                    tuple(-(-n // self.grid.multiple) for n in tiles.chunks[-3]),
                    tuple(-(-n // self.grid.multiple) for n in tiles.chunks[-2]),
                    (directions,),
                ),
            )
            channels.append(self._judge(blend_tiles(projected, cells)))
        judged = self._as_image(da.concatenate(channels), order)
        return judged[..., :-1, :, :], judged[..., -1, :, :]

    def contributions(
        self, image: LazyArray, intensities: tuple[IntensityMap, ...]
    ) -> list[LazyArray]:
        """Lazy maps of the image's shape, in the order of `PARTS`."""
        planes, order = planes_in_order(image, self.layout)
        colours, channels = self.layout.colours, []
        for number, intensity in enumerate(intensities):
            tiles = cut_tiles(planes[number : number + 1, ..., :colours], self.grid)
            decoded = da.map_blocks(
                _compute,
                tiles,
                self._work(intensity, contributions=True),
                dtype=np.float32,
                meta=np.empty((0,) * tiles.ndim, np.float32),
                chunks=(*tiles.chunks[:-1], (len(PARTS) * colours,)),
            )
            channels.append(blend_tiles(decoded, self.grid))
        decoded = da.concatenate(channels)
        maps = []
        for part in range(len(PARTS)):
            values = decoded[..., part * colours : (part + 1) * colours]
            if self.layout.samples > colours:  # alpha
                none = da.zeros_like(values[..., : self.layout.samples - colours])
                values = da.concatenate([values, none], axis=-1)
            values = values if "S" in order else values[..., 0]
            values = values if "C" in order else values[0]
            maps.append(values.transpose([order.index(a) for a in self.layout.axes]))
        return maps

    def _work(self, intensity: IntensityMap, *, contributions: bool) -> EstimateWork:
        return EstimateWork(
            self.source,
            self.token,
            self.device,
            self.precision,
            self.grid.overlap,
            intensity,
            self.grid.rows[0].size,
            self.grid.columns[0].size,
            self.reading.subspace,
            contributions,
        )

    def _judge(self, cells: LazyArray) -> LazyArray:
        """Cells (1, ..., h, w, d + 1) to probabilities and severity, (1, ..., K + 1, h, w)."""
        reach = self.reading.calibration.window // 2
        y, x, last = cells.ndim - 3, cells.ndim - 2, cells.ndim - 1
        # Along an axis that is not cut there is nothing to share, and dask refuses short ones.
        depth = {axis: reach if cells.numblocks[axis] > 1 else 0 for axis in (y, x)}
        cells = da.overlap.overlap(cells, depth=depth, boundary="none")
        judged = da.map_blocks(
            _judge,
            cells,
            self.reading.calibration,
            dtype=np.float32,
            meta=np.empty((0,) * cells.ndim, np.float32),
            chunks=(*cells.chunks[:-1], (len(self.reading.calibration.names) + 1,)),
        )
        judged = da.overlap.trim_internal(judged, depth, boundary="none")
        return da.moveaxis(judged, last, y)

    def _as_image(self, planes: LazyArray, order: list[str]) -> LazyArray:
        """(C, ..., K, h, w) to the image's order of its leading axes."""
        planes = planes if "C" in order else planes[0]
        leading = [a for a in order if a not in "YXS"]
        wanted = [leading.index(self.layout.axes[i]) for i in self.layout.outer]
        inner = range(len(leading), len(leading) + 3)
        return planes.transpose([*wanted, *inner])


def _compute(block: NDArray[Any], work: EstimateWork) -> Array:
    return work.compute(block)


def _judge(block: Array, calibration: Calibration) -> Array:
    """Cells (..., h, w, d + 1) to probabilities and severity, (..., h, w, K + 1)."""
    h, w, numbers = block.shape[-3:]
    planes = []
    for cells in block.reshape(-1, h, w, numbers):
        probabilities, severity = calibration.judge_pooled(
            pool(cells[..., :-1], calibration.window)
        )
        empty = cells[..., -1] >= 1
        probabilities[:, empty] = 0
        probabilities[-1, empty] = 1
        severity[empty] = 0
        planes.append(np.concatenate([probabilities, severity[None]]))
    judged = np.moveaxis(np.stack(planes), 1, -1)
    return judged.reshape(*block.shape[:-1], judged.shape[-1])
