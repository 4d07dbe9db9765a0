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
    if not noise.gain:
        return (
            f"noise of standard deviation {noise.variance**0.5:.3g} everywhere, no sign of photons"
        )
    return f"gain {noise.gain:.3g} grey values per photon, offset {noise.offset:.3g}"
