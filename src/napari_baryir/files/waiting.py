"""Keep pixels that wait to be encoded, in memory or in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.atomic import beside, remove

IN_MEMORY = 256 * 2**20
"""Bytes up to which pixels are read at once, and wait in memory to be written; larger images are
mapped or read when needed, and wait in a file."""


@contextlib.contextmanager
def waiting_pixels(
    shape: tuple[int, ...], dtype: np.dtype[Any], aside: Path
) -> Iterator[NDArray[Any]]:
    """Give zeros to fill before they are encoded to `aside`: in memory, or beside it if large."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if nbytes <= IN_MEMORY:
        aside.touch()  # its folder is in use: another process must not take it for an empty one
        yield np.zeros(shape, dtype)
        return
    scratch = beside(aside, "pixels")
    try:
        yield np.memmap(scratch, dtype=dtype, mode="w+", shape=shape)
    finally:
        remove(scratch)
