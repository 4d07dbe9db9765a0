"""Pieces that degradations are made of: kernels, smooth random fields, levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

Array = NDArray[np.float32]
Array64 = NDArray[np.float64]
AnyArray = NDArray[Any]
"""An array of any floating type: `degrade` makes it float32."""


def between(low: float, high: float, level: float) -> float:
    """Return a value from `low` at level 0 to `high` at level 1."""
    return low + (high - low) * level


def log_between(low: float, high: float, level: float) -> float:
    """Return a value from `low` at level 0 to `high` at level 1, by the same factor everywhere."""
    return float(low * (high / low) ** level)


def convolve(image: Array, kernel: Array) -> Array:
    """Convolve (H, W) or (H, W, C) with a small kernel of odd sides, reflecting at the edges."""
    margin = [(side // 2, side // 2) for side in kernel.shape]
    planes = image[..., None] if image.ndim == 2 else image
    padded = np.pad(planes, (*margin, (0, 0)), mode="symmetric")
    result = signal.oaconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1))
    return np.asarray(result.reshape(image.shape), np.float32)


def disc_kernel(radius: float) -> Array:
    """Make a disc of a radius in pixels, its rim shaded by coverage; sums to 1, odd sides."""
    half = int(np.ceil(radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(disc / disc.sum(), np.float32)


def gaussian_kernel(sigma: float) -> Array:
    """Make a Gaussian of a standard deviation in pixels; sums to 1, odd sides."""
    half = int(np.ceil(3 * sigma))
    line = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel = line[:, None] * line
    return np.asarray(kernel / kernel.sum(), np.float32)


def line_kernel(length: float, angle: float, thickness: float) -> Array:
    """Make a line of a length in pixels at an angle in degrees, Gaussian across; sums to 1."""
    half = int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    radians = np.deg2rad(angle)
    along = x * np.cos(radians) - y * np.sin(radians)
    across = x * np.sin(radians) + y * np.cos(radians)
    line = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.exp(
        -0.5 * (across / thickness) ** 2
    )
    return np.asarray(line / line.sum(), np.float32)


def path_kernel(length: float, rng: np.random.Generator) -> Array:
    """Make the trace of a shaking hand: a curved path of a length in pixels, unevenly lit.

    The direction wanders, and the camera rests at some places longer than at others. Its centre of
    mass is in the middle, so that the image does not move.
    """
    steps = max(8, int(4 * length))
    turning = rng.normal(0, rng.uniform(0, 4) / np.sqrt(steps), steps)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turning)
    points = np.cumsum(np.stack([np.sin(heading), np.cos(heading)]) * length / steps, axis=1)
    pace = ndimage.gaussian_filter1d(rng.random(steps), steps / 12, mode="reflect")
    weights = (pace - 0.9 * pace.min()) ** rng.uniform(0, 1.5)
    weights /= weights.sum()
    points -= (points * weights).sum(axis=1, keepdims=True)
    half = int(np.ceil(np.abs(points).max())) + 2
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    low = np.floor(points).astype(int)
    part = points - low
    for down in (0, 1):  # each point is shared among the four pixels around it
        for right in (0, 1):
            share = np.abs(1 - down - part[0]) * np.abs(1 - right - part[1])
            np.add.at(kernel, (low[0] + half + down, low[1] + half + right), weights * share)
    return np.asarray(kernel, np.float32)


def smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw a smooth field over [0, 1]: a tilted plane plus cubic splines through coarse noise."""
    side = int(rng.integers(3, 7))
    field = splines(shape, [side, side], rng)
    tilt = rng.normal(size=2)
    slope = [t * np.linspace(0, (side - 1) / side, s) for t, s in zip(tilt, shape, strict=True)]
    return over_unit_range(field + slope[0][:, None] + slope[1][None, :])


def splines(shape: tuple[int, ...], knots: list[int], rng: np.random.Generator) -> AnyArray:
    """Draw cubic splines through that many random values of [0, 1] along each side."""
    coarse = rng.random(knots)
    knot_of = [np.linspace(0, k - 1, s) for k, s in zip(knots, shape, strict=True)]
    field = ndimage.map_coordinates(
        coarse, np.meshgrid(*knot_of, indexing="ij"), order=3, mode="nearest"
    )
    return np.asarray(field)


def over_unit_range(field: AnyArray) -> Array:
    """Stretch a field over [0, 1]."""
    low, high = field.min(), field.max()
    return np.asarray((field - low) / max(high - low, 1e-6), np.float32)
