"""PSNR and SSIM against slow formulas, and the intensity maps that images are compared in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import metrics

from napari_baryir.errors import DataError
from napari_baryir.network import BaryIR
from napari_baryir.restoration import restore
from napari_baryir.training.data.images import channel_maps
from napari_baryir.training.evaluate import clamped_planes, score_plane


def slow_ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """SSIM of one channel, window by window, after Wang et al. (2004) with 7x7 uniform windows."""
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for top in range(a.shape[0] - 6):
        for left in range(a.shape[1] - 6):
            x = a[top : top + 7, left : left + 7].ravel()
            y = b[top : top + 7, left : left + 7].ravel()
            covariance = np.cov(x, y)
            mx, my = x.mean(), y.mean()
            values.append(
                (2 * mx * my + c1)
                * (2 * covariance[0, 1] + c2)
                / ((mx**2 + my**2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2))
            )
    return float(np.mean(values))


@pytest.mark.parametrize("shape", [(12, 9), (9, 12, 3)])
def test_scores_agree_with_slow_formulas_and_scikit_image(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    clean = rng.random(shape)
    image = np.clip(clean + 0.1 * rng.standard_normal(shape), 0, 1)
    psnr, ssim = score_plane(image, clean)
    channels = (
        [(image, clean)]
        if len(shape) == 2
        else list(zip(np.moveaxis(image, 2, 0), np.moveaxis(clean, 2, 0), strict=True))
    )
    squares = [(float(x) - float(y)) ** 2 for x, y in zip(image.flat, clean.flat, strict=True)]
    assert psnr == pytest.approx(-10 * math.log10(sum(squares) / len(squares)), abs=1e-9)
    assert ssim == pytest.approx(np.mean([slow_ssim(x, y) for x, y in channels]), abs=1e-9)
    assert psnr == pytest.approx(metrics.peak_signal_noise_ratio(clean, image, data_range=1))


def test_scores_clamp_both_images() -> None:
    clean = np.linspace(-0.5, 1.5, 100).reshape(10, 10)
    assert score_plane(clean, np.clip(clean, 0, 1)) == (math.inf, pytest.approx(1.0))


def test_images_smaller_than_the_window_have_no_ssim() -> None:
    psnr, ssim = score_plane(np.zeros((6, 40)), np.full((6, 40), 0.1))
    assert psnr == pytest.approx(20)
    assert math.isnan(ssim)


def test_scores_refuse_different_shapes() -> None:
    with pytest.raises(DataError, match="cannot compare"):
        score_plane(np.zeros((8, 8)), np.zeros((8, 9)))


def test_microscopy_is_compared_in_the_map_of_the_degraded_image() -> None:
    rng = np.random.default_rng(1)
    clean = rng.integers(200, 4000, (3, 20, 24)).astype(np.uint16)
    degraded = (clean + rng.integers(0, 300, clean.shape)).astype(np.uint16)
    low, high = np.percentile(degraded, [0.1, 99.9])
    maps = channel_maps(degraded, "TYX")
    mapped, truth = (clamped_planes(image, "TYX", maps) for image in (degraded, clean))
    assert len(truth) == 3
    np.testing.assert_allclose(truth, np.clip((clean - low) / (high - low), 0, 1), atol=1e-5)
    np.testing.assert_allclose(mapped, np.clip((degraded - low) / (high - low), 0, 1), atol=1e-5)


def test_each_channel_has_its_own_map_and_alpha_is_left_out() -> None:
    rng = np.random.default_rng(2)
    channels = np.stack([rng.random((9, 9)), 1000 * rng.random((9, 9))]).astype(np.float32)
    first, second = clamped_planes(channels, "CYX", channel_maps(channels, "CYX"))
    assert first.max() == second.max() == 1
    rgba = rng.integers(0, 256, (9, 9, 4)).astype(np.uint8)
    (plane,) = clamped_planes(rgba, "YXS", channel_maps(rgba, "YXS"))
    np.testing.assert_allclose(plane, rgba[..., :3] / 255, atol=1e-6)


@pytest.mark.parametrize(("shape", "axes"), [((2, 16, 20), "CYX"), ((16, 20, 3), "YXS")])
def test_the_maps_are_those_that_restoring_chooses(
    tiny_model: BaryIR, shape: tuple[int, ...], axes: str
) -> None:
    image = np.random.default_rng(0).integers(0, 5000, shape).astype(np.uint16)
    restoration = restore(image, axes=axes, model=tiny_model, device="cpu")
    assert list(restoration.intensity) == channel_maps(image, axes)
