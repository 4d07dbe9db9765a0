"""Treat images as files were treated: resampling, sharpening, JPEG, 8 bits."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_baryir.training.degradations.fields import AnyArray, Array

QUALITY = 40, 98
"""Range of JPEG's quality, as PIL counts it."""
COMPRESSED = 0.6
"""Share of the pictures that have been a JPEG file."""
SHARPENED = 0.2
"""Share of the clean pictures that were sharpened."""


@dataclass(frozen=True)
class FileFormat:
    """The format that a picture was saved in."""

    quality: int | None
    """Quality of JPEG; None where nothing was lost but what 8 bits lose."""
    subsampling: int = 0
    """Subsampling of its colours, as PIL has it: 0 none, 1 along rows, 2 along both, -1 default."""


def draw_file(rng: np.random.Generator) -> FileFormat:
    """Draw how a picture was saved."""
    if rng.random() >= COMPRESSED:
        return FileFormat(None)
    # High qualities more often than low ones, as in the world.
    low, high = QUALITY
    quality = high - int((high - low + 1) * rng.random() ** 1.5)
    return FileFormat(max(low, quality), int(rng.integers(0, 3)))


def to_bytes(image: AnyArray) -> NDArray[np.uint8]:
    """Round values, clipped to [0, 1], to 8 bits."""
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)


def from_bytes(plane: AnyArray) -> Array:
    """Convert 8 bits to float32 in [0, 1]; a plane of floats keeps its values."""
    values = np.asarray(plane, np.float32)
    return values / np.float32(255) if plane.dtype == np.uint8 else values


def through_file(image: Array, file: FileFormat) -> Array:
    """Save an image (H, W[, 3]), about [0, 1], and read it again: 8-bit values in [0, 1]."""
    levels = to_bytes(image)
    if file.quality is not None:
        memory = io.BytesIO()
        Image.fromarray(levels).save(
            memory, "JPEG", quality=file.quality, subsampling=file.subsampling
        )
        with Image.open(memory) as saved:
            levels = np.asarray(saved)
    return from_bytes(levels)


def sharpened(image: Array, rng: np.random.Generator) -> Array:
    """Sharpen an image (H, W, 3) mildly, by an unsharp mask."""
    sigma, amount = rng.uniform(0.5, 1.5), np.float32(rng.uniform(0.1, 0.7))
    soft = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    return np.asarray(np.clip(image + amount * (image - soft), 0, 1), np.float32)


def resized(image: Array, height: int, width: int) -> Array:
    """Resize (H, W) or (H, W, 3) float32 by Lanczos' filter, as most programs do."""
    planes = np.moveaxis(np.atleast_3d(image), -1, 0)
    size, method = (width, height), Image.Resampling.LANCZOS
    results = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, method))
        for plane in planes
    ]
    return np.stack(results, axis=-1).reshape(height, width, *image.shape[2:])
