"""Photon transfer: the gain and offset of a camera from one noisy image.

Light comes in photons, so that the variance of a pixel grows in proportion to its signal:
``variance = gain (mean - offset)``. The line through (mean, variance) of many small blocks gives
both. Read noise raises the line; one image cannot distinguish it from a lower offset. To make noise
like the image's nothing more is needed: `offset` is where the line says that the noise ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_baryir.errors import DataError
from napari_baryir.training.degradations.fields import Array, Array64

BLOCK = 8
"""Side of the blocks, pixels."""
SMOOTHEST = 0.25
"""Share of the blocks of equal brightness that is believed: structure only adds variance."""
BINS = 16
"""Levels of brightness that are compared."""
FEWEST_BLOCKS = 16
"""In a bin; with less its variance is not used."""
LEAST_NOISE = 1e-6
"""Standard deviation over the range below which it is rounding, not noise."""
REFINEMENTS = 4
"""Rounds of ranking the blocks by the last line and fitting the next."""
_HIGH_PASS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6.0
"""Unit variance on white noise, and nothing on slopes (Immerkaer, CVIU 1996)."""


@dataclass(frozen=True)
class CameraNoise:
    """Noise whose variance is a line over the signal, in the image's units."""

    gain: float
    """Grey values per photon; 0 where the noise does not depend on the signal."""
    variance: float
    """Variance where the signal is 0; negative where the offset is positive."""
    low: float
    """Signal of the darkest places of the image (0.1 percentile of the block means)."""
    high: float
    """Signal of the brightest places (99.9 percentile)."""

    @property
    def offset(self) -> float:
        """Return the signal where the noise ends: the camera's offset, less read noise^2 / gain."""
        return -self.variance / self.gain if self.gain else -np.inf

    def scaled(self, low: float, high: float) -> CameraNoise:
        """Return the same noise of the image mapped so that `low` goes to 0 and `high` to 1."""
        span = high - low
        return CameraNoise(
            self.gain / span,
            (self.variance + self.gain * low) / span**2,
            (self.low - low) / span,
            (self.high - low) / span,
        )

    def add(self, signal: Array, rng: np.random.Generator) -> Array:
        """Make noise on a signal, any shape, in the units of this noise."""
        if self.gain > 0:
            photons = np.clip((signal - self.offset) / self.gain, 0, None)
            noisy = signal + self.gain * (rng.poisson(photons) - photons)
        else:
            noisy = signal + np.sqrt(self.variance) * rng.standard_normal(signal.shape)
        return np.asarray(noisy, np.float32)


def fit_camera_noise(planes: Iterable[NDArray[np.generic]]) -> CameraNoise:
    """Fit gain and offset to noisy planes, (H, W) each, in the camera's units.

    They are of one camera, not filtered or interpolated since. In each block the variance is that
    of a high-pass filter that ignores slopes; in each bin of brightness only the smoothest quarter
    of the blocks counts, corrected by what that quarter has in pure noise. Raises `DataError` if
    there is too little to fit, or no noise.
    """
    means, variances = [], []
    for plane in planes:
        mean, variance = _blocks(np.asarray(plane, np.float64))
        means.append(mean)
        variances.append(variance)
    mean, variance = np.concatenate(means), np.concatenate(variances)
    if mean.size < 2 * FEWEST_BLOCKS:
        raise DataError(
            f"{mean.size} blocks of {BLOCK} x {BLOCK} pixels are too few to measure noise; "
            "give a larger noisy image, one that is not saturated"
        )
    low, high = (float(v) for v in np.percentile(mean, (0.1, 99.9)))
    if float(np.median(variance)) <= (LEAST_NOISE * (high - low)) ** 2 or high <= low:
        raise DataError("the image has no noise to measure; give one as the camera took it")
    gain, at_zero = 0.0, float(np.median(variance))
    for _ in range(REFINEMENTS):
        expected = np.maximum(at_zero + gain * mean, 1e-3 * float(np.median(variance)) + 1e-12)
        x, y = _bins(mean, variance, expected)
        gain, at_zero = _line(x, y)
    if gain <= 0:  # no sign of photons: the noise is the same everywhere
        return CameraNoise(0.0, float(np.median(y)), low, high)
    return CameraNoise(gain, at_zero, low, high)


def _blocks(plane: Array64) -> tuple[Array64, Array64]:
    """Return the mean and variance of the noise in each whole block that is not saturated."""
    blocks, noise = _cut(plane), _cut(ndimage.convolve(plane, _HIGH_PASS, mode="reflect"))
    # Where a value was cut off at an end of the range, part of the noise is missing.
    ends = (blocks == plane.min()) | (blocks == plane.max())
    whole = ends.sum(axis=1) <= 1
    return blocks[whole].mean(axis=1), np.square(noise[whole]).mean(axis=1)


def _cut(values: Array64) -> Array64:
    """Cut (H, W) into whole blocks, (N, BLOCK^2)."""
    rows, columns = (side // BLOCK for side in values.shape)
    inside = values[: rows * BLOCK, : columns * BLOCK]
    blocks = inside.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    return blocks.reshape(-1, BLOCK * BLOCK)


def _bins(mean: Array64, variance: Array64, expected: Array64) -> tuple[Array64, Array64]:
    """Return the brightness and variance of the noise in each bin; bins hold as many blocks each.

    Blocks are ranked by their variance over the expected one, or the dark ones would seem smooth.
    """
    share = _share_of_smoothest()
    ratio = variance / expected
    order = np.argsort(mean, kind="stable")
    bins = max(2, min(BINS, mean.size // (4 * FEWEST_BLOCKS)))
    x, y = [], []
    for chosen in np.array_split(order, bins):
        smooth = chosen[np.argsort(ratio[chosen])[: max(4, int(SMOOTHEST * chosen.size))]]
        x.append(mean[smooth].mean())
        y.append(ratio[smooth].mean() / share * expected[smooth].mean())
    return np.array(x), np.array(y)


def _share_of_smoothest() -> float:
    """Return the variance of the smoothest quarter of blocks of white noise, as a part of all."""
    noise = np.random.default_rng(0).standard_normal((512, 512))
    blocks = _cut(ndimage.convolve(noise, _HIGH_PASS, mode="wrap"))
    variances = np.sort(np.square(blocks).mean(axis=1))
    return float(variances[: int(SMOOTHEST * variances.size)].mean())


def _line(x: Array64, y: Array64) -> tuple[float, float]:
    """Fit slope and value at 0, by least squares on relative errors, then without outliers."""
    weight = 1 / np.maximum(y, 1e-6 * float(y.max()))
    kept = np.ones(x.size, bool)
    slope, at_zero = 0.0, 0.0
    for _ in range(3):
        slope, at_zero = (float(v) for v in np.polyfit(x[kept], y[kept], 1, w=weight[kept]))
        relative = np.abs(y - (slope * x + at_zero)) * weight
        kept = relative <= 3 * max(float(np.median(relative)), 1e-9)
        if kept.sum() < 3:
            break
    return slope, at_zero
