"""Degradations of photographs, (H, W, 3) in [0, 1]: plain ones, and as the world makes them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from napari_baryir.training.degradations.fields import (
    AnyArray,
    Array,
    between,
    convolve,
    disc_kernel,
    gaussian_kernel,
    line_kernel,
    log_between,
    over_unit_range,
    path_kernel,
    smooth_field,
)

SIGMA_MIN, SIGMA_MAX = 5.0, 50.0
"""Standard deviations of white noise at levels 0 and 1, in grey values of 255."""
GAMMA = 2.2
"""Exponent of the tone curve, roughly that of sRGB."""
SHOT = 2e-5, 1.5e-2
"""Variance of shot noise per unit of linear light at levels 0 and 1: from a good camera by daylight
to a telephone at night."""
_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4


def noise_level(sigma: float) -> float:
    """Return the level of the white noise whose standard deviation is ``sigma`` (of 255)."""
    return (sigma - SIGMA_MIN) / (SIGMA_MAX - SIGMA_MIN)


def noise(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Add white Gaussian noise, standard deviation 5 to 50 of 255."""
    return _noisy(image, between(SIGMA_MIN, SIGMA_MAX, level), rng)


def faint_noise(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Add white Gaussian noise, standard deviation 1 to 8 of 255."""
    return _noisy(image, log_between(1, 8, level), rng)


def _noisy(image: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Add white noise of a standard deviation of 255."""
    return image + np.float32(sigma / 255) * rng.standard_normal(image.shape, dtype=np.float32)


def rain(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Lay bright streaks of two sizes over it, falling within 30 degrees of the vertical."""
    angle = rng.uniform(-30, 30)
    sizes = ((rng.uniform(8, 16), 0.5), (rng.uniform(18, 40), 0.8))
    density = log_between(0.006, 0.08, level)
    return _rained(image, [(*size, density) for size in sizes], angle, rng)


def deep_rain(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Rain in one to four depths: short and sharp far away, long and out of focus near; mist."""
    angle = rng.uniform(-45, 45)
    layers = []
    for _ in range(int(rng.integers(1, 5))):
        near = rng.random()
        length = log_between(5, 60, near) * rng.uniform(0.7, 1.4)
        thickness = log_between(0.35, 1.8, near) * rng.uniform(0.7, 1.4)
        layers.append((length, thickness, log_between(0.003, 0.08, level) * rng.uniform(0.4, 1)))
    rainy = _rained(image, layers, angle, rng)
    if rng.random() < 0.5:
        mist = np.float32(rng.uniform(0, 0.35) * (0.3 + 0.7 * level))
        rainy = rainy * (1 - mist) + mist * np.float32(rng.uniform(0.6, 0.95))
    return rainy


def _rained(
    image: Array, layers: list[tuple[float, float, float]], angle: float, rng: np.random.Generator
) -> AnyArray:
    """Lay streaks of (length, thickness, density) over an image."""
    shape = image.shape[:2]
    streaks = np.zeros(shape, np.float32)
    for length, thickness, density in layers:
        kernel = line_kernel(length, 90 + angle + rng.uniform(-3, 3), thickness)
        drops = (rng.random(shape) < density / length) * rng.uniform(0.4, 1, shape)
        layer = signal.oaconvolve(drops, kernel / kernel.max(), mode="same")
        streaks += np.clip(layer, 0, 1).astype(np.float32)
    veil = np.clip(streaks * rng.uniform(0.6, 0.9), 0, 0.95)[..., None]
    return np.asarray(image * (1 - veil) + np.float32(rng.uniform(0.85, 1.0)) * veil)


def haze(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Apply Koschmieder's model ``J t + A (1 - t)``, optical depth 0.4 to 1.8, bright airlight."""
    near = rng.uniform(0.15, 0.6)
    depth = near + (1 - near) * smooth_field(image.shape[:2], rng)
    airlight = rng.uniform(0.8, 1.0) + rng.uniform(-0.02, 0.02, 3)
    return _hazy(image, between(0.4, 1.8, level) * depth, airlight)


def scenic_haze(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Add tinted haze, light to dense, that thickens towards the horizon and behind edges."""
    height, width = image.shape[:2]
    rows = np.linspace(0, 1, height)[:, None]
    horizon = rng.uniform(-0.2, 0.6)
    ground = 1 / (1 + rng.uniform(1, 5) * np.clip(rows - horizon, 0, None))
    depth = rng.uniform(0.2, 1) * ground + rng.uniform(0, 0.6) * smooth_field((height, width), rng)
    if rng.random() < 0.6:  # what differs in brightness often differs in depth
        grey = ndimage.gaussian_filter(image.mean(axis=2), rng.uniform(2, 8))
        depth = depth + rng.uniform(-0.3, 0.8) * over_unit_range(grey)
    depth = over_unit_range(depth)
    near = rng.uniform(0, 0.6)
    airlight = rng.uniform(0.55, 1.0) + rng.uniform(-0.06, 0.06, 3)
    return _hazy(image, log_between(0.15, 1.9, level) * (near + (1 - near) * depth), airlight)


def _hazy(image: Array, optical_depth: AnyArray, airlight: AnyArray) -> AnyArray:
    transmission = np.exp(-optical_depth)[..., None].astype(np.float32)
    return np.asarray(image * transmission + airlight.astype(np.float32) * (1 - transmission))


def blur(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Blur by motion over 4 to 16 pixels, or by defocus with a radius of 1 to 4 pixels."""
    return convolve(image, blur_kernel(level, rng))


def shaken(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Blur by camera shake along a curved, unevenly lit path of 3 to 24 pixels."""
    return convolve(image, path_kernel(log_between(3, 24, level), rng))


def defocus(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Blur by a disc with a radius of 0.8 to 4.5 pixels, or by a Gaussian half as wide."""
    radius = log_between(0.8, 4.5, level)
    soft = rng.random() < 0.5
    return convolve(image, gaussian_kernel(radius / 2) if soft else disc_kernel(radius))


def blur_kernel(level: float, rng: np.random.Generator) -> Array:
    """Draw a kernel of `blur`: (h, w), odd sides, sums to 1."""
    if rng.random() < 0.5:
        return line_kernel(between(4, 16, level), rng.uniform(0, 180), 0.4)
    return disc_kernel(between(1.0, 4.0, level))


def low_light(image: Array, level: float, rng: np.random.Generator) -> Array:
    """Expose by 0.24 down to 0.13, with the sensor noise of 1 to 2.5 of 255 that comes with it.

    A narrow range, since a dark photograph does not say how bright its scene was.
    """
    dark = log_between(0.24, 0.13, level) * image ** rng.uniform(1.0, 1.2)
    return _noisy(dark, rng.uniform(1.0, 2.5), rng)


def underexposed(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Expose by 0.6 down to 0.1 under several tone curves, unevenly lit, with sensor noise."""
    exposure = log_between(0.6, 0.1, level)
    bend = rng.uniform(0.85, 1.35)
    light: AnyArray = np.ones(())
    if rng.random() < 0.4:
        light = 1 + rng.uniform(0, 0.3) * (smooth_field(image.shape[:2], rng)[..., None] - 0.5)
    dark: AnyArray = exposure * np.power(image, bend) * light
    if rng.random() < 0.3:  # a toe that swallows shadows
        dark = dark * dark / (dark + np.float32(0.01 * rng.random()) + 1e-6)
    if rng.random() < 0.5:
        return sensor_noise(np.asarray(dark, np.float32), rng.uniform(0.1, 0.6), rng)
    sigma = rng.uniform(0.3, 2.5) / 255
    return np.asarray(dark + sigma * rng.standard_normal(image.shape))


def sensor_noise(image: Array, level: float, rng: np.random.Generator) -> Array:
    """Add the noise of a sensor to an image (H, W, 3) in [0, 1]; may leave that range.

    Made in linear light, spread by demosaicing, bent by the tone curve: after Brooks et al.,
    "Unprocessing images for learned raw denoising", CVPR 2019, whose ranges of shot and read noise
    these are. The noise alone goes through demosaicing, not the picture, which has been through it
    in the camera that took it. `level` is 0 (hardly to be seen) to 1 (strong).
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


def developed_noise(image: Array, level: float, rng: np.random.Generator) -> Array:
    """Add the noise of a sensor as a camera's own software leaves it; may leave [0, 1].

    Cameras smooth noise before they write a file, its colours far more than its brightness, and
    then sharpen: what is left are grains of several pixels, and wide blotches of colour.
    """
    noise = sensor_noise(image, level, rng) - image
    grey = noise.mean(axis=2, keepdims=True)
    colour = noise - grey
    fine, wide = rng.uniform(0, 1.2), log_between(0.5, 4, rng.random())
    # A part of the noise goes through unsmoothed, or strong noise would hardly be left.
    mixed = np.float32(rng.uniform(0.1, 0.5))
    smooth = ndimage.gaussian_filter(grey, (fine, fine, 0))
    blotches = ndimage.gaussian_filter(colour, (wide, wide, 0))
    noise = mixed * grey + (1 - mixed) * smooth + mixed * colour + (1 - mixed) * blotches
    noise = noise * np.float32(rng.uniform(1, 2))
    if rng.random() < 0.5:
        halo = noise - ndimage.gaussian_filter(noise, (1, 1, 0))
        noise = noise + np.float32(rng.uniform(0, 0.6)) * halo
    return np.asarray(image + noise, np.float32)


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
