"""Where the bank of large filters starts: the components of the filters that undo blur.

From a random start a bank takes long to find out that blur is undone by sharpening along the very
line that it smoothed. The best linear filter against a known blur is known (Wiener, 1949; here of
finite size); mixtures of a few principal components of many such filters come close to each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLURS = 200
"""Random blurs whose filters are taken apart."""
SIDE = 128
"""Of the grid on which the spectra stand, in pixels."""
NOISE = 1.2e-3
"""Standard deviation of the noise allowed for: that of rounding to 8 bits."""
MEAN, CONTRAST = 0.5, 0.25
"""Mean and standard deviation of the images allowed for."""

Array = NDArray[np.float64]
Kernel = Callable[[np.random.Generator], NDArray[np.float32]]


def deblurring_filters(random_kernel: Kernel, count: int, size: int) -> Tensor:
    """Principal components of the filters that undo random blurs.

    Parameters
    ----------
    random_kernel
        Draws a blur: (h, w), odd sides, sums to 1.
    count, size
        How many components, and their side in pixels; odd.

    Returns
    -------
    Tensor
        (count, size, size), float32, of cross-correlation with the image as `torch.nn.Conv2d` does
        it. What they give is added to the image, so the image itself is taken off; a mixture weight
        of each has a standard deviation of about 1.
    """
    rng = np.random.default_rng(0)
    filters = np.stack([wiener_filter(random_kernel(rng), size).ravel() for _ in range(BLURS)])
    filters[:, filters.shape[1] // 2] -= 1
    _, lengths, components = np.linalg.svd(filters, full_matrices=False)
    found = lengths[:count, None] / np.sqrt(BLURS) * components[:count]
    bank = np.zeros((count, size * size))
    bank[: len(found)] = found
    return torch.from_numpy(bank.reshape(count, size, size)).float()


def wiener_filter(kernel: NDArray[np.float32], size: int) -> Array:
    """The filter, (size, size), that best undoes a blur in natural images, in the mean square.

    Natural images have a power that falls with the square of the frequency (Field, J. Opt. Soc. Am.
    A 1987). With that, the normal equations of the filter's values are solved.
    """
    frequencies = np.fft.fftfreq(SIDE)
    square = frequencies[:, None] ** 2 + frequencies[None, :] ** 2
    power = 1 / (square + 1 / SIDE**2)
    power *= CONTRAST**2 / power.mean()
    padded = np.zeros((SIDE, SIDE))
    height, width = kernel.shape
    padded[:height, :width] = kernel
    blur = np.fft.fft2(np.roll(padded, (-(height // 2), -(width // 2)), axis=(0, 1)))
    blurred = np.fft.ifft2(power * np.abs(blur) ** 2).real + MEAN**2
    blurred[0, 0] += NOISE**2
    crossed = np.fft.ifft2(power * blur).real + MEAN**2
    offsets = np.arange(size) - size // 2
    down, right = (a.ravel() for a in np.meshgrid(offsets, offsets, indexing="ij"))
    normal = blurred[(down[:, None] - down) % SIDE, (right[:, None] - right) % SIDE]
    wanted = crossed[down % SIDE, right % SIDE]
    return np.asarray(np.linalg.solve(normal, wanted).reshape(size, size))
