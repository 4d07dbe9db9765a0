"""The map to [0, 1] and back."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_baryir.errors import InputError
from napari_baryir.imaging.intensity import IntensityMap, choose_intensity
from napari_baryir.imaging.sampling import SAMPLE_CHUNKS, extremes, sample_values

INTEGERS = [np.dtype(code) for code in ("u1", "i1", "u2", ">u2", "i2", "u4", "i4", "u8", ">i8")]
FLOATS = [np.dtype(code) for code in ("f2", "f4", ">f4", "f8")]
rng = np.random.default_rng(0)


def arrays(dtypes: list[np.dtype[Any]]) -> st.SearchStrategy[Any]:
    """Small arrays of any values that the dtype has."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=3, max_side=5)
    return st.sampled_from(dtypes).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@given(arrays(INTEGERS + FLOATS), st.booleans())
def test_any_array_gets_a_usable_map(array: Any, rgb: bool) -> None:
    chosen = choose_intensity(array, rgb=rgb)
    assert chosen.low < chosen.high
    unit = chosen.apply(array)
    assert unit.dtype == np.float32
    assert unit.shape == array.shape
    assert np.isfinite(unit[np.isfinite(array)]).all()


@given(arrays(INTEGERS + FLOATS), st.booleans())
def test_adding_no_change_is_the_identity(array: Any, rgb: bool) -> None:
    chosen = choose_intensity(array, rgb=rgb)
    finite = np.where(np.isfinite(array), array, 0).astype(array.dtype)
    same = chosen.add_change(finite, np.zeros(array.shape, np.float32))
    assert same.dtype == array.dtype
    np.testing.assert_array_equal(same, finite)


@given(arrays(INTEGERS), st.sampled_from([-1e30, -1.0, 1.0, 1e30]))
def test_integers_saturate_instead_of_wrapping(array: Any, change: float) -> None:
    info = np.iinfo(array.dtype)
    whole = IntensityMap(float(info.min), float(info.max))
    changed = whole.add_change(array, np.full(array.shape, change, np.float32))
    assert (changed == (info.max if change > 0 else info.min)).all()


def test_wide_integers_are_added_exactly() -> None:
    near_the_end = np.array([2**63 - 10, -(2**63) + 10, 2**53 + 1], np.int64)
    changed = IntensityMap(0, 8).add_change(near_the_end, np.full(3, 0.5, np.float32))
    assert (changed - near_the_end).tolist() == [4, 4, 4]


def test_integers_are_rounded_and_floats_are_not_clipped() -> None:
    change = np.array([-0.5, 0.0049, 0.51, 2.0], np.float32)
    add = IntensityMap(0, 100).add_change
    assert add(np.zeros(4, np.uint8), change).tolist() == [0, 0, 51, 200]
    added = add(np.zeros(4, np.float32), change)
    np.testing.assert_allclose(added, [-50, 0.49, 51, 200], rtol=1e-6)


def test_values_beyond_the_map_are_not_clipped_on_the_way_in() -> None:
    assert IntensityMap(100, 200).apply(np.array([0, 300], np.uint16)).tolist() == [-1, 2]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((4, 4, 3), 7, np.uint8), (0, 255)),
        (np.full((4, 4, 3), -7, np.int8), (-128, 127)),
        (np.full((4, 4, 3), 4000, np.uint16), (0, 4095)),
        (np.full((4, 4, 3), 60000, np.uint16), (0, 65535)),
        (np.full((4, 4, 3), 255, np.int64), (0, 255)),
        (np.full((4, 4, 3), 0.7), (0, 1)),
        (np.full((4, 4, 3), 200.0, np.float32), (0, 255)),
        (np.full((4, 4, 3), 60000.0, np.float32), (0, 65535)),
    ],
)
def test_pictures_use_their_full_range(array: Any, expected: tuple[float, float]) -> None:
    chosen = choose_intensity(array, rgb=True)
    assert (chosen.low, chosen.high, chosen.kind) == (*expected, "full")


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 5000, np.uint16),
        (0, 20000, np.uint16),
        (-1, 1, np.float32),
        (0, 2, np.float32),
        (0, 1e-6, np.float32),
    ],
)
def test_pictures_of_other_ranges_fill_theirs(low: float, high: float, dtype: Any) -> None:
    picture = (low + (high - low) * rng.random((64, 64, 3))).astype(dtype)
    chosen = choose_intensity(picture, rgb=True)
    assert chosen.low == pytest.approx(low, abs=0.01 * (high - low))
    assert chosen.high == pytest.approx(high, rel=0.01)


def test_a_dark_picture_in_the_unit_range_stays_dark() -> None:
    dark = 0.05 * rng.random((64, 64, 3))
    stars = np.zeros((64, 64, 3))
    stars[5, 5] = 0.5
    for picture in (dark, stars, np.zeros((9, 9, 3))):
        assert choose_intensity(picture, rgb=True) == IntensityMap(0, 1, "full")


def test_no_single_value_decides_the_range_of_a_picture() -> None:
    picture = (4095 * rng.random((64, 64, 3))).astype(np.uint16)
    picture[5, 5, 0] = 65535
    assert choose_intensity(picture, rgb=True).high == 4095


def test_dim_eight_bit_fields_are_mapped_as_the_same_numbers_in_sixteen_bits() -> None:
    dim = rng.integers(3, 40, (64, 64), dtype=np.uint8)
    narrow = choose_intensity(dim, rgb=False)
    assert narrow == choose_intensity(dim.astype(np.uint16), rgb=False)
    assert narrow.kind == "percentile"


def test_noise_around_the_range_of_a_float_picture_does_not_change_it() -> None:
    noisy = rng.random((64, 64, 3)) + rng.normal(0, 0.1, (64, 64, 3))
    assert choose_intensity(noisy, rgb=True).high == 1


def test_microscopy_uses_percentiles_that_hot_pixels_do_not_move() -> None:
    stack = rng.normal(1000, 50, (10, 64, 64)).astype(np.uint16)
    chosen = choose_intensity(stack, rgb=False)
    stack[0, :4, :4] = 65535
    hot = choose_intensity(stack, rgb=False)
    assert chosen.kind == hot.kind == "percentile"
    assert hot.high == pytest.approx(chosen.high, abs=20)
    assert 1100 < chosen.high < 1250


def test_eight_bits_use_the_full_range_in_grey_too() -> None:
    assert choose_intensity(np.full((9, 9), 3, np.uint8), rgb=False).high == 255


def test_a_few_bright_pixels_on_an_empty_plane_are_mapped_by_extremes() -> None:
    sparse = np.zeros((100, 100), np.float32)
    sparse[5, 5] = 8
    assert choose_intensity(sparse, rgb=False) == IntensityMap(0, 8, "extremes")


@pytest.mark.parametrize("value", [0.0, -3.5, 1e300, np.nan, np.inf])
def test_constant_and_invalid_images_get_a_map(value: float) -> None:
    assert choose_intensity(np.full((5, 5), value), rgb=False).kind == "constant"


def test_nan_and_inf_do_not_move_the_map() -> None:
    image = rng.random((64, 64))
    clean = choose_intensity(image, rgb=False)
    image[0, :20] = np.nan
    image[1, :20] = np.inf
    holes = choose_intensity(image, rgb=False)
    assert holes.high == pytest.approx(clean.high, abs=0.02)


def test_modes_overrule_the_choice() -> None:
    image = rng.integers(10, 20, (64, 64, 3), dtype=np.uint8)
    assert choose_intensity(image, rgb=True, mode="percentile").high == 19
    wide = image.astype(np.uint16) * 100
    assert choose_intensity(wide, rgb=False, mode="full").high == 4095
    with pytest.raises(InputError, match="intensity 'loud' is unknown"):
        choose_intensity(image, rgb=True, mode="loud")


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (np.nan, 1), (0, np.inf), (-1e308, 1.7e308)])
def test_impossible_maps_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="intensity map"):
        IntensityMap(*bounds)


@pytest.mark.parametrize("dtype", [bool, complex])
def test_dtypes_without_intensities_are_refused(dtype: type) -> None:
    with pytest.raises(InputError, match="dtype"):
        choose_intensity(np.zeros((3, 3), dtype), rgb=False)


def test_a_map_survives_a_record() -> None:
    chosen = choose_intensity(rng.random((9, 9)), rgb=False)
    assert IntensityMap.from_dict(chosen.as_dict()) == chosen


def test_a_large_sample_sees_every_column_and_is_bounded() -> None:
    image = np.tile(np.arange(512, dtype=np.float32), (1024, 1))
    sample = sample_values(image, size=5000)
    assert sample.size <= 5000
    assert len(np.unique(sample)) == 512
    np.testing.assert_array_equal(sample, sample_values(image, size=5000))


def test_a_view_is_sampled_like_its_copy() -> None:
    view = rng.random((100, 100, 4))[::2, ::-1, :3]
    np.testing.assert_array_equal(sample_values(view, size=99), sample_values(view.copy(), size=99))


def test_a_lazy_array_is_sampled_from_few_chunks_always_the_same() -> None:
    computed: list[tuple[int, ...]] = []

    def chunk(block_info: Any = None) -> Any:
        computed.append(block_info[None]["chunk-location"])
        return np.full((1, 16, 16), 5.0)

    movie = da.map_blocks(
        chunk, chunks=((1,) * 200, (16,), (16,)), dtype=float, meta=np.empty((0, 0, 0))
    )
    sample_values(movie)
    first = sorted(computed)
    computed.clear()
    assert extremes(movie) == (5, 5)
    assert sorted(computed) == first
    assert len(first) <= SAMPLE_CHUNKS


@pytest.mark.parametrize(("dtype", "rgb"), [("u1", False), ("u2", True), ("f4", True)])
def test_a_lazy_array_is_computed_once_for_its_map(dtype: str, rgb: bool) -> None:
    """None of these uses its nominal range, so that range and percentiles are both looked at."""
    values = rng.uniform(1, 9, (8, 8, 3)).astype(dtype)
    blocks = []

    def block(part: Any) -> Any:
        blocks.append(part)
        return part

    lazy = da.from_array(values, chunks=(4, 4, 3)).map_blocks(block, dtype=dtype, meta=values)
    assert choose_intensity(lazy, rgb=rgb).kind == "percentile"
    assert len(blocks) == 4


def test_a_lazy_array_gets_about_the_map_of_its_values() -> None:
    values = rng.normal(1000, 50, (20, 64, 64)).astype(np.uint16)
    lazy = choose_intensity(da.from_array(values, chunks=(1, 32, 32)), rgb=False)
    whole = choose_intensity(values, rgb=False)
    assert lazy.low == pytest.approx(whole.low, abs=10)
    assert lazy.high == pytest.approx(whole.high, abs=10)


def _noisy(shape: tuple[int, int] = (128, 128)) -> Any:
    return np.random.default_rng(0).normal(200, 30, shape).astype(np.uint16)


@pytest.mark.parametrize("top", [65535, 4095, 1500])
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("place", [np.s_[:, 77], np.s_[60], np.s_[100:104, 90:120]])
def test_saturated_pixels_have_no_say(top: int, lazy: bool, place: Any) -> None:
    image = _noisy()
    image[place] = top
    chosen = choose_intensity(da.from_array(image, chunks=32) if lazy else image, rgb=False)
    expected = choose_intensity(_noisy(), rgb=False)
    assert (chosen.low, chosen.high) == pytest.approx((expected.low, expected.high), abs=5)


def test_bright_objects_count_where_they_have_edges_are_large_or_all_there_is() -> None:
    y, x = np.mgrid[:128, :128]
    bead = _noisy() + 9e4 * np.exp(-((y - 40) ** 2 + (x - 50) ** 2) / 20)
    assert (bead > 65535).sum() > 0.001 * bead.size
    large = _noisy()
    large[:, 70:73] = 65535
    empty = np.full((128, 128), 100, np.uint16)
    empty[:, 77] = 65535
    for image in (np.minimum(bead, 65535).astype(np.uint16), large, empty):
        assert choose_intensity(image, rgb=False).high == 65535
