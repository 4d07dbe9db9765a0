"""Noise of a camera: made in linear light, spread by demosaicing, bent by the tone curve.

After Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019, whose ranges of
shot and read noise these are. The noise alone goes through demosaicing, not the picture, which has
been through it in the camera that took it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_baryir.training.degradations.fields import Array, log_between

GAMMA = 2.2
"""Exponent of the tone curve, roughly that of sRGB."""
SHOT = 2e-5, 1.5e-2
"""Variance of shot noise per unit of linear light at levels 0 and 1: from a good camera by daylight
to a telephone at night."""
_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4


def sensor_noise(image: Array, level: float, rng: np.random.Generator) -> Array:
    """Add the noise of a sensor to an image (H, W, 3) in [0, 1]; may leave that range.

    The image is as a camera shows it, after its tone curve. `level` is 0 (hardly to be seen) to 1
    (strong).
    """
    shot = log_between(*SHOT, level)
    # Read noise rises with shot noise, as both do with the gain; log-linear, as measured there.
    read = float(np.exp(2.18 * np.log(shot) + 1.2 + rng.normal(0, 0.26)))
    linear = np.power(np.clip(image, 0, 1), GAMMA, dtype=np.float32)
    gains = np.array([rng.uniform(1.5, 2.4), 1.0, rng.uniform(1.3, 2.0)], np.float32)
    raw = linear / gains
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.sqrt(shot * raw + read)
    if rng.random() < 0.8:
        noise = _demosaiced(noise)
    noise *= gains
    if rng.random() < 0.3:  # what a camera's own denoising leaves is smooth
        sigma = rng.uniform(0.3, 0.8)
        noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
    noisy = np.clip(linear + noise, 0, None)
    return np.asarray(np.power(noisy, 1 / GAMMA), np.float32)


def _demosaiced(noise: Array) -> Array:
    """Keep of each colour what a Bayer pattern samples, and interpolate the rest bilinearly."""
    seen = np.zeros_like(noise)
    seen[::2, ::2, 0] = noise[::2, ::2, 0]
    seen[1::2, 1::2, 2] = noise[1::2, 1::2, 2]
    seen[::2, 1::2, 1] = noise[::2, 1::2, 1]
    seen[1::2, ::2, 1] = noise[1::2, ::2, 1]
    kernels = (_RED_BLUE, _GREEN, _RED_BLUE)
    planes = [ndimage.convolve(seen[..., c], k, mode="mirror") for c, k in enumerate(kernels)]
    return np.stack(planes, axis=-1)
