"""Samples with a known truth, made by seeded code; nothing is downloaded."""

from typing import Protocol

from napari_baryir.sample_data.fluorescence import blurred_timelapse, fluorescence_stack
from napari_baryir.sample_data.photos import dark_photo, photo_noise, photo_noise_haze, photo_rain
from napari_baryir.sample_data.sample import Sample


class MakesSample(Protocol):
    """Makes one sample; the same seed makes the same one."""

    def __call__(self, *, seed: int = ...) -> Sample: ...


SAMPLES: dict[str, MakesSample] = {
    "photo-noise": photo_noise,
    "photo-noise-haze": photo_noise_haze,
    "photo-rain": photo_rain,
    "dark-photo": dark_photo,
    "fluorescence-stack": fluorescence_stack,
    "blurred-timelapse": blurred_timelapse,
}
"""Name of a sample to the function that makes it."""

__all__ = [
    "SAMPLES",
    "Sample",
    "blurred_timelapse",
    "dark_photo",
    "fluorescence_stack",
    "photo_noise",
    "photo_noise_haze",
    "photo_rain",
]
