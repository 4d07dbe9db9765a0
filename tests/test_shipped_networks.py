"""The shipped networks give the same in tiles, in parts and at once."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from napari_baryir import restore
from napari_baryir.imaging.tiles import TileGrid
from napari_baryir.restoration.options import RestoreOptions
from napari_baryir.restoration.part import restore_part


class Restored(NamedTuple):
    """A noisy photograph, and what a shipped network makes of it at once."""

    model: str
    axes: str
    image: NDArray[np.float32]
    whole: NDArray[np.float32]


@pytest.fixture(scope="module", params=["photo-compact", "microscopy-compact"])
def restored(request: pytest.FixtureRequest) -> Restored:
    """The astronaut, 512 x 512, with noise of 25 grey levels, in colours or in grey."""
    clean = skimage.data.astronaut().astype(np.float32)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    image = np.clip(np.rint(noisy), 0, 255).astype(np.float32) / 255
    axes = "YXS"
    if request.param == "microscopy-compact":
        image, axes = image[..., 1], "YX"
    whole = restore(image, axes=axes, model=request.param, tile="whole", intensity=(0, 1)).image
    return Restored(request.param, axes, image, whole)


def test_tiles_show_no_seam(restored: Restored) -> None:
    tiled = restore(
        restored.image, axes=restored.axes, model=restored.model, tile=256, intensity=(0, 1)
    ).image
    difference = tiled - restored.whole
    # Stated tolerance: within 0.03 of the range anywhere (8 of 255 levels), 0.002 on average.
    assert np.abs(difference).max() < 0.03
    assert np.abs(difference).mean() < 0.002
    spans = TileGrid(*restored.image.shape[:2], 256, 128).columns
    seams = np.zeros(restored.image.shape[1] - 1, bool)
    for before, after in pairwise(spans):
        seams[after.start : before.stop] = True

    def contrast(restored: Any) -> float:
        """Mean gradient where tiles meet, against elsewhere."""
        gradient = np.abs(np.diff(restored, axis=1))
        return float(gradient[:, seams].mean() / gradient[:, ~seams].mean())

    assert contrast(tiled) == pytest.approx(contrast(restored.whole), rel=0.02)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (100, 37), (256, 256)])
def test_a_part_equals_the_whole_to_a_few_grey_levels(
    restored: Restored, top: int, left: int
) -> None:
    part = [slice(top, top + 256), slice(left, left + 256), slice(0, 3)][: restored.image.ndim]
    options = RestoreOptions(axes=restored.axes, model=restored.model, intensity=(0, 1))
    begin = time.thread_time()
    found = restore_part(restored.image, part, options)
    assert time.thread_time() - begin < 1.5  # of this thread, loading the network included
    assert found.image.dtype == restored.image.dtype
    difference = np.abs(found.image - restored.whole[tuple(part)])
    assert difference.max() <= 0.03
    assert difference.mean() < 0.1 / 255
