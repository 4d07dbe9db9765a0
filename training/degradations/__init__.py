"""Seeded degradations of clean images: what training, evaluation and the samples degrade with.

Every degradation is a function of an image, a level and a generator. The level runs from 0
(mildest) to 1 (strongest) and stands for the physical strength named in the function; what the
level does not fix (angles, positions, tints) is drawn from the generator. The same generator state
gives the same image. Photographs end as 8-bit values in [0, 1], rounded and clipped, as files hold
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from napari_baryir.domains import CLEAN
from napari_baryir.errors import InputError

Array = NDArray[np.float32]
AnyArray = NDArray[Any]
"""Of any floating type: `degrade` makes it float32."""

SIGMA_MIN, SIGMA_MAX = 5.0, 50.0
"""Standard deviations of photographic noise at levels 0 and 1, in grey values of 255."""
DEFOCUS = 1.5, 5.0
"""Radii of a microscope's defocus at levels 0 and 1, in pixels."""


@dataclass(frozen=True)
class Degraded:
    """A degraded image and how strongly it was degraded."""

    image: Array
    """Same shape as the clean image; float32."""
    level: float
    """0 (mildest) to 1 (strongest)."""


@dataclass(frozen=True)
class Degradation:
    """One way in which images go bad."""

    apply: Callable[[Array, float, np.random.Generator], AnyArray]
    """Clean image, level and generator to the degraded image."""
    summary: str
    """What it is and how strong it gets, in one sentence."""


def noise_level(sigma: float) -> float:
    """Level of the photographic noise whose standard deviation is ``sigma`` (of 255)."""
    return (sigma - SIGMA_MIN) / (SIGMA_MAX - SIGMA_MIN)


def degrade(
    image: Array,
    domain: str,
    rng: np.random.Generator,
    *,
    profile: str = "photo",
    level: float | None = None,
) -> Degraded:
    """Degrade a clean image.

    Parameters
    ----------
    image
        Clean image, float32: (H, W, 3) in [0, 1] for "photo", (H, W) about [0, 1] for "microscopy".
    domain
        A name in ``DEGRADATIONS[profile]``, or "clean" for none.
    rng
        Where every random choice comes from.
    profile
        "photo" or "microscopy".
    level
        0 (mildest) to 1 (strongest); None draws it uniformly.

    Raises
    ------
    InputError
        If the profile, the domain or the image's shape is not one of these.
    """
    known = DEGRADATIONS.get(profile)
    if known is None:
        raise InputError(f"no degradation profile {profile!r}; use one of {sorted(DEGRADATIONS)}")
    if domain != CLEAN and domain not in known:
        raise InputError(f"no domain {domain!r} in {profile!r}; use one of {[*known, CLEAN]}")
    expected = 3 if profile == "photo" else 2
    if image.ndim != expected:
        raise InputError(
            f"profile {profile!r} degrades images of {expected} dimensions, got shape {image.shape}"
        )
    drawn = float(rng.uniform()) if level is None else float(level)
    if domain == CLEAN:
        return Degraded(image, 0.0)
    result = known[domain].apply(image, drawn, rng)
    if profile == "photo":
        result = np.rint(np.clip(result, 0, 1) * 255) / 255
    return Degraded(result.astype(np.float32), drawn)


def _between(low: float, high: float, level: float) -> float:
    return low + (high - low) * level


def log_between(low: float, high: float, level: float) -> float:
    """From `low` at level 0 to `high` at level 1, by the same factor everywhere."""
    return float(low * (high / low) ** level)


# Photographs


def _noise(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """White Gaussian noise, standard deviation 5 to 50 of 255."""
    sigma = _between(SIGMA_MIN, SIGMA_MAX, level) / 255
    return image + np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)


def _rain(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Bright streaks, two sizes, falling within 30 degrees of the vertical."""
    height, width = image.shape[:2]
    angle = rng.uniform(-30, 30)
    streaks = np.zeros((height, width), np.float32)
    for length, thickness in ((rng.uniform(8, 16), 0.5), (rng.uniform(18, 40), 0.8)):
        kernel = line_kernel(length, 90 + angle + rng.uniform(-3, 3), thickness)
        density = log_between(0.006, 0.08, level) / length
        drops = (rng.random((height, width)) < density) * rng.uniform(0.4, 1, (height, width))
        layer = signal.oaconvolve(drops, kernel / kernel.max(), mode="same")
        streaks += np.clip(layer, 0, 1).astype(np.float32)
    opacity = rng.uniform(0.6, 0.9)
    veil = np.clip(streaks * opacity, 0, 0.95)[..., None]
    return np.asarray(image * (1 - veil) + np.float32(rng.uniform(0.85, 1.0)) * veil)


def _haze(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Koschmieder's model ``J t + A (1 - t)``: optical depth up to 0.4 to 1.8, bright airlight."""
    depth = _smooth_field(image.shape[:2], rng)
    near = rng.uniform(0.15, 0.6)
    optical_depth = _between(0.4, 1.8, level) * (near + (1 - near) * depth)
    transmission = np.exp(-optical_depth)[..., None].astype(np.float32)
    airlight = rng.uniform(0.8, 1.0) + rng.uniform(-0.02, 0.02, 3)
    return np.asarray(image * transmission + airlight.astype(np.float32) * (1 - transmission))


def _blur(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Motion over 4 to 16 pixels, or defocus with a radius of 1 to 4 pixels."""
    return convolve(image, _blur_kernel(level, rng))


def _blur_kernel(level: float, rng: np.random.Generator) -> Array:
    if rng.random() < 0.5:
        return line_kernel(_between(4, 16, level), rng.uniform(0, 180), 0.4)
    return disc_kernel(_between(1.0, 4.0, level))


def _low_light(image: Array, level: float, rng: np.random.Generator) -> Array:
    """Exposure of 0.24 down to 0.13, with the sensor noise of 1 to 2.5 of 255 that comes with it.

    A narrow range, since a dark photograph does not say how bright its scene was.
    """
    dark = log_between(0.24, 0.13, level) * image ** rng.uniform(1.0, 1.2)
    sigma = rng.uniform(1.0, 2.5) / 255
    return dark + np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)


# Microscopy


def _shot_noise(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Poisson noise of 400 down to 8 photons at full scale, and Gaussian read noise."""
    photons = log_between(400, 8, level)
    counts = rng.poisson(np.clip(image, 0, None) * photons) / photons
    read = rng.uniform(0.005, 0.03)
    return counts + read * rng.standard_normal(image.shape)


def _defocus(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Defocus, a disc or Gaussian with a radius of 1.5 to 5 pixels, and faint noise."""
    radius = _between(*DEFOCUS, level)
    if rng.random() < 0.5:
        blurred = convolve(image, disc_kernel(radius))
    else:
        blurred = ndimage.gaussian_filter(image, radius / 2, mode="reflect")
    return blurred + np.float32(rng.uniform(0.001, 0.005)) * rng.standard_normal(image.shape)


def _background(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Out-of-focus light: the image's own wide blur and a smooth glow, 0.15 to 0.8 in all.

    The glow is of neighbours above and below: 32 to 96 pixels apart, whatever the image's size.
    Without the even part, which nobody can tell from the camera's offset.
    """
    strength = _between(0.15, 0.8, level)
    own = ndimage.gaussian_filter(image, rng.uniform(12, 32), mode="reflect")
    own = own / max(float(own.max()), 1e-6)
    spacing = rng.uniform(32, 96)
    glow = _splines(image.shape, [max(3, round(s / spacing)) for s in image.shape], rng)
    share = rng.uniform(0.2, 0.8)
    light = share * own + (1 - share) * glow
    light = strength * (light - light.min()) / max(float(np.ptp(light)), 1e-6)
    return np.asarray(image + light + 0.003 * rng.standard_normal(image.shape))


def _stripes(image: Array, level: float, rng: np.random.Generator) -> AnyArray:
    """Rows or columns with their own offset (0.02 to 0.2) and gain, constant along the line."""
    amplitude = log_between(0.02, 0.2, level)
    axis = int(rng.integers(2))
    lines = rng.standard_normal(image.shape[axis])
    lines = ndimage.gaussian_filter1d(lines, rng.uniform(0.01, 1.0), mode="reflect")
    lines = amplitude * lines / max(float(lines.std()), 1e-6)
    profile = lines[:, None] if axis == 0 else lines[None, :]
    gain = rng.uniform(0, 1)
    return np.asarray(image * (1 + gain * profile) + profile)


# Pieces


def convolve(image: Array, kernel: Array) -> Array:
    """Convolve (H, W) or (H, W, C) with a small kernel of odd sides, reflecting at the edges."""
    margin = [(side // 2, side // 2) for side in kernel.shape]
    planes = image[..., None] if image.ndim == 2 else image
    padded = np.pad(planes, (*margin, (0, 0)), mode="symmetric")
    result = signal.oaconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1))
    return np.asarray(result.reshape(image.shape), np.float32)


def disc_kernel(radius: float) -> Array:
    """Disc of a radius in pixels, its rim shaded by coverage; sums to 1, odd sides."""
    half = int(np.ceil(radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(disc / disc.sum(), np.float32)


def line_kernel(length: float, angle: float, thickness: float) -> Array:
    """Line of a length in pixels at an angle in degrees, Gaussian across; sums to 1, odd sides."""
    half = int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    radians = np.deg2rad(angle)
    along = x * np.cos(radians) - y * np.sin(radians)
    across = x * np.sin(radians) + y * np.cos(radians)
    line = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.exp(
        -0.5 * (across / thickness) ** 2
    )
    return np.asarray(line / line.sum(), np.float32)


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A smooth random field over [0, 1]: a tilted plane plus cubic splines through coarse noise."""
    side = int(rng.integers(3, 7))
    field = _splines(shape, [side, side], rng)
    tilt = rng.normal(size=2)
    slope = [t * np.linspace(0, (side - 1) / side, s) for t, s in zip(tilt, shape, strict=True)]
    return _over_unit_range(field + slope[0][:, None] + slope[1][None, :])


def _splines(shape: tuple[int, ...], knots: list[int], rng: np.random.Generator) -> AnyArray:
    """Cubic splines through that many random values of [0, 1] along each side."""
    coarse = rng.random(knots)
    places = [np.linspace(0, k - 1, s) for k, s in zip(knots, shape, strict=True)]
    field = ndimage.map_coordinates(
        coarse, np.meshgrid(*places, indexing="ij"), order=3, mode="nearest"
    )
    return np.asarray(field)


def _over_unit_range(field: AnyArray) -> Array:
    low, high = field.min(), field.max()
    return np.asarray((field - low) / max(high - low, 1e-6), np.float32)


def random_blur(profile: str, rng: np.random.Generator) -> Array:
    """A kernel of a profile's "blur", of a random level: (h, w), odd sides, sums to 1."""
    level = float(rng.random())
    if profile == "photo":
        return _blur_kernel(level, rng)
    return disc_kernel(_between(*DEFOCUS, level))


DEGRADATIONS: Mapping[str, Mapping[str, Degradation]] = {
    "photo": {
        "noise": Degradation(_noise, "white Gaussian noise, sigma 5 to 50 of 255"),
        "rain": Degradation(_rain, "bright streaks of rain, sparse to dense"),
        "haze": Degradation(_haze, "haze of optical depth 0.4 to 1.8 with a smooth depth map"),
        "blur": Degradation(_blur, "motion over 4 to 16 pixels or defocus of radius 1 to 4"),
        "low light": Degradation(_low_light, "exposure 0.24 down to 0.13, with sensor noise"),
    },
    "microscopy": {
        "noise": Degradation(_shot_noise, "Poisson noise of 400 to 8 photons, with read noise"),
        "blur": Degradation(_defocus, "defocus of radius 1.5 to 5 pixels"),
        "background": Degradation(_background, "out-of-focus light, 0.15 to 0.8 of full scale"),
        "stripes": Degradation(_stripes, "rows or columns with their own offset and gain"),
    },
}
"""Profiles, their domains, and how each degrades."""
