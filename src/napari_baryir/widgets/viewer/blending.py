"""Mixing original and restored values, at once or where they are read; arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_baryir.imaging.checks import is_dask


def blend(original: Any, restored: Any, strength: float) -> Any:
    """Mix two arrays of the same shape and dtype.

    The result of ``restore(..., strength=strength)``, but for rounding: at most one grey level of
    integers.

    Parameters
    ----------
    original, restored
        NumPy or dask, integer or float.
    strength
        0 gives `original`, 1 gives `restored`.
    """
    if strength == 1:
        return restored
    if is_dask(restored):
        import dask.array

        lazy: Any = dask.array
        if not is_dask(original):
            original = lazy.from_array(original, chunks=restored.chunks)
        original = original.rechunk(restored.chunks)
        return lazy.map_blocks(blend, original, restored, strength, dtype=restored.dtype)
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
"""napari reads a plane and, of multiscale layers, a thumbnail."""


class LiveBlend:
    """An array that mixes two others where it is read.

    napari reads the plane in view only, so that a slider moves freely over a stack of any size.
    What was read can be mixed anew in a thread, before the next strength is drawn (`like`).
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

    @classmethod
    def of(cls, array: Any) -> LiveBlend:
        """Return what reads like `array`, and knows what is read."""
        return array if isinstance(array, cls) else cls(array, array, 1.0)

    def like(self, before: LiveBlend) -> LiveBlend:
        """Mix what was read of another array of this shape, so that reading it takes no time."""
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
        return (
            np.array(mixed, dtype=dtype, copy=True)
            if copy
            else mixed.astype(dtype or mixed.dtype, copy=False)
        )

    def __len__(self) -> int:
        return self.shape[0]


def removed(original: Any, shown: Any, *, rgb: bool) -> Any:
    """Return what restoring took away: original minus result, for RGB the mean over colours.

    Parameters
    ----------
    original, shown
        Same shape and dtype, NumPy or dask.
    rgb
        Whether the last dimension is RGB(A) samples.

    Returns
    -------
    float32 array without samples, as lazy as `shown`.
    """
    if is_dask(shown):
        import dask.array

        lazy: Any = dask.array
        if not is_dask(original):
            original = lazy.from_array(original, chunks=shown.chunks)
        original = original.rechunk(shown.chunks)
        options = {"drop_axis": shown.ndim - 1} if rgb else {}
        return lazy.map_blocks(removed, original, shown, dtype=np.float32, rgb=rgb, **options)
    wide = np.float64 if shown.dtype.itemsize > 2 else np.float32
    with np.errstate(invalid="ignore"):  # inf minus inf
        change = np.asarray(original).astype(wide) - np.asarray(shown).astype(wide)
    if rgb:
        change = change[..., :3].mean(axis=-1)
    return np.nan_to_num(change.astype(np.float32))
