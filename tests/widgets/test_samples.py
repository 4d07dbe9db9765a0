"""What Open Sample gives is ready for the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

npe2 = pytest.importorskip("npe2")

from napari_baryir.sample_data import SAMPLES  # noqa: E402
from napari_baryir.widgets import samples  # noqa: E402

if TYPE_CHECKING:
    from napari import Viewer

KEYS = ("photo_noise_haze", "photo_rain", "dark_photo", "fluorescence_stack", "blurred_timelapse")


@pytest.mark.parametrize("key", KEYS)
def test_sample_is_one_image_with_the_degraded_pixels(key: str) -> None:
    [(data, properties, kind)] = getattr(samples, key)()
    made = SAMPLES[key.replace("_", "-")]()
    assert kind == "image"
    np.testing.assert_array_equal(data, made.degraded)
    assert properties["rgb"] == ("S" in made.axes)
    assert "".join(properties["axis_labels"]).upper() == made.axes.replace("S", "")


@pytest.mark.parametrize("key", KEYS)
def test_open_sample_adds_it_to_the_viewer(viewer: Viewer, key: str) -> None:
    [layer] = viewer.open_sample("napari-baryir", key)
    assert list(viewer.layers) == [layer]
    assert layer.rgb == (layer.data.ndim - layer.ndim == 1)
    assert layer.axis_labels == (*layer.axis_labels[:-2], "y", "x")
    assert layer.name
