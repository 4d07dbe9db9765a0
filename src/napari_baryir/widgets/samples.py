"""What File > Open Sample > BaryIR offers; made when asked for, nothing is downloaded."""

from __future__ import annotations

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]
"""napari's layer data: array, the layer's properties, its type."""


def photo_noise_haze() -> list[LayerData]:
    """An astronaut behind haze, with noise; (512, 512, 3) uint8."""
    return _layers("photo-noise-haze")


def photo_rain() -> list[LayerData]:
    """A cat in the rain; (300, 451, 3) uint8."""
    return _layers("photo-rain")


def dark_photo() -> list[LayerData]:
    """A cup of coffee in low light; (400, 600, 3) uint8."""
    return _layers("dark-photo")


def fluorescence_stack() -> list[LayerData]:
    """Nuclei and filaments with few photons; ZYX, (12, 256, 256) uint16."""
    return _layers("fluorescence-stack")


def blurred_timelapse() -> list[LayerData]:
    """Drifting nuclei, out of focus; TYX, (8, 256, 256) uint16."""
    return _layers("blurred-timelapse")


def _layers(name: str) -> list[LayerData]:
    """Return one image layer with the degraded image of a sample."""
    from napari_baryir.sample_data import SAMPLES

    sample = SAMPLES[name]()
    # napari counts the samples of an RGB pixel as no axis
    labels = tuple(letter.lower() for letter in sample.axes if letter != "S")
    properties = {"name": sample.title, "rgb": "S" in sample.axes, "axis_labels": labels}
    return [(sample.degraded, properties, "image")]
