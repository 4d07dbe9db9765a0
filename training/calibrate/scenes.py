"""Degraded pictures of which every cell is known: what estimates are calibrated and measured on.

A scene suffers one degradation everywhere, two side by side, or one inside a disc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_baryir.imaging.intensity import choose_intensity
from napari_baryir.network.layers import CELL
from napari_baryir.training.data.made_pairs import through_intensity_map
from napari_baryir.training.degradations import PLAIN, degrade
from napari_baryir.training.degradations.fields import Array

UNDECIDED = -1
"""Stands at cells too near to a border between two degradations to say which is right."""
Kind = Literal["alone", "side by side", "disc"]
BORDER = 3
"""Cells on either side of a border that count as near: half a window of 5 cells, and one more."""


@dataclass(frozen=True)
class KnownScene:
    """A degraded picture and the truth. H and W are multiples of `CELL`."""

    degraded: Array
    """(H, W, 3) in [0, 1], or (H, W) in units of its own: as a user has it."""
    clean: Array
    """Same shape and units."""
    domains: tuple[str, ...]
    """The degradations that it suffers."""
    second: NDArray[np.bool_]
    """(h, w): where cells suffer the second of `domains`."""
    labels: NDArray[np.int64]
    """(h, w): which of `domains` a cell suffers, or `UNDECIDED`."""
    levels: tuple[float, ...]
    """Level of each of `domains`, 0 (mildest) to 1 (strongest)."""

    def errors(self) -> Array:
        """Return the mean of |degraded - clean| in each cell, (h, w), in the picture's units."""
        difference = np.abs(self.degraded - self.clean)
        per_pixel = difference.mean(axis=2) if difference.ndim == 3 else difference
        h, w = (side // CELL for side in per_pixel.shape)
        return np.asarray(per_pixel.reshape(h, CELL, w, CELL).mean(axis=(1, 3)), np.float32)


def make_scene(
    clean: Array,
    domains: Sequence[str],
    rng: np.random.Generator,
    *,
    profile: str,
    kind: Kind = "alone",
    level: float | None = None,
    variant: str = PLAIN,
) -> KnownScene:
    """Degrade a clean picture, (H, W, 3) in [0, 1] or (H, W), cut to multiples of `CELL`.

    `domains` are one alone, two side by side (left and right), or two of a disc (outside and
    inside), as `kind` says. `level` and `variant` are those of every domain, as in `degrade`.
    """
    height, width = (side // CELL * CELL for side in clean.shape[:2])
    clean = clean[:height, :width]
    made = [
        degrade(clean, domain, rng, profile=profile, level=level, variant=variant)
        for domain in domains
    ]
    second = np.zeros((height // CELL, width // CELL), bool)
    if kind == "side by side":
        second[:, second.shape[1] // 2 :] = True
    elif kind == "disc":
        second = _disc(second.shape, rng)
    degraded = made[0].image
    if kind != "alone":
        pixels = second.repeat(CELL, axis=0).repeat(CELL, axis=1)
        degraded = np.where(
            pixels if clean.ndim == 2 else pixels[..., None], made[1].image, degraded
        )
    levels = tuple(each.level for each in made)
    return KnownScene(degraded, clean, tuple(domains), second, _away_from_border(second), levels)


def as_seen(scene: KnownScene, rng: np.random.Generator) -> KnownScene:
    """Map a scene to what the network sees of it, about [0, 1].

    Photographs stay as they are; microscopy goes through an intensity map, as in training.
    """
    if scene.degraded.ndim == 3:
        return scene
    degraded, clean = through_intensity_map(scene.degraded, scene.clean, rng)
    return replace(scene, degraded=degraded, clean=clean)


def as_chosen(scene: KnownScene) -> KnownScene:
    """Map a scene by the intensity map that restoring chooses for its degraded picture."""
    intensity = choose_intensity(scene.degraded, rgb=scene.degraded.ndim == 3)
    degraded, clean = intensity.apply(scene.degraded), intensity.apply(scene.clean)
    return replace(scene, degraded=degraded, clean=clean)


def _disc(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a disc of a quarter of the shorter side in radius, wholly inside of (h, w) cells."""
    radius = min(shape) / 4
    centre = [rng.uniform(radius + 1, side - radius - 1) for side in shape]
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.asarray(np.hypot(y - centre[0], x - centre[1]) <= radius)


def _away_from_border(second: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels = second.astype(np.int64)
    if second.any():
        near = ndimage.binary_dilation(second, iterations=BORDER) & ndimage.binary_dilation(
            ~second, iterations=BORDER
        )
        labels[near] = UNDECIDED
    return labels
