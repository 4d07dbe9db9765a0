"""Varied fields of view from few microscopy images: other magnifications, contrasts, neighbours.

A handful of files has a handful of looks, and a network soon knows them by heart. What varies here
is what varies between microscopes: pixel size, contrast, and what lies above or below the focus.
Where weights are to know any microscope, a share is drawn from random processes altogether.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_baryir.training.data.images import random_square, turn
from napari_baryir.training.data.synthetic_fields import synthetic_field
from napari_baryir.training.degradations import log_between

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

Array = NDArray[np.float32]
Files = Sequence[Sequence[NDArray[np.generic]]]


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
    planes = files[int(rng.integers(len(files)))]
    plane = planes[int(rng.integers(len(planes)))]
    zoom = log_between(FINEST, COARSEST, rng.random()) if rng.random() < RESCALED else 1.0
    cut = min(round(side / zoom), *plane.shape) if zoom < 1 else round(side / zoom)
    piece = turn(random_square(plane, cut, rng), int(rng.integers(8))).astype(np.float32)
    if cut >= 1.5 * side:  # means of 2x2 first: fine structures would turn coarse
        half = cut // 2
        piece = piece[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean(axis=(1, 3))
    if len(piece) == side:
        return piece
    order = 3 if side > len(piece) else 1  # linear interpolation would leave creases
    return np.asarray(ndimage.zoom(piece, side / len(piece), order=order, mode="nearest"))
