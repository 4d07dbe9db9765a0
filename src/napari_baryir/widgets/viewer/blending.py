"""Mixing original and restored values, at once or where they are read; arrays only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_baryir.imaging.checks import is_dask


def blend(original: Any, restored: Any, strength: float) -> Any:
    """Mix two arrays of the same shape and dtype: 0 gives `original`, 1 gives `restored`.

    Both are NumPy or dask, integer or float. The result is that of ``restore(...,
    strength=strength)`` but for rounding, at most one grey level of integers.
    """
    if strength == 1:
        return restored
    if is_dask(restored):
        return _by_blocks(blend, original, restored, strength, dtype=restored.dtype)
    if restored.dtype.kind == "f":
        return _blend_floats(np.asarray(original), restored, strength)
    if restored.dtype.itemsize == 8:
        return _blend_wide_integers(np.asarray(original), restored, strength)
    wide = np.float32 if restored.dtype.itemsize <= 2 else np.float64
    start = np.asarray(original, wide)
    return np.rint(start + (restored.astype(wide) - start) * wide(strength)).astype(restored.dtype)


def _blend_floats(original: NDArray[Any], restored: NDArray[Any], strength: float) -> NDArray[Any]:
    wide = np.promote_types(restored.dtype, np.float32)
    start = original.astype(wide)
    finite = np.isfinite(start)
    change = np.subtract(restored, start, out=np.zeros_like(start), where=finite)
    mixed: NDArray[Any] = (start + change * wide.type(strength)).astype(restored.dtype)
    return mixed


def _blend_wide_integers(
    original: NDArray[Any], restored: NDArray[Any], strength: float
) -> NDArray[Any]:
    """Blend 64-bit integers modulo 2**64; float64 would lose their last digits."""
    start = np.ascontiguousarray(original).view(np.uint64)
    change = (np.ascontiguousarray(restored).view(np.uint64) - start).view(np.int64)
    steps = np.rint(change * np.float64(strength)).astype(np.int64).view(np.uint64)
    mixed: NDArray[Any] = (start + steps).view(restored.dtype)
    return mixed


MOST_READ = 4
"""Most parts that a `LiveBlend` keeps; napari reads a plane and, if multiscale, a thumbnail."""


class LiveBlend:
    """An array that mixes two others where it is read.

    napari reads the plane in view only, so that a slider moves freely over a stack of any size.
    A thread can mix what was read with the next strength before napari draws it (`like`).
    """

    def __init__(self, original: Any, restored: Any, strength: float) -> None:
        self._original = original
        self._restored = restored
        self._strength = strength
        self.shape: tuple[int, ...] = tuple(restored.shape)
        self.dtype: np.dtype[Any] = np.dtype(restored.dtype)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))
        self._read: dict[str, tuple[Any, Any]] = {}
        """Keys that were read, and their values."""

    def like(self, before: LiveBlend) -> LiveBlend:
        """Mix the parts that were read of another array, so that reading them again is quick."""
        for key, _ in list(before._read.values()):
            _ = self[key]
        return self

    def __getitem__(self, key: Any) -> Any:
        name = repr(key)
        if name not in self._read:
            pair = np.asarray(self._original[key]), np.asarray(self._restored[key])
            while len(self._read) >= MOST_READ:
                del self._read[next(iter(self._read))]
            self._read[name] = key, blend(*pair, self._strength)
        return self._read[name][1]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        mixed = np.asarray(blend(np.asarray(self._original), self._restored, self._strength))
        return mixed.astype(dtype or mixed.dtype, copy=bool(copy))

    def __len__(self) -> int:
        return self.shape[0]


def removed(original: Any, shown: Any, *, rgb: bool) -> Any:
    """Return what restoring took away: original minus result, for RGB the mean over colours.

    The arrays have the same shape and dtype, NumPy or dask; with `rgb` their last dimension is
    RGB(A) samples. The result is float32 without samples, as lazy as `shown`.
    """
    if is_dask(shown):
        dropped = [shown.ndim - 1] if rgb else []
        return _by_blocks(removed, original, shown, dtype=np.float32, rgb=rgb, drop_axis=dropped)
    wide = np.float64 if shown.dtype.itemsize > 2 else np.float32
    with np.errstate(invalid="ignore"):  # inf minus inf
        change = np.asarray(original).astype(wide) - np.asarray(shown).astype(wide)
    if rgb:
        change = change[..., :3].mean(axis=-1)
    return np.nan_to_num(change.astype(np.float32))


def _by_blocks(
    function: Callable[..., Any], original: Any, shown: Any, *rest: Any, **more: Any
) -> Any:
    """Return what a function makes of two arrays, as a dask array in the blocks of the second."""
    import dask.array

    lazy: Any = dask.array
    original = original if is_dask(original) else lazy.from_array(original, chunks=shown.chunks)
    return lazy.map_blocks(function, original.rechunk(shown.chunks), shown, *rest, **more)
