"""The samples of File > Open Sample > BaryIR, made when they are opened."""

from __future__ import annotations

from functools import partial
from typing import Any


def _layers(name: str) -> list[tuple[Any, dict[str, Any], str]]:
    """Return the degraded image of a sample as napari's layer data: array, properties, type."""
    from napari_baryir.sample_data import SAMPLES

    sample = SAMPLES[name]()
    # napari counts the samples of an RGB pixel as no axis
    labels = tuple(letter.lower() for letter in sample.axes if letter != "S")
    properties = {"name": sample.title, "rgb": "S" in sample.axes, "axis_labels": labels}
    return [(sample.degraded, properties, "image")]


photo_noise_haze = partial(_layers, "photo-noise-haze")
"""An astronaut behind haze, with noise; (512, 512, 3) uint8."""
photo_rain = partial(_layers, "photo-rain")
"""A cat in the rain; (300, 451, 3) uint8."""
dark_photo = partial(_layers, "dark-photo")
"""A cup of coffee in low light; (400, 600, 3) uint8."""
fluorescence_stack = partial(_layers, "fluorescence-stack")
"""Nuclei and filaments with few photons; ZYX, (12, 256, 256) uint16."""
blurred_timelapse = partial(_layers, "blurred-timelapse")
"""Drifting nuclei, out of focus; TYX, (8, 256, 256) uint16."""
