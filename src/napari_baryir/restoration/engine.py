"""One tile through the network, at any size that memory allows."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_baryir.devices import SMALLEST_TILE, Precision, is_out_of_memory, release_memory
from napari_baryir.errors import DeviceError
from napari_baryir.imaging.tiles import TileGrid
from napari_baryir.network.layers import on_device
from napari_baryir.network.scene import at_place

logger = logging.getLogger(__name__)

Turn = Callable[[Tensor], Tensor]
"""Flips and turns maps (..., H, W)."""


class MemoryAware(ABC):
    """Computes something of a tile, in parts where memory runs out.

    A network that looks at scenes is shown each plane first, reduced (`see_plane`), and learns
    where each tile lies in it (`corner`). The model is used as it is if it is on `device` and in
    evaluation mode, else a copy; ``model.size_multiple`` is its grid. `overlap` is that of tiles
    that had to be halved, pixels.
    """

    def __init__(
        self, model: nn.Module, device: torch.device, precision: Precision, *, overlap: int = 48
    ) -> None:
        self.model = _ready(model, device)
        self.device = device
        self.precision = precision
        self.overlap = overlap
        self.multiple = int(cast(Any, model).size_multiple)
        self.largest: int | None = None
        """Greatest side that was found to fit, in pixels; None while nothing has failed."""
        self.scene_side = int(getattr(model, "scene_side", 0))
        """Long side of the reduced pictures that `see_plane` wants; 0 where it is not needed."""
        self.corner = (0, 0)
        """Top and left of the next tile in its plane, pixels."""
        self._scene: Any = None
        self._plane = (1, 1)
        self._picture: NDArray[np.float32] | None = None

    def see_plane(self, picture: NDArray[np.float32], height: int, width: int) -> None:
        """Decide what is coarse in the plane, `height` by `width` pixels, whose tiles come next.

        `picture` is the whole plane reduced to `scene_size`, (h, w, 1 or 3) float32, finite.
        """
        self._plane = height, width
        if self._picture is not None and np.array_equal(self._picture, picture):
            return
        with torch.inference_mode(), self.autocast():
            self._scene = self._look(self.input_tensor(picture))
        self._picture = picture

    def _look(self, reduced: Tensor) -> Any:
        """Return the decision to keep for a plane."""
        return cast(Any, self.model).look(reduced)

    def place(self, tile_height: int, tile_width: int) -> Tensor:
        """Return where a tile at `corner` lies, (1, 4), as parts of its plane."""
        height, width = self._plane
        top, left = self.corner
        parts = (top / height, left / width, tile_height / height, tile_width / width)
        return torch.tensor([parts], device=self.device)

    @abstractmethod
    def _run(self, tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Compute a tile at once: maps (h, w, ...), of the tile's grid or of a coarser one."""

    @abstractmethod
    def values(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a tile (H, W, C) of a lazy image: to (H, W, depth), or to (H/8, W/8, depth)."""

    def compute(self, tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Compute a tile, (H, W, C) float32, in parts if it has to be.

        Raises `DeviceError` if memory runs out at the smallest tile.
        """
        while self.largest is None or max(tile.shape[:2]) <= self.largest:
            try:
                return self._run(tile)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the except block, whose traceback would keep the memory alive.
            self._shrink(max(tile.shape[:2]))
        return self._in_parts(tile, self.largest)

    def _shrink(self, failed: int) -> None:
        if failed <= SMALLEST_TILE:
            raise DeviceError(
                f"{self.device} is out of memory even for a tile of {failed} pixels; "
                "close other programs, use a smaller model, or another device ('cpu')"
            )
        half = failed // 2 // self.multiple * self.multiple
        self.largest = max(SMALLEST_TILE, half)
        logger.warning(
            "%s: a tile of %d pixels does not fit into memory; going on with %d",
            self.device,
            failed,
            self.largest,
        )
        release_memory(self.device)

    def _in_parts(self, tile: NDArray[np.float32], side: int) -> tuple[NDArray[np.float32], ...]:
        overlap = min(self.overlap, side // 4)
        height, width = tile.shape[:2]
        top, left = self.corner
        grid = TileGrid(height, width, side, overlap, self.multiple)
        totals: list[NDArray[np.float32]] = []
        grids: list[TileGrid] = []
        for i, row in enumerate(grid.rows):
            for j, column in enumerate(grid.columns):
                part = tile[row.start : row.stop, column.start : column.stop]
                self.corner = top + row.start, left + column.start
                for number, values in enumerate(self.compute(part)):
                    if number == len(totals):
                        cell = row.size // values.shape[0]
                        grids.append(grid.coarser(cell))
                        whole = (height // cell, width // cell, *values.shape[2:])
                        totals.append(np.zeros(whole, np.float32))
                    grids[number].blend(totals[number], values, i, j)
        self.corner = top, left
        return tuple(totals)

    def input_tensor(self, tile: NDArray[np.float32]) -> Tensor:
        """Turn a tile (H, W, 1 or 3) into the network's input, (1, 3, H, W), on the device."""
        pixels = torch.from_numpy(np.ascontiguousarray(tile)).to(self.device)
        x = pixels.permute(2, 0, 1)[None].expand(1, 3, -1, -1)
        return x.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes in `precision`."""
        dtype = getattr(torch, self.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "float32")

    def require_finite(self, answer: NDArray[np.float32]) -> None:
        """Raise `DeviceError` where the network's answer overflowed."""
        if not np.isfinite(answer).all():
            raise DeviceError(
                f"the network's answer in {self.precision} is not finite; use precision='float32'"
            )


class TileEngine(MemoryAware):
    """Computes what a network changes in a tile.

    It works with changes, restored minus degraded in [0, 1], since adding these to the original
    loses nothing to float32 and makes blending, strength and NaN simple. `ensemble` averages over
    the 8 flips and rotations. `removed` is the amount of each of the network's degradations to
    remove, 0 to 1; None for all of all. `skip_empty` leaves tiles alone in which every value is the
    same: for lazy images, whose whole planes cannot be checked for this.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        precision: Precision,
        *,
        ensemble: bool = False,
        removed: tuple[float, ...] | None = None,
        overlap: int = 48,
        skip_empty: bool = False,
    ) -> None:
        super().__init__(model, device, precision, overlap=overlap)
        self.ensemble = ensemble
        self.removed = None if removed is None else torch.tensor([removed], device=device)
        self.skip_empty = skip_empty

    def change(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute what the network changes in a tile: restored minus `tile`.

        Both are (H, W, C) float32, about [0, 1], finite; H and W multiples of `multiple`, C 1 or 3.
        Grey is shown to the network in all three channels, and its three answers are averaged.
        Raises `DeviceError` if memory runs out at the smallest tile, or the network's answer is not
        finite.
        """
        return self.compute(tile)[0]

    def values(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.change(tile)

    def _run(self, tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        if self.skip_empty and (tile == tile[:1, :1]).all():
            return (np.zeros_like(tile),)
        # Entered per tile: both are per thread and must not outlive a yield of our callers.
        with torch.inference_mode():
            x = self.input_tensor(tile)
            restored = self._ensemble(x) if self.ensemble else self._restore(x)
            change = restored - x
            if tile.shape[2] == 1:
                change = change.mean(dim=1, keepdim=True)
            answer = change[0].permute(1, 2, 0).contiguous().cpu().numpy()
        self.require_finite(answer)
        return (answer,)

    def _restore(
        self, x: Tensor, size: tuple[int, int] | None = None, turned: Turn = lambda maps: maps
    ) -> Tensor:
        """Restore a tile, of `size` before it was turned as `turned` turns maps."""
        network = cast(Any, self.model)
        with self.autocast():
            if self._scene is None and self.removed is None:
                restored: Tensor = network(x).restored
            else:
                latents = network.encode(x)
                restored = network.decode(
                    x, latents, removed=self.removed, **self._seen(size or _size(x), turned)
                )
        return restored.float()

    def _seen(self, size: tuple[int, int], turned: Turn) -> dict[str, Any]:
        """Return the scene as the tile sees it: its maps at the tile's own pixels."""
        if self._scene is None:
            return {}
        maps = at_place(self._scene.maps, self.place(*size), size)
        return {"scene": self._scene._replace(maps=turned(maps))}

    def _ensemble(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for turns in range(4):
            for mirrored in (False, True):

                def turned(maps: Tensor, turns: int = turns, mirrored: bool = mirrored) -> Tensor:
                    return torch.rot90(maps.flip(-1) if mirrored else maps, turns, (-2, -1))

                seen = turned(x).contiguous(memory_format=torch.channels_last)
                back = torch.rot90(self._restore(seen, _size(x), turned), -turns, (-2, -1))
                total += back.flip(-1) if mirrored else back
        return total / 8


def _ready(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the network on a device and in evaluation mode, without touching the caller's."""
    tensors = [*model.parameters(), *model.buffers()]
    if not model.training and all(_same_device(t.device, device) for t in tensors):
        return model
    return on_device(copy.deepcopy(model), device).eval()


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[2], x.shape[3]


def _same_device(a: torch.device, b: torch.device) -> bool:
    return a.type == b.type and (a.index or 0) == (b.index or 0)
