"""Planes of the user's images as training needs them: seen through the map that restoring uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_baryir.errors import DataError
from napari_baryir.imaging.intensity import IntensityMap, choose_intensity
from napari_baryir.network import BaryIR
from napari_baryir.training.data.images import Profile
from napari_baryir.training.data.made_pairs import three_colours
from napari_baryir.training.degradations.camera import CameraNoise, fit_camera_noise
from napari_baryir.training.finetune.images import Opened, UserImage, open_image, refuse

Array = NDArray[np.float32]

MATCHED_BEYOND = 2.0
"""Ranges of a pair that differ by more than this factor are taken for other exposures."""
LARGEST_REHEARSED = 512
"""Pixels; of planes that the starting model restores to rehearse on, this much of the middle."""


@dataclass(frozen=True)
class PairFile:
    """The planes of one pair of files, or of one noisy file, in the network's range."""

    name: str
    degraded: list[Array]
    """(H, W) or (H, W, 3)."""
    clean: list[Array]
    """As many, of the same shapes; for noisy files none."""


def plane_values(image: Opened, plane: int) -> NDArray[Any]:
    """One plane as it lies in the file, (H, W) or, for RGB, (H, W, 3), without alpha."""
    layout = image.layout
    values = layout.read(image.array, plane)[..., : layout.colours]
    return values if layout.rgb else values[..., 0]


def channel_maps(image: Opened) -> list[IntensityMap]:
    """The map of each channel, as `restore` chooses it."""
    image = image.whole or image
    layout = image.layout
    return [
        choose_intensity(layout.channel_values(image.array, channel), rgb=layout.rgb)
        for channel in range(layout.channels)
    ]


def noisy_file(image: Opened) -> PairFile:
    """Planes of a noisy image."""
    maps, layout = channel_maps(image), image.layout
    planes = [maps[layout.channel(i)].apply(plane_values(image, i)) for i in range(layout.planes)]
    return PairFile(image.name, planes, [])


def pair_file(degraded: Opened, clean: Opened, brightness: str) -> tuple[PairFile, bool]:
    """Planes of a pair, and whether the clean one's brightness was matched to the degraded one's.

    Both go through the map of the degraded image, since that is the one that restoring knows; RGB
    images of different types (8 and 16 bits) go each through its own.
    """
    maps, own, layout = channel_maps(degraded), channel_maps(clean), degraded.layout
    matched = brightness == "match" or (
        brightness == "auto"
        and not layout.rgb
        and any(
            not 1 / MATCHED_BEYOND <= own[c].span / maps[c].span <= MATCHED_BEYOND
            for c in range(layout.channels)
        )
    )
    by_own = degraded.array.dtype != clean.array.dtype and layout.rgb
    before, after = [], []
    for i in range(layout.planes):
        channel = layout.channel(i)
        x = maps[channel].apply(plane_values(degraded, i))
        y = (own if matched or by_own else maps)[channel].apply(plane_values(clean, i))
        before.append(x)
        after.append(_matched(y, x) if matched else y)
    return PairFile(degraded.name, before, after), matched


def _matched(clean: Array, degraded: Array) -> Array:
    """The line through the values of `clean` that comes nearest to `degraded`."""
    x, y = clean.ravel().astype(np.float64), degraded.ravel().astype(np.float64)
    variance = float(x.var())
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / variance if variance > 0 else 1.0
    return (clean * np.float32(slope) + np.float32(y.mean() - slope * x.mean())).astype(np.float32)


def clean_planes(image: Opened, profile: Profile) -> list[NDArray[np.generic]]:
    """Planes of a clean image as `PairDataset` has them: uint8 RGB, or float32 about [0, 1]."""
    layout, planes, seen = image.layout, [], image.whole or image
    values = [seen.layout.channel_values(seen.array, c) for c in range(layout.channels)]
    maps = [
        choose_intensity(v if layout.rgb else np.asarray(v, np.float32), rgb=layout.rgb)
        for v in values
    ]
    for i in range(layout.planes):
        planes.append(as_clean(maps[layout.channel(i)].apply(plane_values(image, i)), profile))
    return planes


def as_clean(plane: Array, profile: Profile) -> NDArray[np.generic]:
    """A plane in the network's range as `PairDataset` has clean ones."""
    if profile == "photo":
        return np.rint(255 * np.clip(three_colours(plane), 0, 1)).astype(np.uint8)
    grey = plane.mean(axis=-1, dtype=np.float32) if plane.ndim == 3 else plane
    return np.clip(grey, 0, 1.25).astype(np.float32)  # as planes_in_unit_range


@torch.inference_mode()
def restored_plane(model: BaryIR, plane: Array) -> Array:
    """What a network makes of (the middle of) a plane in its range, of the plane's dimensions."""
    top, left = (max(s - LARGEST_REHEARSED, 0) // 2 for s in plane.shape[:2])
    height, width = (min(s, LARGEST_REHEARSED) // 8 * 8 for s in plane.shape[:2])
    part = three_colours(plane[top : top + height, left : left + width])
    x = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None]
    device = next(model.parameters()).device
    answer = model(x.to(device)).restored[0].float().permute(1, 2, 0).cpu().numpy()
    return np.asarray(answer if plane.ndim == 3 else answer.mean(axis=-1), np.float32)


def measure_camera(image: UserImage) -> CameraNoise:
    """Measure gain and offset of a noisy image's camera, in grey values.

    Raises
    ------
    DataError
        If the image cannot be read or has no noise to measure.
    """
    problems: list[str] = []
    opened = open_image(image, problems)
    refuse(problems)
    assert opened is not None
    return noise_of(opened)


def noise_of(image: Opened) -> CameraNoise:
    """Fit the noise of all planes together; `DataError` where there is none to measure."""
    layout = image.layout
    values = [plane_values(image, i) for i in range(layout.planes)]
    planes = [v[..., c] for v in values for c in range(3)] if layout.rgb else values
    try:
        return fit_camera_noise(planes)
    except DataError as error:
        raise DataError(f"{image.name}: {error}") from None


def seen_by_profile(noise: CameraNoise, image: Opened) -> CameraNoise:
    """The same noise in the units of clean images: photographs' full range, or dark to bright."""
    full = float(np.iinfo(image.array.dtype).max) if image.array.dtype.kind in "ui" else 1.0
    return noise.scaled(0.0, full) if image.layout.rgb else noise.scaled(noise.low, noise.high)


def in_words(noise: CameraNoise) -> str:
    """What was measured, for a person who knows the camera."""
    dark, bright = (
        max(noise.variance + noise.gain * level, 0.0) ** 0.5 for level in (noise.low, noise.high)
    )
    if not noise.gain:
        return f"noise of {_short(dark)} grey values everywhere, no sign of photons"
    # Read noise lowers the offset that is seen; below 0 it is no property of a camera.
    offset = f", offset {_short(noise.offset)}" if noise.offset >= 0 else ""
    return (
        f"gain {_short(noise.gain)} grey values per photon{offset}; noise of {_short(dark)} grey "
        f"values in the dark, {_short(bright)} in the bright"
    )


def _short(value: float) -> str:
    """Three digits, without a power of ten."""
    return f"{float(f'{value:.3g}'):g}"
