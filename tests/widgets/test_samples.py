"""What Open Sample gives is ready for the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_baryir.sample_data import SAMPLES

if TYPE_CHECKING:
    from napari import Viewer

KEYS = ("photo_noise_haze", "photo_rain", "dark_photo", "fluorescence_stack", "blurred_timelapse")


@pytest.mark.parametrize("key", KEYS)
def test_open_sample_adds_the_degraded_image_with_its_axes_and_title(
    viewer: Viewer, key: str
) -> None:
    made = SAMPLES[key.replace("_", "-")]()
    [layer] = viewer.open_sample("napari-baryir", key)
    assert list(viewer.layers) == [layer]
    np.testing.assert_array_equal(layer.data, made.degraded)
    assert layer.rgb == ("S" in made.axes)
    assert "".join(layer.axis_labels).upper() == made.axes.replace("S", "")
    assert layer.name == made.title
