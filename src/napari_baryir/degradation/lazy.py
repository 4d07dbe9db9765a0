"""Estimate dask arrays lazily: one task per tile, stitched lazily on the grid of cells.

The result is that of an array in memory but for what `napari_baryir.restoration.lazy` says: NaN
and inf are filled from within their tile. A plane of one value is seen by its cells: where they
are all the same there is nothing to judge in memory; here each tile of one value is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import dask.array
import numpy as np
import torch
from numpy.typing import NDArray

from napari_baryir.degradation.calibration import Calibration, Reading, pool
from napari_baryir.degradation.estimator import PARTS, EstimateEngine
from napari_baryir.devices import Precision
from napari_baryir.restoration.engine import MemoryAware
from napari_baryir.restoration.lazy import TiledPlanes, Tiles, common_settings
from napari_baryir.restoration.lazy_tiles import LazyArray, planes_in_order
from napari_baryir.restoration.options import Plan

da: Any = dask.array
"""Most of dask is not annotated."""

Array = NDArray[np.float32]
Value = TypeVar("Value")


class ValuesOfPlanes(Sequence[Value], Generic[Value]):
    """One value per plane, computed when it is asked for, and then kept.

    Parameters
    ----------
    maps
        Dask, (..., and the plane's own axes).
    inner
        Number of axes that a plane has.
    evaluate
        Makes a value of a plane.
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
class EstimateTiles(Tiles):
    """Tiles to projected residuals, each followed by 1 where the tile is of one value, else 0.

    Or, with contributions, to those maps, (H, W, 5 C).
    """

    subspace: Array
    contributions: bool

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.contributions, self.subspace.tobytes())

    def make(self, device: torch.device, precision: Precision) -> MemoryAware:
        return EstimateEngine(
            self.source.load(),
            device,
            precision,
            self.subspace,
            overlap=self.overlap,
            contributions=self.contributions,
        )

    def values(self, engine: MemoryAware, tile: Array) -> Array:
        cells, *decoded = engine.compute(tile)
        if decoded:
            return decoded[0].reshape(*tile.shape[:2], -1)
        empty = np.full((*cells.shape[:2], 1), (tile == tile[:1, :1]).all(), np.float32)
        return np.concatenate([cells, empty], axis=-1)


@dataclass(frozen=True)
class LazyEstimator:
    """Estimates a dask array plane by plane, as in memory, when its chunks are computed."""

    plan: Plan
    reading: Reading

    def _planes(self, *, contributions: bool) -> TiledPlanes:
        settings = common_settings(self.plan)
        tiles = EstimateTiles(*settings, self.reading.subspace, contributions)
        return TiledPlanes(self.plan.options.layout, self.plan.grid, tiles)

    def estimate(self) -> tuple[LazyArray, LazyArray]:
        """Return lazy probabilities (..., K, h, w) and severity (..., h, w)."""
        layout = self.plan.options.layout
        planes, order = planes_in_order(self.plan.options.image, layout)
        work = self._planes(contributions=False)
        channels = [
            self._judge(
                work.compute(
                    planes[number : number + 1, ..., : layout.colours],
                    intensity,
                    cell=self.plan.grid.multiple,
                    depth=len(self.reading.subspace) + 1,
                )
            )
            for number, intensity in enumerate(self.plan.intensities)
        ]
        judged = self._as_image(da.concatenate(channels), order)
        return judged[..., :-1, :, :], judged[..., -1, :, :]

    def contributions(self) -> list[LazyArray]:
        """Return lazy maps of the image's shape, in the order of `PARTS`."""
        layout = self.plan.options.layout
        planes, order = planes_in_order(self.plan.options.image, layout)
        colours = layout.colours
        work = self._planes(contributions=True)
        decoded = da.concatenate(
            [
                work.compute(
                    planes[number : number + 1, ..., :colours],
                    intensity,
                    cell=1,
                    depth=len(PARTS) * colours,
                ).map_blocks(intensity.in_units, dtype=np.float32)
                for number, intensity in enumerate(self.plan.intensities)
            ]
        )
        maps = []
        for part in range(len(PARTS)):
            values = decoded[..., part * colours : (part + 1) * colours]
            if layout.samples > colours:  # alpha
                none = da.zeros_like(values[..., : layout.samples - colours])
                values = da.concatenate([values, none], axis=-1)
            values = values if "S" in order else values[..., 0]
            values = values if "C" in order else values[0]
            maps.append(values.transpose([order.index(a) for a in layout.axes]))
        return maps

    def _judge(self, cells: LazyArray) -> LazyArray:
        """Turn cells (1, ..., h, w, d + 1) into estimates, (1, ..., K + 1, h, w)."""
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
        """Bring (C, ..., K, h, w) into the image's order of its leading axes."""
        planes = planes if "C" in order else planes[0]
        leading = [a for a in order if a not in "YXS"]
        layout = self.plan.options.layout
        wanted = [leading.index(layout.axes[i]) for i in layout.outer]
        inner = range(len(leading), len(leading) + 3)
        return planes.transpose([*wanted, *inner])


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
