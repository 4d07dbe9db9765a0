"""Make lazy arrays of files; only this module meets dask's untyped functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.array.core import slices_from_chunks
from dask.base import normalize_token

from napari_baryir.errors import InputError
from napari_baryir.files.reading import damage_reported
from napari_baryir.imaging.checks import is_dask

MOST_CHUNKS = 10**7
"""Along all axes together; dask lists them, and a file may claim any number."""


@dataclass(frozen=True)
class _Pixels:
    """A zarr array of a file, which says of damaged chunks what they are damaged in."""

    stored: Any
    path: Path
    title: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stored.shape)

    @property
    def ndim(self) -> int:
        return len(self.stored.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.stored.dtype)
        return dtype

    def __getitem__(self, key: Any) -> Any:
        with damage_reported(self.path, self.title):
            return self.stored[key]

    def __dask_tokenize__(self) -> Any:
        return normalize_token(self.stored)


def lazy_array(stored: Any, path: Path | None = None, title: str = "") -> Any:
    """Return a dask array over a zarr array, one block per chunk.

    `path` and `title`, the file that it is a part of and its format, are for errors that come when
    it is computed. Raises `InputError` if there are too many chunks.
    """
    chunks = sum(-(-n // step) for n, step in zip(stored.shape, stored.chunks, strict=True))
    if chunks > MOST_CHUNKS:
        raise InputError(
            f"an array of shape {stored.shape} in chunks of {stored.chunks} is cut too finely; "
            "store it in larger chunks"
        )
    if path is None:
        return da.from_zarr(stored)
    return da.from_array(_Pixels(stored, path, title), chunks=stored.chunks)


def mapped_lazily(mapped: Any) -> Any:
    """Return a dask array over an array that is mapped from a file."""
    return da.from_array(mapped, name=False)


def read_lazily(
    read: Callable[[tuple[slice, ...]], Any], blocks: Sequence[Sequence[int]], dtype: Any
) -> Any:
    """Return a dask array whose blocks, given by their lengths along each axis, `read` fetches."""

    def block(block_info: Any) -> Any:
        return read(tuple(slice(*ends) for ends in block_info[None]["array-location"]))

    empty = np.empty((0,) * len(blocks), dtype)
    return da.map_blocks(block, chunks=tuple(map(tuple, blocks)), dtype=dtype, meta=empty)


def store_in_turn(lazy: Any, target: Any) -> None:
    """Compute a dask array into an array, some blocks at a time, which are written in turn.

    By a scheduler that the user has set, one block at a time: its processes cannot write here.
    """
    if dask.config.get("scheduler", None) is None:
        da.store(lazy, target, lock=True)
        return
    for block in slices_from_chunks(lazy.chunks):
        target[block] = lazy[block].compute()


def store_lazily(values: Any, stored: Any) -> None:
    """Write an array, NumPy or dask, into a zarr array, some chunks at a time."""
    pieces = stored.shards or stored.chunks
    lazy, scheduler = values, None
    if not is_dask(values):
        lazy, scheduler = da.from_array(values, chunks=pieces, name=False), "threads"  # it is here
    # Blocks that are whole chunks (shards) never meet in one file, so no lock is needed.
    da.store(lazy.rechunk(pieces), stored, lock=False, scheduler=scheduler)


def averaged(lazy: Any, shape: Sequence[int]) -> Any:
    """Bring a dask array to a smaller shape by means over blocks; integers are rounded."""
    factors = [max(1, round(n / small)) for n, small in zip(lazy.shape, shape, strict=True)]
    needed = [small * factor for small, factor in zip(shape, factors, strict=True)]
    cut = lazy[tuple(slice(0, n) for n in needed)]
    margins = [(0, n - have) for n, have in zip(needed, cut.shape, strict=True)]
    if any(after for _, after in margins):
        cut = da.pad(cut, margins, mode="edge")
    # Chunks whose sides are multiples of the factors.
    sides = tuple(
        -(-max(sizes) // factor) * factor for sizes, factor in zip(cut.chunks, factors, strict=True)
    )
    means = da.coarsen(np.mean, cut.rechunk(sides), dict(enumerate(factors)))
    if lazy.dtype.kind in "ui":
        means = means.round()
    return means.astype(lazy.dtype)
