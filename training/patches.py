"""Pieces of images: random squares, turned and turned over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def random_square(
    image: NDArray[np.generic], side: int, rng: np.random.Generator
) -> NDArray[np.generic]:
    """A random square; images smaller than it are first reflected."""
    missing = [max(side - s, 0) for s in image.shape[:2]]
    if any(missing):
        margins = [(m // 2, m - m // 2) for m in missing] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, margins, mode="symmetric")
    top, left = (int(rng.integers(s - side + 1)) for s in image.shape[:2])
    return image[top : top + side, left : left + side]


def turn(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """One of the eight orientations of a square; 0 leaves it untouched."""
    image = np.rot90(image, orientation % 4)
    return image[:, ::-1] if orientation >= 4 else image
