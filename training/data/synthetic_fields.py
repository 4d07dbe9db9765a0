"""Clean microscopy fields drawn from random processes, for looks that no file at hand has.

Spots, speckle, filaments, cell walls and textured bodies, in focus through a small point spread
function, above an out-of-focus version of themselves that belongs to the picture. They teach what
a handful of files cannot: that soft textures exist, and are not blurred.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage, spatial

from napari_baryir.training.degradations.fields import AnyArray, Array, log_between

Structure = Callable[[int, np.random.Generator], AnyArray]
"""Side in pixels and a generator to a layer of objects, (side, side), 0 or more."""

SHARPEST, SOFTEST = 0.6, 1.8
"""Standard deviations of the point spread function in focus, pixels."""
NEAREST, FARTHEST = 3.0, 16.0
"""Standard deviations of the light from out of focus, pixels."""
LAYERED = 0.6
"""Share of the fields with light from out of focus."""
MOST_KINDS = 3
"""Largest number of structures in one field."""


def synthetic_field(side: int, rng: np.random.Generator) -> Array:
    """Draw a clean field of view, (side, side) float32, about [0, 1] by robust percentiles."""
    margin = round(3 * SOFTEST)  # so that the point spread function has something at the edge
    wide = side + 2 * margin
    kinds = rng.choice(len(_KINDS), size=int(rng.integers(1, MOST_KINDS + 1)), replace=False)
    objects = np.zeros((wide, wide))
    for kind in kinds:
        layer = _KINDS[kind](wide, rng)
        objects += rng.uniform(0.2, 1) * layer / max(float(np.quantile(layer, 0.999)), 1e-6)
    sharp = ndimage.gaussian_filter(objects, log_between(SHARPEST, SOFTEST, rng.random()))
    if rng.random() < LAYERED:
        far = np.roll(objects, rng.integers(wide, size=2), axis=(0, 1))  # the same, from elsewhere
        sharp += rng.uniform(0.2, 1.5) * ndimage.gaussian_filter(
            far, log_between(NEAREST, FARTHEST, rng.random()), mode="wrap"
        )
    field = sharp[margin : margin + side, margin : margin + side]
    low, high = np.quantile(field, (0.01, 0.998))
    unit = (field - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(unit, 0, 1.25), np.float32)


def _spots(side: int, rng: np.random.Generator) -> AnyArray:
    """Draw points of light of very different brightness, all of one size."""
    share = log_between(2e-4, 2e-2, rng.random())
    points = (rng.random((side, side)) < share) * rng.lognormal(0, 0.8, (side, side))
    return np.asarray(ndimage.gaussian_filter(points, log_between(0.3, 3, rng.random())))


def _speckle(side: int, rng: np.random.Generator) -> AnyArray:
    """Draw irregular grains over the whole field: of one scale, the contrast bent."""
    grains = _random_field(side, log_between(1, 5, rng.random()), rng)
    return np.asarray(np.exp(rng.uniform(0.5, 1.2) * grains))


def _filaments(side: int, rng: np.random.Generator) -> AnyArray:
    """Draw lines that wander."""
    field = np.zeros((side, side))
    for _ in range(int(rng.integers(4, 40))):
        steps = int(rng.integers(side // 2, 2 * side))
        turns = np.cumsum(rng.normal(0, rng.uniform(0.01, 0.15), steps)) + rng.uniform(0, 2 * np.pi)
        path = rng.uniform(0, side, 2)[:, None] + np.cumsum((np.sin(turns), np.cos(turns)), axis=1)
        y, x = np.rint(path).astype(int)
        inside = (y >= 0) & (y < side) & (x >= 0) & (x < side)
        field[y[inside], x[inside]] = np.maximum(field[y[inside], x[inside]], rng.uniform(0.3, 1))
    return np.asarray(ndimage.gaussian_filter(field, rng.uniform(0.5, 1.5)))


def _walls(side: int, rng: np.random.Generator) -> AnyArray:
    """Draw the borders between the neighbourhoods of random seeds, as of cells that touch."""
    seeds = rng.uniform(-20, side + 20, (max(4, round((side / rng.uniform(12, 60)) ** 2)), 2))
    grid = np.mgrid[:side, :side].reshape(2, -1).T
    grid = grid + np.stack([_random_field(side, 8, rng).ravel() for _ in "yx"], axis=1)
    nearest, _ = spatial.cKDTree(seeds).query(grid, k=2)
    gap = (nearest[:, 1] - nearest[:, 0]).reshape(side, side)
    uneven = np.exp(0.4 * _random_field(side, 10, rng))
    return np.asarray(np.exp(-((gap / rng.uniform(1, 3)) ** 2)) * uneven)


def _bodies(side: int, rng: np.random.Generator) -> AnyArray:
    """Draw ellipses with a texture inside, as nuclei; overlapping ones add up."""
    field = np.zeros((side, side))
    y, x = np.mgrid[:side, :side]
    radius = log_between(4, 30, rng.random())
    count = 1 + rng.poisson(rng.uniform(0.05, 0.4) * (side / radius) ** 2 / np.pi)
    rim = rng.uniform(0.5, 2)
    for _ in range(count):
        centre, angle = rng.uniform(0, side, 2), rng.uniform(0, np.pi)
        axes = radius * rng.uniform(0.7, 1.3, 2)
        reach = int(1.5 * max(axes)) + 4
        box = tuple(slice(max(int(c) - reach, 0), int(c) + reach) for c in centre)
        dy, dx = y[box] - centre[0], x[box] - centre[1]
        along = (dx * np.cos(angle) + dy * np.sin(angle)) / axes[0]
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / axes[1]
        depth = (1 - np.hypot(along, across)) * min(axes) / rim
        field[box] += rng.uniform(0.3, 1) / (1 + np.exp(-np.clip(4 * depth, -30, 30)))
    texture = _random_field(side, log_between(1, 5, rng.random()), rng)
    return np.asarray(field * np.exp(rng.uniform(0, 0.6) * texture))


def _random_field(side: int, scale: float, rng: np.random.Generator) -> AnyArray:
    """Draw a Gaussian random field of one scale in pixels, mean 0, standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal((side, side)), scale, mode="wrap")
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-9))


_KINDS: tuple[Structure, ...] = (_spots, _speckle, _filaments, _walls, _bodies)
