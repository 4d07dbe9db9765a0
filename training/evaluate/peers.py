"""Classical denoisers, which a learnt model has to beat, and the metric LPIPS."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping

import numpy as np
import skimage

from napari_baryir.errors import DataError
from napari_baryir.training.data.images import three_colours
from napari_baryir.training.degradations.fields import Array

PlaneDistance = Callable[[Array, Array], float]
"""Two planes, (H, W) or (H, W, 3) in [0, 1], to their distance."""

LEAST_FOR_LPIPS = 32
"""AlexNet's strides leave nothing of smaller images."""

TV_WEIGHT_PER_SIGMA = 0.7
"""The best of 0.4 to 1.0 at sigma 25 on six of the training photographs, and within 0.12 dB of the
best at 15 and 50."""


def non_local_means(image: Array, sigma: float) -> Array:
    """Denoise by non-local means: 5-pixel patches, 13-pixel search, ``h = 0.8 sigma``."""
    denoised = skimage.restoration.denoise_nl_means(
        image, 5, 6, 0.8 * sigma, sigma=sigma, channel_axis=_channel_axis(image)
    )
    return np.asarray(denoised, np.float32)


def wavelet(image: Array, sigma: float) -> Array:
    """Denoise by soft wavelet thresholding with BayesShrink's thresholds; colours in YCbCr."""
    denoised = skimage.restoration.denoise_wavelet(
        image, sigma, convert2ycbcr=image.ndim == 3, channel_axis=_channel_axis(image)
    )
    return np.asarray(denoised, np.float32)


def total_variation(image: Array, sigma: float) -> Array:
    """Denoise by Chambolle's total variation, its weight in proportion to ``sigma``."""
    denoised = skimage.restoration.denoise_tv_chambolle(
        image, TV_WEIGHT_PER_SIGMA * sigma, channel_axis=_channel_axis(image)
    )
    return np.asarray(denoised, np.float32)


PEERS: Mapping[str, Callable[[Array, float], Array]] = {
    "non-local means": non_local_means,
    "wavelet": wavelet,
    "total variation": total_variation,
}
"""Peers by name. Each takes (H, W) or (H, W, 3) in [0, 1] and the noise's standard deviation."""


def check_peers() -> None:
    """Refuse to start where a peer could not run, before a model has worked for hours."""
    if importlib.util.find_spec("pywt") is None:
        raise DataError(
            "the wavelet peer needs PyWavelets; install it with: pip install PyWavelets"
        )


def load_lpips() -> PlaneDistance:
    """Load LPIPS (Zhang et al., CVPR 2018), version 0.1 with AlexNet, from the package lpips.

    NaN for images with a side below 32 pixels. Raises `DataError` if the package is not installed,
    or AlexNet's weights can be neither found nor fetched.
    """
    import torch

    from napari_baryir.training.data.made_pairs import to_tensor

    try:
        lpips = importlib.import_module("lpips")
    except ImportError:
        raise DataError(
            "LPIPS needs the packages lpips and torchvision; install them with "
            "pip install lpips torchvision, or measure without --lpips"
        ) from None
    try:
        network = lpips.LPIPS(net="alex", verbose=False).eval()
    except Exception as error:  # torch.hub, urllib and the file system raise many types here
        raise DataError(
            f"AlexNet's weights for LPIPS cannot be had ({error}); torchvision fetches them into "
            "torch.hub's folder when there is a network. Or measure without --lpips"
        ) from error

    def distance(image: Array, clean: Array) -> float:
        if min(clean.shape[:2]) < LEAST_FOR_LPIPS:
            return float("nan")
        # LPIPS reads [-1, 1]; fed with [0, 1], as some public code does, its numbers are others.
        planes = [to_tensor([three_colours(np.clip(p, 0, 1)) * 2 - 1]) for p in (image, clean)]
        with torch.inference_mode():
            return float(network(*planes))

    return distance


def _channel_axis(image: Array) -> int | None:
    return -1 if image.ndim == 3 else None
