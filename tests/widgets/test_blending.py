"""Mixing original and restored values."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_baryir.widgets.viewer.blending import LiveBlend, blend, removed

DTYPES = ["uint8", "int16", "uint16", "uint32", "int64", "uint64", "float16", "float32", "float64"]


def pair(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    top = 250 if np.dtype(dtype).itemsize == 1 else 20_000
    return tuple((rng.random((2, 5, 7)) * top).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends_are_the_original_and_the_result(dtype: str) -> None:
    original, restored = pair(dtype)
    np.testing.assert_array_equal(blend(original, restored, 1), restored)
    np.testing.assert_array_equal(blend(original, restored, 0), original)


@pytest.mark.parametrize("dtype", DTYPES)
def test_between_is_linear_and_keeps_the_dtype(dtype: str) -> None:
    original, restored = pair(dtype)
    mixed = blend(original, restored, 0.25)
    assert mixed.dtype == original.dtype
    expected = 0.75 * original.astype(float) + 0.25 * restored.astype(float)
    np.testing.assert_allclose(mixed.astype(float), expected, rtol=1e-3, atol=0.5001)


def test_wide_integers_keep_their_last_digits() -> None:
    original = np.array([2**63 + 1, 2**64 - 3, 5], np.uint64)
    restored = original + np.array([2, -4 % 2**64, 10], np.uint64)
    expected = original + np.array([1, -2 % 2**64, 5], np.uint64)
    np.testing.assert_array_equal(blend(original, restored, 0.5), expected)


def test_values_that_are_not_finite_stay() -> None:
    original = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    restored = np.array([np.nan, np.inf, -np.inf, 3], np.float32)
    np.testing.assert_array_equal(blend(original, restored, 0.5), [np.nan, np.inf, -np.inf, 2])


def test_lazy_and_live_mix_as_arrays_do() -> None:
    original, restored = pair("uint16")
    expected = blend(original, restored, 0.3)
    lazy = blend(da.from_array(original, chunks=3), da.from_array(restored, chunks=4), 0.3)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), expected)
    live = LiveBlend(original, restored, 0.3)
    np.testing.assert_array_equal(np.asarray(live), expected)
    np.testing.assert_array_equal(live[2:4, ::2], expected[2:4, ::2])
    assert (live.shape, live.dtype, live.ndim, len(live)) == ((5, 7), np.uint16, 2, 5)


def test_removed_is_the_signed_difference() -> None:
    original, restored = np.array([[3, 9]], np.uint8), np.array([[5, 4]], np.uint8)
    np.testing.assert_array_equal(removed(original, restored, rgb=False), [[-2, 5]])
    rgb = removed(np.full((2, 2, 4), 30, np.uint8), np.zeros((2, 2, 4), np.uint8), rgb=True)
    np.testing.assert_array_equal(rgb, np.full((2, 2), 30))
    lazy = removed(da.full((4, 4, 3), 7, dtype=np.uint8), da.zeros((4, 4, 3), np.uint8), rgb=True)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), np.full((4, 4), 7))
