"""Where tiles lie and how they blend."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_baryir.imaging.tiles import TileGrid, blend_windows, fill_invalid, pad_to, split

lengths = st.integers(1, 3000)
tilings = st.integers(16, 600).flatmap(lambda t: st.tuples(st.just(t), st.integers(0, t // 2)))


@given(lengths, tilings)
def test_spans_cover_the_axis_and_are_equal_and_aligned(
    length: int, tiling: tuple[int, int]
) -> None:
    tile, overlap = tiling
    spans = split(length, tile, overlap)
    assert spans[0].start == 0
    assert length <= spans[-1].stop < length + 8
    assert len({span.size for span in spans}) == 1
    assert all(span.start % 8 == span.size % 8 == 0 for span in spans)
    assert spans[0].size <= tile
    # At least the overlap asked for, as far as half a tile in whole cells allows.
    least = min(-(-overlap // 8), tile // 8 // 2) * 8
    assert all(a.stop - b.start >= least for a, b in pairwise(spans))


@given(lengths, tilings)
def test_blending_weights_add_up_to_one_everywhere(length: int, tiling: tuple[int, int]) -> None:
    spans = split(length, *tiling)
    total = np.zeros(spans[-1].stop)
    for span, window in zip(spans, blend_windows(spans), strict=True):
        assert window.min() >= 0
        total[span.start : span.stop] += window
    np.testing.assert_allclose(total, 1, atol=3e-7)


def test_a_tile_has_no_weight_at_the_edge_of_an_overlap() -> None:
    spans = split(1000, 256, 64)
    first, second = blend_windows(spans)[:2]
    shared = spans[0].stop - spans[1].start
    assert second[0] == first[-1] == 0
    assert second[shared] == 1
    assert np.abs(np.diff(second[: shared + 1])).max() < 4 / shared  # no step


def test_a_plane_of_one_tile_is_not_cut() -> None:
    grid = TileGrid(100, 100, 104, 48)
    assert grid.count == 1
    assert grid.rows[0].size == 104


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 40), st.integers(0, 40))
def test_padding_keeps_the_pixels_and_invents_no_values(
    height: int, width: int, more_rows: int, more_columns: int
) -> None:
    tile = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    padded = pad_to(tile, height + more_rows, width + more_columns)
    assert padded.shape == (height + more_rows, width + more_columns, 3)
    np.testing.assert_array_equal(padded[:height, :width], tile)
    assert set(padded.ravel()) <= set(tile.ravel())


def test_padding_reflects() -> None:
    tile = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
    assert pad_to(tile, 1, 7)[0, :, 0].tolist() == [0, 1, 2, 3, 2, 1, 0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 17), st.integers(1, 17))
def test_filling_keeps_valid_pixels_and_stays_within_their_range(
    seed: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((height, width, 1)).astype(np.float32)
    invalid = rng.random(values.shape) < 0.7
    holes = np.where(invalid, np.float32(np.nan), values)
    filled = fill_invalid(holes, invalid)
    np.testing.assert_array_equal(filled[~invalid], values[~invalid])
    if invalid.all():
        assert (filled == 0).all()
    else:
        assert filled.min() >= values[~invalid].min() - 1e-6
        assert filled.max() <= values[~invalid].max() + 1e-6


def test_filling_takes_nearby_values() -> None:
    values = np.zeros((64, 64, 1), np.float32)
    values[:, 32:] = 1
    invalid = np.zeros(values.shape, bool)
    invalid[10, 5] = invalid[50, 60] = True
    filled = fill_invalid(values, invalid)
    assert filled[10, 5] == 0
    assert filled[50, 60] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_a_colour_without_any_valid_value_is_filled_with_zero(shape: tuple[int, int]) -> None:
    values = np.full((*shape, 3), 0.5, np.float32)
    invalid = np.zeros(values.shape, bool)
    invalid[..., 1] = True
    filled = fill_invalid(values, invalid)
    np.testing.assert_array_equal(filled[..., 1], 0)
    np.testing.assert_array_equal(filled[..., [0, 2]], 0.5)
