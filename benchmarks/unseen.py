"""Degradations that training never sees."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]


def jpeg(image: Array, rng: np.random.Generator) -> Array:
    """JPEG of quality 8 to 20."""
    pixels = Image.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))
    file = io.BytesIO()
    pixels.save(file, "JPEG", quality=int(rng.integers(8, 21)))
    return np.asarray(Image.open(file), np.float32) / 255


def salt_and_pepper(image: Array, rng: np.random.Generator) -> Array:
    """2 to 10 percent of the pixels black or white."""
    share = rng.uniform(0.02, 0.10)
    drawn = rng.random(image.shape[:2])
    drawn = drawn if image.ndim == 2 else drawn[..., None]
    return np.where(drawn < share / 2, 0, np.where(drawn < share, 1, image)).astype(np.float32)


def banding(image: Array, rng: np.random.Generator) -> Array:
    """4 to 7 grey values per colour."""
    steps = int(rng.integers(3, 7))
    return (np.rint(np.clip(image, 0, 1) * steps) / steps).astype(np.float32)


UNSEEN: Mapping[str, Callable[[Array, np.random.Generator], Array]] = {
    "JPEG": jpeg,
    "salt and pepper": salt_and_pepper,
    "banding": banding,
}
"""Name to the degradation, of clean images in [0, 1], (H, W) or (H, W, 3)."""
