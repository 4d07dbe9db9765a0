"""Make lazy arrays of files; only this module meets dask's untyped functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np


def lazy_array(stored: Any) -> Any:
    """Return a dask array over a zarr array, one block per chunk."""
    return da.from_zarr(stored)  # type: ignore[no-untyped-call]


def mapped_lazily(mapped: Any) -> Any:
    """Return a dask array over an array that is mapped from a file."""
    return da.from_array(mapped, name=False)  # type: ignore[no-untyped-call]


def read_lazily(
    read: Callable[[tuple[slice, ...]], Any], blocks: Sequence[Sequence[int]], dtype: Any
) -> Any:
    """Return a dask array whose blocks, given by their lengths along each axis, `read` fetches."""

    def block(block_info: Any) -> Any:
        return read(tuple(slice(*ends) for ends in block_info[None]["array-location"]))

    empty = np.empty((0,) * len(blocks), dtype)
    return da.map_blocks(  # type: ignore[no-untyped-call]
        block, chunks=tuple(map(tuple, blocks)), dtype=dtype, meta=empty
    )


def store_lazily(lazy: Any, stored: Any) -> None:
    """Compute a dask array into a zarr array, some chunks at a time."""
    # Blocks that are whole chunks (shards) never meet in one file, so no lock is needed.
    blocks = lazy.rechunk(stored.shards or stored.chunks)
    da.store(blocks, stored, lock=False)


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
