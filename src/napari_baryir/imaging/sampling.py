"""A bounded, repeatable look at the values of an array that may be larger than memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.imaging.checks import is_dask

SAMPLE_SIZE = 2**22
"""Values that are looked at; the 0.1 percentile then still rests on 4,000 of them."""

SAMPLE_CHUNKS = 32
"""Chunks of a lazy array that are computed, one after the other."""


def sample_values(array: Any, *, size: int = SAMPLE_SIZE, seed: int = 0) -> NDArray[Any]:
    """Return finite values of an array, at most about `size` of them, (N,), in the array's dtype.

    NumPy arrays are sampled evenly; of a dask array up to `SAMPLE_CHUNKS` chunks, chosen by `seed`,
    are computed one by one.
    """
    if not is_dask(array):
        return _finite(_every_so_many(np.asarray(array), size))
    blocks = array.blocks
    count = math.prod(blocks.shape)
    chosen = np.random.default_rng(seed).permutation(count)[:SAMPLE_CHUNKS]
    share = max(1, size // len(chosen))
    parts = [
        _finite(_every_so_many(np.asarray(blocks[np.unravel_index(i, blocks.shape)]), share))
        for i in sorted(chosen)
    ]
    return np.concatenate(parts)


def extremes(array: Any) -> tuple[Any, Any]:
    """Return least and greatest finite value; of a sample if `array` is lazy; (0, 0) if none."""
    values = sample_values(array) if is_dask(array) else np.asarray(array)
    if values.dtype.kind == "f":
        values = _finite(values.reshape(-1))
    if values.size == 0:
        return 0, 0
    return values.min(), values.max()


def _every_so_many(array: NDArray[Any], size: int) -> NDArray[Any]:
    if array.size <= size:
        return array.reshape(-1)
    step = -(-array.size // size)
    # A step that shares a factor with the row length would look at the same few columns only.
    while math.gcd(step, array.size) != 1:
        step += 1
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    sampled: NDArray[Any] = flat[::step]
    return sampled


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values
