"""Synthetic fluorescence microscopy: nuclei and filaments, seen by a camera with noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_baryir.sample_data.sample import Sample
from napari_baryir.training.degradations.fields import Array, convolve, disc_kernel

PHOTONS = 40.0
"""Mean photons in the brightest pixels: a fast or gentle exposure."""
GAIN, OFFSET = 4.2, 100.0
"""The camera's grey values per photon, and its grey value of darkness; as of an sCMOS."""
READ_NOISE = 1.6
"""Standard deviation, in photons."""

BACKGROUND = 0.06
"""Glow of the medium, as a part of the brightest value; it belongs to the truth."""


def fluorescence_stack(seed: int = 0, *, shape: tuple[int, int, int] = (12, 256, 256)) -> Sample:
    """Make a stack of cell nuclei and filaments with few photons: ZYX, uint16.

    `shape` is planes, height and width. `clean` is what the camera would show without noise.
    """
    rng = np.random.default_rng(seed)
    scene = _nuclei(shape, rng) + 0.5 * _filaments(shape, rng)
    scene = scene / max(float(np.percentile(scene, 99.9)), 1e-6) + _glow(shape, rng)
    scene = ndimage.gaussian_filter(scene, (0.7, 1.0, 1.0))
    return Sample(
        _detected(scene, rng, PHOTONS), _grey_values(scene * PHOTONS), "ZYX",
        "fluorescence-stack", "Nuclei and filaments, noisy",
    )  # fmt: skip


def blurred_timelapse(
    seed: int = 0, *, shape: tuple[int, int, int] = (8, 256, 256), radius: float = 3.0
) -> Sample:
    """Make drifting nuclei, out of focus by `radius` pixels in every frame: TYX, uint16.

    `shape` is frames, height and width. `clean` is in focus and without noise.
    """
    rng = np.random.default_rng(seed)
    frames, height, width = shape
    # A field that is larger than the frame moves past it, so that nothing enters from nowhere.
    drift = np.cumsum(rng.normal(0, 1.5, (frames, 2)), axis=0)
    margin = int(np.ceil(np.abs(drift).max())) + 1
    field = (1, height + 2 * margin, width + 2 * margin)
    plane = (_nuclei(field, rng) + 0.5 * _filaments(field, rng))[0]
    plane = ndimage.gaussian_filter(plane / plane.max(), 1.0) + BACKGROUND
    inside = (slice(margin, margin + height), slice(margin, margin + width))
    sharp = np.stack(
        [ndimage.shift(plane, step, order=1, mode="nearest")[inside] for step in drift]
    )
    kernel = disc_kernel(radius)
    blurred = np.stack([convolve(frame.astype(np.float32), kernel) for frame in sharp])
    photons = 100 * PHOTONS  # bright, since the blur is the point here
    return Sample(
        _detected(blurred, rng, photons), _grey_values(sharp * photons), "TYX",
        "blurred-timelapse", "Drifting nuclei, out of focus",
    )  # fmt: skip


def _detected(scene: NDArray[Any], rng: np.random.Generator, photons: float) -> NDArray[np.uint16]:
    """Return grey values with the Poisson noise of light and the Gaussian noise of a camera."""
    detected = rng.poisson(np.maximum(scene, 0) * photons) + rng.normal(0, READ_NOISE, scene.shape)
    return _grey_values(detected)


def _grey_values(photons: NDArray[Any]) -> NDArray[np.uint16]:
    return np.clip(np.rint(GAIN * photons + OFFSET), 0, 65535).astype(np.uint16)


def _nuclei(shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Draw ellipsoids with soft rims and a grainy inside, about one in 55 x 55 pixels."""
    depth, height, width = shape
    volume = np.zeros(shape, np.float32)
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), (1.0, 2.5, 2.5))
    grain = 1 + 0.35 * grain / max(float(grain.std()), 1e-6)
    z, y, x = (np.arange(n, dtype=np.float32) for n in shape)
    for _ in range(max(3, height * width // 55**2)):
        centre = rng.uniform((0, 0, 0), shape)
        radii = rng.uniform((2.5, 11, 11), (4.5, 19, 19))
        angle, brightness = rng.uniform(0, np.pi), rng.uniform(0.4, 1.0)
        dy, dx = y[:, None] - centre[1], x[None, :] - centre[2]
        along = (dy * np.cos(angle) + dx * np.sin(angle)) / radii[1]
        across = (dx * np.cos(angle) - dy * np.sin(angle)) / radii[2]
        up = (z[:, None, None] - centre[0]) / radii[0]
        distance = np.sqrt(along**2 + across**2 + (up**2 if depth > 1 else 0))
        rim = 1 / (1 + np.exp(np.clip(12 * (distance - 1), -30, 30)))
        volume = np.maximum(volume, (brightness * rim).astype(np.float32))
    grained: Array = volume * np.clip(grain, 0.1, None).astype(np.float32)
    return grained


def _filaments(shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Draw thin curves that wander through the volume; brightest about 1."""
    depth, height, width = shape
    volume = np.zeros(shape, np.float32)
    steps = 2 * max(height, width)
    for _ in range(max(4, height * width // 60**2)):
        direction = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.06, steps))
        y = rng.uniform(0, height) + np.cumsum(np.sin(direction))
        x = rng.uniform(0, width) + np.cumsum(np.cos(direction))
        z = rng.uniform(0, depth) + np.cumsum(rng.normal(0, 0.05, steps))
        points = np.floor(np.stack([z, y, x])).astype(int)
        inside = np.all((points >= 0) & (points < np.array(shape)[:, None]), axis=0)
        volume[tuple(points[:, inside])] = 1.0
    blurred = ndimage.gaussian_filter(volume, (0.6, 0.9, 0.9))
    brightest: Array = blurred / max(float(blurred.max()), 1e-6)
    return brightest


def _glow(shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Draw a smooth uneven background of `BACKGROUND` on average."""
    coarse = rng.uniform(0.4, 1.6, (1, 4, 4))
    zoom = (1, shape[1] / 4, shape[2] / 4)
    smooth = ndimage.zoom(coarse, zoom, order=3, mode="nearest", grid_mode=True)
    glow = (BACKGROUND * np.clip(smooth, 0, None)).astype(np.float32)
    whole: Array = np.broadcast_to(glow[:, : shape[1], : shape[2]], shape)
    return whole
