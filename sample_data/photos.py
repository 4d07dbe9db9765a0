"""Photographs that ship inside scikit-image, degraded with fixed seeds: YXS, uint8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray

from napari_baryir.sample_data.sample import Sample
from napari_baryir.training.degradations import degrade
from napari_baryir.training.degradations.files import from_bytes, to_bytes
from napari_baryir.training.degradations.photo import noise_level


def photo_noise_haze(seed: int = 0) -> Sample:
    """Make an astronaut behind haze, with noise of sigma 25 (of 255); (512, 512, 3)."""
    steps = [("haze", 0.5), ("noise", noise_level(25.0))]
    clean = skimage.data.astronaut()
    return _photo(clean, steps, seed, "photo-noise-haze", "Astronaut, hazy and noisy")


def photo_noise(seed: int = 0) -> Sample:
    """Make a cup of coffee with noise of sigma 25 (of 255); (400, 600, 3)."""
    steps = [("noise", noise_level(25.0))]
    return _photo(skimage.data.coffee(), steps, seed, "photo-noise", "Coffee, noisy")


def photo_rain(seed: int = 0) -> Sample:
    """Make a cat in the rain; (300, 451, 3)."""
    return _photo(skimage.data.chelsea(), [("rain", 0.6)], seed, "photo-rain", "Cat, in the rain")


def dark_photo(seed: int = 0) -> Sample:
    """Make a cup of coffee in low light; (400, 600, 3)."""
    clean = skimage.data.coffee()
    return _photo(clean, [("low light", 0.5)], seed, "dark-photo", "Coffee, in low light")


def _photo(
    clean: NDArray[Any], steps: Sequence[tuple[str, float]], seed: int, name: str, title: str
) -> Sample:
    """Degrade a photograph, (H, W, 3) uint8, by one (domain, level) after the other."""
    rng = np.random.default_rng(seed)
    image = from_bytes(clean)
    for domain, level in steps:
        image = degrade(image, domain, rng, profile="photo", level=level).image
    return Sample(to_bytes(image), clean, "YXS", name, title)
