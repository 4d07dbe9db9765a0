"""Degradations of micrographs, (H, W) about [0, 1]: plain ones, and as instruments make them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_baryir.training.degradations.fields import (
    AnyArray,
    Array,
    between,
    convolve,
    disc_kernel,
    log_between,
    smooth_field,
    splines,
)

DEFOCUS = 1.5, 5.0
"""Radii of a microscope's defocus at levels 0 and 1, in pixels."""


def shot_noise(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Add Poisson noise of 400 down to 8 photons at full scale, and Gaussian read noise."""
    photons = log_between(400, 8, level)
    counts = rng.poisson(np.clip(image, 0, None) * photons) / photons
    read = rng.uniform(0.005, 0.03)
    return counts + read * rng.standard_normal(image.shape)


def defocus(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Blur by a disc or a Gaussian with a radius of 1.5 to 5 pixels, and add faint noise."""
    radius = between(*DEFOCUS, level)
    if rng.random() < 0.5:
        blurred = convolve(image, disc_kernel(radius))
    else:
        blurred = ndimage.gaussian_filter(image, radius / 2, mode="reflect")
    return blurred + np.float32(rng.uniform(0.001, 0.005)) * rng.standard_normal(image.shape)


def background(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Add out-of-focus light: the image's own wide blur and a smooth glow, 0.15 to 0.8 in all.

    The glow is of neighbours above and below: 32 to 96 pixels apart, whatever the image's size.
    Without the even part, which looks like the camera's offset.
    """
    strength = between(0.15, 0.8, level)
    own = ndimage.gaussian_filter(image, rng.uniform(12, 32), mode="reflect")
    own = own / max(float(own.max()), 1e-6)
    spacing = rng.uniform(32, 96)
    glow = splines(image.shape, [max(3, round(s / spacing)) for s in image.shape], rng)
    share = rng.uniform(0.2, 0.8)
    light = share * own + (1 - share) * glow
    light = strength * (light - light.min()) / max(float(np.ptp(light)), 1e-6)
    return np.asarray(image + light + 0.003 * rng.standard_normal(image.shape))


def stripes(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Give rows or columns an offset (0.02 to 0.2) and a gain of their own."""
    amplitude = log_between(0.02, 0.2, level)
    axis = int(rng.integers(2))
    lines = rng.standard_normal(image.shape[axis])
    lines = ndimage.gaussian_filter1d(lines, rng.uniform(0.01, 1.0), mode="reflect")
    profile = _along(axis, amplitude, lines)
    gain = rng.uniform(0, 1)
    return np.asarray(image * (1 + gain * profile) + profile)


def camera_noise(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Take the image by an sCMOS or EMCCD camera, with 1500 down to 6 photons.

    Each pixel has its own gain and offset, and a few are hot. An EMCCD multiplies its electrons at
    random, which doubles the variance.
    """
    photons = log_between(1500, 6, level)
    emccd = rng.random() < 0.3
    signal = np.clip(image, 0, None) * photons / (2 if emccd else 1)
    counts = rng.poisson(signal) * (2 if emccd else 1) / photons
    read = rng.uniform(0.002, 0.03) * (1 + 0.3 * rng.standard_normal(image.shape))
    noisy = counts * (1 + 0.01 * rng.standard_normal(image.shape))
    noisy = noisy + read * rng.standard_normal(image.shape)
    noisy = noisy + rng.uniform(0, 0.005) * rng.standard_normal(image.shape)
    hot = rng.random(image.shape) < rng.uniform(0, 3e-4)
    return np.where(hot, noisy + rng.exponential(0.6, image.shape), noisy)


def scanned(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Make the lines of a scanner brighter and darker, one by one or in thin bands."""
    amplitude = log_between(0.015, 0.15, level)
    axis = int(rng.integers(2))
    lines = np.asarray(rng.standard_normal(image.shape[axis]))
    if rng.random() < 0.5:
        period = rng.uniform(2, 12)
        lines = np.sin(2 * np.pi * np.arange(image.shape[axis]) / period) + 0.3 * lines
    profile = _along(axis, amplitude, lines)
    return np.asarray(image * (1 + profile) + rng.uniform(0, 0.5) * profile)


def _along(axis: int, amplitude: float, lines: AnyArray) -> AnyArray:
    """Give the values of lines a standard deviation, and the shape to broadcast along an axis."""
    return np.expand_dims(amplitude * lines / max(float(lines.std()), 1e-6), 1 - axis)


def uneven_background(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Add a smooth light over the field, brighter on one side or around the middle."""
    strength = between(0.1, 0.8, level)
    light = smooth_field(image.shape, rng)
    if rng.random() < 0.5:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        centre = [rng.uniform(0.2, 0.8) * side for side in image.shape]
        radius = rng.uniform(0.4, 1.0) * max(image.shape)
        light = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * radius**2))
        light = (light - light.min()) / max(float(np.ptp(light)), 1e-6)
    return np.asarray(image + strength * light + 0.003 * rng.standard_normal(image.shape))
