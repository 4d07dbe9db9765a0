"""Classical denoisers, given the true noise level: what a learnt model has to beat."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import DataError

Array = NDArray[np.float32]

TV_WEIGHT_PER_SIGMA = 0.7
"""Of 0.4 to 1.0, the best at sigma 25 on six of the training photographs, and within 0.12 dB of the
best at 15 and 50."""


def non_local_means(image: Array, sigma: float) -> Array:
    """Non-local means: 5-pixel patches, 13-pixel search, ``h = 0.8 sigma``, the fast form."""
    from skimage.restoration import denoise_nl_means

    return _as_float32(
        denoise_nl_means(
            image,
            patch_size=5,
            patch_distance=6,
            h=0.8 * sigma,
            sigma=sigma,
            fast_mode=True,
            channel_axis=_channel_axis(image),
        )
    )


def wavelet(image: Array, sigma: float) -> Array:
    """Soft wavelet thresholding with BayesShrink's thresholds; colours in YCbCr."""
    from skimage.restoration import denoise_wavelet

    return _as_float32(
        denoise_wavelet(
            image,
            sigma=sigma,
            method="BayesShrink",
            mode="soft",
            rescale_sigma=True,
            convert2ycbcr=image.ndim == 3,
            channel_axis=_channel_axis(image),
        )
    )


def total_variation(image: Array, sigma: float) -> Array:
    """Chambolle's total variation, its weight in proportion to ``sigma``."""
    from skimage.restoration import denoise_tv_chambolle

    weight = TV_WEIGHT_PER_SIGMA * sigma
    return _as_float32(
        denoise_tv_chambolle(image, weight=weight, channel_axis=_channel_axis(image))
    )


PEERS: Mapping[str, Callable[[Array, float], Array]] = {
    "non-local means": non_local_means,
    "wavelet": wavelet,
    "total variation": total_variation,
}
"""Peers by name. Each takes (H, W) or (H, W, 3) in [0, 1] and the noise's standard deviation."""


def check_peers() -> None:
    """Refuse to start where a peer could not run, before a model has worked for hours.

    Raises
    ------
    DataError
        If PyWavelets is not installed.
    """
    if importlib.util.find_spec("pywt") is None:
        raise DataError(
            "the wavelet peer needs PyWavelets; install it with: pip install PyWavelets"
        )


def _channel_axis(image: Array) -> int | None:
    return -1 if image.ndim == 3 else None


def _as_float32(image: NDArray[np.floating]) -> Array:
    return np.asarray(image, np.float32)
