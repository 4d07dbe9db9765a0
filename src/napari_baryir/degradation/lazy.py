"""Estimate dask arrays lazily: one task per tile, stitched lazily on the grid of cells.

The result is that of an array in memory but for what `napari_baryir.restoration.lazy` says, and
planes of one value: here each tile of one value is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, overload

import dask.array
import numpy as np
from numpy.typing import NDArray

from napari_baryir.degradation.calibration import Calibration, Reading, pool
from napari_baryir.degradation.estimator import PARTS, EstimateEngine
from napari_baryir.restoration.lazy import Tiles, compute_tiles
from napari_baryir.restoration.lazy_tiles import LazyArray, as_image, planes_in_order
from napari_baryir.restoration.plan import Plan

da: Any = dask.array
"""Most of dask is not annotated."""

Array = NDArray[np.float32]
Value = TypeVar("Value")


class ValuesOfPlanes(Sequence[Value], Generic[Value]):
    """One value per plane, made by `evaluate` when it is asked for, and then kept.

    `maps` is dask, (..., and the plane's own `inner` axes).
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
            found = np.unravel_index(number, self._outer) if self._outer else ()
            index = tuple(int(i) for i in found)
            self._known[number] = self._evaluate(np.asarray(self._maps[index]))
        return self._known[number]

    def __repr__(self) -> str:
        return f"<{len(self)} planes, {len(self._known)} of them computed>"


def estimate_lazily(plan: Plan, reading: Reading) -> tuple[LazyArray, LazyArray]:
    """Return lazy probabilities (..., K, h, w) and severity (..., h, w)."""
    planes, order = planes_in_order(plan.options.image, plan.layout)
    tiles = Tiles.of(plan, EstimateEngine, subspace=reading.subspace, contributions=False)
    cell, depth = plan.grid.multiple, len(reading.subspace) + 1
    channels = [
        _judged(compute_tiles(plan, tiles, planes, channel, cell=cell, depth=depth), reading)
        for channel in range(len(plan.intensities))
    ]
    judged = da.concatenate(channels)  # (C, ..., K + 1, h, w), to the image's order of axes
    judged = judged if "C" in order else judged[0]
    leading = [a for a in order if a not in "YXS"]
    wanted = [leading.index(plan.layout.axes[i]) for i in plan.layout.outer]
    judged = judged.transpose([*wanted, *range(len(leading), len(leading) + 3)])
    return judged[..., :-1, :, :], judged[..., -1, :, :]


def contributions_lazily(plan: Plan, reading: Reading) -> list[LazyArray]:
    """Return lazy maps of the image's shape, in the order of `PARTS`."""
    layout, intensities = plan.layout, plan.intensities
    planes, order = planes_in_order(plan.options.image, layout)
    tiles = Tiles.of(plan, EstimateEngine, subspace=reading.subspace, contributions=True)
    colours, depth = layout.colours, len(PARTS) * layout.colours
    channels = [
        compute_tiles(plan, tiles, planes, channel, cell=1, depth=depth).map_blocks(
            intensity.in_units, dtype=np.float32
        )
        for channel, intensity in enumerate(intensities)
    ]
    decoded, maps = da.concatenate(channels), []
    for part in range(len(PARTS)):
        values = decoded[..., part * colours : (part + 1) * colours]
        if layout.samples > colours:  # alpha
            none = da.zeros_like(values[..., : layout.samples - colours])
            values = da.concatenate([values, none], axis=-1)
        maps.append(as_image(values, layout, order))
    return maps


def _judged(cells: LazyArray, reading: Reading) -> LazyArray:
    """Turn cells (1, ..., h, w, d + 1) into estimates, (1, ..., K + 1, h, w)."""
    calibration = reading.calibration
    y, x, last = cells.ndim - 3, cells.ndim - 2, cells.ndim - 1
    # Along an axis that is not cut there is nothing to share, and dask refuses short ones.
    reach = calibration.window // 2
    depth = {axis: reach if cells.numblocks[axis] > 1 else 0 for axis in (y, x)}
    cells = da.overlap.overlap(cells, depth=depth, boundary="none")
    judged = da.map_blocks(
        _judge,
        cells,
        calibration,
        dtype=np.float32,
        meta=np.empty((0,) * cells.ndim, np.float32),
        chunks=(*cells.chunks[:-1], (len(calibration.names) + 1,)),
    )
    return da.moveaxis(da.overlap.trim_internal(judged, depth, boundary="none"), last, y)


def _judge(block: Array, calibration: Calibration) -> Array:
    """Turn cells (..., h, w, d + 1) into probabilities and severity, (..., h, w, K + 1)."""
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
