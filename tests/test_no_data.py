"""Padding, missing tiles and no-data values: they set no range, no network sees them, they stay."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_baryir import restore
from napari_baryir.imaging.intensity import IntensityMap, choose_intensity
from napari_baryir.imaging.no_data import no_data_value
from napari_baryir.imaging.reduction import Reduction, reduced
from napari_baryir.sample_data import fluorescence_stack

SIDE = 192
TILE = np.s_[: SIDE // 2, : SIDE // 2]


@pytest.fixture(scope="module")
def pair() -> tuple[NDArray[Any], NDArray[Any]]:
    sample = fluorescence_stack(seed=3, shape=(1, SIDE, SIDE))
    return sample.degraded[0], sample.clean[0].astype(float)


def holes(kind: str) -> NDArray[np.bool_]:
    """Return where an image of `SIDE` holds nothing."""
    y, x = np.mgrid[:SIDE, :SIDE]
    shapes = {
        "missing tile": (y < SIDE // 2) & (x < SIDE // 2),
        "two tiles": (y < SIDE // 2) == (x < SIDE // 2),
        "columns": x < 64,
        "frame": (np.minimum(y, x) < 13) | (np.maximum(y, x) >= SIDE - 13),
        "rotated": abs(y - SIDE / 2) + abs(x - SIDE / 2) > 0.6 * SIDE,
    }
    return np.asarray(shapes[kind])


@pytest.mark.parametrize("kind", ["missing tile", "two tiles", "columns", "frame", "rotated"])
@pytest.mark.parametrize("value", [0, 65535])
def test_what_is_there_is_restored_and_what_is_not_stays(
    pair: tuple[Any, Any], kind: str, value: int
) -> None:
    noisy, clean = pair
    gone = holes(kind)
    image = np.where(gone, value, noisy).astype(np.uint16)
    result = restore(image, axes="YX", model="microscopy-compact", device="cpu")
    assert (result.image[gone] == value).all()
    before, after = (np.square(each - clean)[~gone].mean() for each in (noisy, result.image))
    assert after < before / 4
    assert result.record["settings"]["intensity"][0]["no_data"] == value


def test_a_lazy_image_with_chunks_that_are_missing_is_restored_as_in_memory(
    pair: tuple[Any, Any],
) -> None:
    image = pair[0].copy()
    image[TILE] = 0
    lazy = da.from_array(image, chunks=(SIDE // 2, SIDE // 2))
    options: dict[str, Any] = {"axes": "YX", "model": "microscopy-compact", "device": "cpu"}
    there = np.ones(image.shape, bool)
    there[: SIDE // 2 + 16, : SIDE // 2 + 16] = False
    computed = restore(lazy, **options).image.compute()
    assert (computed[TILE] == 0).all()
    whole = restore(image, **options).image.astype(float)
    assert abs(computed[there] - whole[there]).mean() < 0.5


def test_the_range_is_that_of_what_is_there(pair: tuple[Any, Any]) -> None:
    noisy = pair[0]
    for value, dtype in ((0, np.uint16), (-9999, np.float32), (65535, np.uint16)):
        image = noisy.astype(dtype)
        image[TILE] = value
        gone = np.zeros(image.shape, bool)
        gone[TILE] = True
        chosen = choose_intensity(image, rgb=False)
        low, high = np.percentile(image[~gone], (0.1, 99.9))
        assert (chosen.low, chosen.high, chosen.no_data) == pytest.approx((low, high, value))
        assert (chosen.missing(image) == gone).all()


def test_counted_photons_clipped_noise_and_saturated_beads_are_data() -> None:
    rng = np.random.default_rng(0)
    photons = rng.poisson(0.7, (128, 128))
    assert (photons == 0).mean() > 0.4
    assert no_data_value(photons.ravel()) is None
    assert no_data_value(37.5 * photons.ravel()) is None
    clipped = np.clip(rng.normal(20, 30, 20_000), 0, None)
    assert no_data_value(clipped) is None
    y, x = np.mgrid[:128, :128] - 64
    bead = np.clip(5e5 * np.exp(-(x**2 + y**2) / 200) + rng.normal(100, 5, x.shape), 0, 65535)
    assert (bead == 65535).mean() > 0.01
    assert no_data_value(bead.ravel()) is None
    few_bright = np.zeros(10_000)
    few_bright[:50] = rng.normal(500, 20, 50)
    assert no_data_value(few_bright) is None
    assert no_data_value(np.zeros(0)) is None


def test_a_photograph_with_a_black_frame_has_no_missing_pixels() -> None:
    picture = np.random.default_rng(0).integers(60, 200, (64, 64, 3)).astype(np.uint16)
    picture[:16] = 0
    assert choose_intensity(picture, rgb=True).no_data is None


def test_areas_without_data_are_drawn_from_the_others() -> None:
    image = np.random.default_rng(0).uniform(1, 2, (96, 80, 1)).astype(np.float32)
    missing = np.zeros(image.shape, bool)
    missing[:40, :33] = True
    spoiled = np.where(missing, np.float32(-7), image)
    reduction = Reduction(96, 80, (24, 16), 1)
    for start in (0, 50):
        rows = np.s_[start : start + 50]
        reduction.add(start, spoiled[rows], missing[rows])
    picture, whole = reduction.picture, reduced(image, (24, 16))
    np.testing.assert_allclose(picture[11:], whole[11:], rtol=1e-5)
    np.testing.assert_allclose(picture[:, 7:], whole[:, 7:], rtol=1e-5)
    empty = np.zeros(picture.shape, bool)
    empty[:10, :6] = True
    assert np.isin(picture[empty], picture[~empty]).all()
    assert len(np.unique(picture[empty])) > 30


def test_a_map_keeps_its_no_data_value_in_a_record() -> None:
    chosen = IntensityMap(1.0, 2.0, "percentile", 0.0)
    assert IntensityMap.from_dict(chosen.as_dict()) == chosen
