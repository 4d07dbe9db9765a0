"""The noise of the user's own camera, measured on one noisy image."""

from __future__ import annotations

import numpy as np

from napari_baryir.errors import DataError
from napari_baryir.training.finetune_images import Opened, UserImage, open_image, refuse
from napari_baryir.training.finetune_planes import plane_values
from napari_baryir.training.photon_transfer import CameraNoise, fit_camera_noise


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
