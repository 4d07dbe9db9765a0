"""Planes of the user's images as training needs them: seen through the map that restoring uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_baryir.errors import DataError
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.network import BaryIR
from napari_baryir.training.data import images
from napari_baryir.training.data.made_pairs import plane_of, plane_tensor
from napari_baryir.training.degradations.camera import CameraNoise, fit_camera_noise
from napari_baryir.training.degradations.fields import Array
from napari_baryir.training.degradations.files import to_bytes
from napari_baryir.training.finetune.images import Usable, UserImage, open_image

MATCHED_BEYOND = 2.0
"""Ranges of a pair that differ by more than this factor are taken for other exposures."""
LARGEST_REHEARSED = 512
"""Pixels; of planes that the starting model restores to rehearse on, this much of the middle."""


@dataclass(frozen=True)
class FilePlanes:
    """The planes of one pair of files, or of one noisy file, in the network's range."""

    name: str
    degraded: list[Array]
    """(H, W) or (H, W, 3)."""
    clean: list[Array]
    """Clean planes of the same number and shapes; for noisy files none."""


def noisy_file(image: Usable) -> FilePlanes:
    """Map the planes of a noisy image as `restore` does."""
    return FilePlanes(image.name, images.map_planes(image.array, image.axes, _maps(image)), [])


def _maps(image: Usable) -> list[IntensityMap]:
    whole = image.whole or image
    return images.channel_maps(whole.array, whole.axes)


def pair_file(degraded: Usable, clean: Usable, brightness: str) -> tuple[FilePlanes, bool]:
    """Map the planes of a pair; say whether the clean one's brightness was matched.

    Both go through the map of the degraded image, since that is the one that restoring knows; RGB
    images of different types (8 and 16 bits) go each through its own.
    """
    maps, own, layout = _maps(degraded), _maps(clean), degraded.layout
    matched = brightness == "match" or (
        brightness == "auto"
        and not layout.rgb
        and any(
            not 1 / MATCHED_BEYOND <= own[c].span / maps[c].span <= MATCHED_BEYOND
            for c in range(layout.channels)
        )
    )
    by_own = degraded.array.dtype != clean.array.dtype and layout.rgb
    before = images.map_planes(degraded.array, degraded.axes, maps)
    after = images.map_planes(clean.array, clean.axes, own if matched or by_own else maps)
    if matched:
        after = [_matched(y, x) for x, y in zip(before, after, strict=True)]
    return FilePlanes(degraded.name, before, after), matched


def _matched(clean: Array, degraded: Array) -> Array:
    """Map `clean` by the line that brings it nearest to `degraded`."""
    x, y = clean.ravel().astype(np.float64), degraded.ravel().astype(np.float64)
    variance = float(x.var())
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / variance if variance > 0 else 1.0
    return (clean * np.float32(slope) + np.float32(y.mean() - slope * x.mean())).astype(np.float32)


def clean_file(image: Usable, profile: images.Profile) -> list[NDArray[np.generic]]:
    """Cut a clean image into planes as `PairDataset` has them: uint8 RGB, or float32."""
    whole = None if image.whole is None else image.whole.array
    return [
        as_stored(plane, profile)
        for plane in images.clean_planes(image.array, image.axes, profile, whole=whole)
    ]


def as_stored(plane: Array, profile: images.Profile) -> NDArray[np.generic]:
    """Bring a plane in the network's range to the form in which `PairDataset` has clean ones."""
    clean = images.as_clean(plane, profile)
    return to_bytes(clean) if profile == "photo" else clean


@torch.inference_mode()
def restored_plane(model: BaryIR, plane: Array) -> Array:
    """Restore (the middle of) a plane in the network's range; grey stays grey."""
    x = plane_tensor(plane[images.middle(plane.shape, LARGEST_REHEARSED)])
    device = next(model.parameters()).device
    answer = plane_of(model(x.to(device, memory_format=torch.channels_last)).restored)
    return answer if plane.ndim == 3 else answer.mean(axis=-1)


def measure_camera(image: UserImage) -> CameraNoise:
    """Measure gain and offset of a noisy image's camera, in grey values.

    Raises `DataError` if the image cannot be read or has no noise to measure.
    """
    problems: list[str] = []
    opened = open_image(image, problems)
    images.refuse(problems, "the image")
    assert opened is not None
    return noise_of(opened)


def noise_of(image: Usable) -> CameraNoise:
    """Fit the noise of all planes together; `DataError` where there is none to measure."""
    values = list(images.cut_planes(image.array, image.axes))
    planes = [v[..., c] for v in values for c in range(3)] if image.layout.rgb else values
    try:
        return fit_camera_noise(planes)
    except DataError as error:
        raise DataError(f"{image.name}: {error}") from None


def seen_by_profile(noise: CameraNoise, image: Usable) -> CameraNoise:
    """Convert noise to the units of clean images: full range, or dark to bright."""
    full = float(np.iinfo(image.array.dtype).max) if image.array.dtype.kind in "ui" else 1.0
    return noise.scaled(0.0, full) if image.layout.rgb else noise.scaled(noise.low, noise.high)


def in_words(noise: CameraNoise) -> str:
    """Describe the measured noise to a person who knows the camera."""
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
    """Write three digits, without a power of ten."""
    return f"{float(f'{value:.3g}'):g}"
