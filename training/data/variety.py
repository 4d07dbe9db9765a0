"""Varied clean fields of view, as microscopes and people make them.

A handful of micrographs has a handful of looks, and a network soon knows them by heart. What varies
here is what varies between microscopes: pixel size, contrast, and what lies above or below the
focus. Photographs are of any size, graded, sharpened, framed.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_baryir.training.data.images import Files, random_patch, random_plane
from napari_baryir.training.data.synthetic_fields import synthetic_field
from napari_baryir.training.degradations.fields import Array, log_between
from napari_baryir.training.degradations.files import SHARPENED, from_bytes, sharpened

FINEST, COARSEST = 0.5, 3.0
"""Magnifications: below 1 structures get smaller and sharper, above 1 larger and smoother. Well
above, as many a microscope samples finer than it resolves: its clean images are smooth, and a
network that never saw any takes them for blurred."""
RESCALED, SUPERPOSED, BENT = 0.7, 0.25, 0.5
"""Shares of the fields with another magnification, a second field on top, another contrast."""
GRAINY, GRAIN = 0.7, 0.012
"""Share of the fields with a grain of their own, and its largest standard deviation: without it,
clean smooth fields alone would have none, and faint noise would be taken for a sign of blur."""
BEND = 1.7
"""Largest exponent of the contrast, and the inverse of the smallest."""

UNCUT = 0.4
"""Share of the fields that show as much of a picture as fits."""
LEAST_SCALE = 0.5
"""Pictures are reduced by up to this factor."""
GRADED, GREY, FRAMED = 0.25, 0.04, 0.03
"""Shares that are graded, without colour, or framed by an even border."""


def varied_field(
    files: Files, side: int, rng: np.random.Generator, *, synthetic: float = 0.0
) -> Array:
    """Make a clean field of view, (side, side) float32, about [0, 1.2].

    `files` are clean planes (H, W), about [0, 1], by file; of those, each is drawn as often. A
    share `synthetic` of the fields comes from no file, but from `synthetic_field`.
    """
    drawn = synthetic > 0 and rng.random() < synthetic
    field = synthetic_field(side, rng) if drawn else _magnified(files, side, rng)
    if rng.random() < SUPERPOSED:
        share = np.float32(rng.uniform(0.2, 1))
        other = _magnified(files, side, rng)
        field = np.asarray((field + share * other) / (1 + share), np.float32)
    if rng.random() < BENT:
        bend = np.float32(BEND ** rng.uniform(-1, 1))
        field = np.power(np.clip(field, 0, None), bend, dtype=np.float32)
    if rng.random() < GRAINY:
        grain = np.float32(GRAIN * rng.random())
        field = field + grain * rng.standard_normal(field.shape, dtype=np.float32)
    return np.asarray(field * np.float32(rng.uniform(0.6, 1.2)), np.float32)


def _magnified(files: Files, side: int, rng: np.random.Generator) -> Array:
    plane = random_plane(files, rng)
    zoom = log_between(FINEST, COARSEST, rng.random()) if rng.random() < RESCALED else 1.0
    cut = min(round(side / zoom), *plane.shape) if zoom < 1 else round(side / zoom)
    piece = random_patch(plane, cut, rng).astype(np.float32)
    if cut >= 1.5 * side:  # means of 2x2 first: fine structures would turn coarse
        half = cut // 2
        piece = piece[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean(axis=(1, 3))
    if len(piece) == side:
        return piece
    order = 3 if side > len(piece) else 1  # linear interpolation would leave creases
    return np.asarray(ndimage.zoom(piece, side / len(piece), order=order, mode="nearest"))


def photo_field(files: Files, height: int, width: int, rng: np.random.Generator) -> Array:
    """Draw a clean field of view, (height, width, 3) float32 in [0, 1].

    `files` are photographs (H, W, 3) uint8, by file; of those, each is drawn as often.
    """
    image = random_plane(files, rng)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    # The largest crop of that shape, or one that is reduced by less.
    largest = min(image.shape[0] / height, image.shape[1] / width)
    scale = largest if rng.random() < UNCUT else rng.uniform(1, max(1, 1 / LEAST_SCALE))
    scale = min(scale, largest)
    side = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (int(rng.integers(s - c + 1)) for s, c in zip(image.shape, side, strict=False))
    crop = np.ascontiguousarray(image[top : top + side[0], left : left + side[1]])
    if side != (height, width):
        method = Image.Resampling.LANCZOS if rng.random() < 0.7 else Image.Resampling.BICUBIC
        crop = np.asarray(Image.fromarray(crop).resize((width, height), method))
    field = from_bytes(crop)
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
