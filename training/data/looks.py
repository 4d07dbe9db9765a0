"""Clean photographs as people have them: of any size, graded, sharpened, framed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_baryir.training.degradations.fields import Array
from napari_baryir.training.degradations.files import SHARPENED, sharpened

WHOLE = 0.4
"""Share of the fields that show as much of a picture as fits."""
LEAST_SCALE = 0.5
"""Pictures are reduced by up to this factor."""
GRADED, GREY, FRAMED = 0.25, 0.04, 0.03
"""Shares that are graded, without colour, or framed by an even border."""

Files = Sequence[Sequence[NDArray[np.generic]]]


def photo_field(files: Files, height: int, width: int, rng: np.random.Generator) -> Array:
    """Draw a clean field of view, (height, width, 3) float32 in [0, 1].

    `files` are photographs (H, W, 3) uint8, by file; of those, each is drawn as often.
    """
    planes = files[int(rng.integers(len(files)))]
    image = planes[int(rng.integers(len(planes)))]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    # The largest crop of that shape, or one that is reduced by less.
    largest = min(image.shape[0] / height, image.shape[1] / width)
    scale = largest if rng.random() < WHOLE else rng.uniform(1, max(1, 1 / LEAST_SCALE))
    scale = min(scale, largest)
    side = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (int(rng.integers(s - c + 1)) for s, c in zip(image.shape, side, strict=False))
    crop = np.ascontiguousarray(image[top : top + side[0], left : left + side[1]])
    if side != (height, width):
        method = Image.Resampling.LANCZOS if rng.random() < 0.7 else Image.Resampling.BICUBIC
        crop = np.asarray(Image.fromarray(crop).resize((width, height), method))
    field = crop.astype(np.float32) / np.float32(255)
    if rng.random() < GRADED:
        field = _graded(field, rng)
    if rng.random() < GREY:
        field = np.repeat(field.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < SHARPENED:
        field = sharpened(field, rng)
    if rng.random() < FRAMED:
        field = _framed(field, rng)
    return field


def _graded(field: Array, rng: np.random.Generator) -> Array:
    """Change contrast, brightness and saturation a little."""
    grey = field.mean(axis=2, keepdims=True)
    field = grey + np.float32(rng.uniform(0.6, 1.3)) * (field - grey)
    field = np.power(np.clip(field, 0, 1), np.float32(rng.uniform(0.75, 1.35)))
    contrast, middle = np.float32(rng.uniform(0.7, 1.15)), np.float32(rng.uniform(0.4, 0.6))
    return np.asarray(np.clip(middle + contrast * (field - middle), 0, 1), np.float32)


def _framed(field: Array, rng: np.random.Generator) -> Array:
    """Lay an even border around a picture, or along one of its sides."""
    framed = np.full_like(field, np.float32(rng.choice([0.0, 1.0, rng.random()])))
    height, width = field.shape[:2]
    top, left = (int(rng.integers(0, max(1, side // 4))) for side in (height, width))
    inside = np.s_[top : height - top * int(rng.integers(2)), left : width - left]
    framed[inside] = field[inside]
    return framed
