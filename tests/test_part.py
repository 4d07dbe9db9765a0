"""A part of a plane is restored as the whole image would be."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_baryir import restore
from napari_baryir.errors import InputError
from napari_baryir.network import BaryIR
from napari_baryir.restoration.options import RestoreOptions
from napari_baryir.restoration.part import restore_part


def test_a_part_of_a_plane_has_the_scene_and_range_of_all(tiny_model: BaryIR) -> None:
    """Restored by itself, a dark part would be taken for a dim image."""
    image = np.random.default_rng(0).integers(0, 90, (2, 40, 48), np.uint16)
    image[1, 8:, 8:] *= 40
    asked = RestoreOptions(axes="ZYX", model=tiny_model)
    part = [slice(1, 2), slice(0, 8), slice(16, 40)]
    found = restore_part(image, part, asked)
    whole = restore(image, axes="ZYX", model=tiny_model, tile="whole")
    assert found.intensity == whole.intensity
    alone = restore(image[tuple(part)], axes="ZYX", model=tiny_model)
    assert alone.intensity != whole.intensity
    np.testing.assert_allclose(found.image.astype(int), whole.image[tuple(part)], atol=1)
    lazy = restore_part(da.from_array(image, chunks=(1, 20, 20)), part, asked)
    np.testing.assert_array_equal(lazy.image, found.image)


def test_a_part_is_of_one_plane(tiny_model: BaryIR) -> None:
    image = np.zeros((2, 40, 48))
    asked = RestoreOptions(axes="ZYX", model=tiny_model)
    with pytest.raises(InputError, match="several planes"):
        restore_part(image, [slice(0, 2), slice(0, 8), slice(0, 8)], asked)
    flat = restore_part(image, [slice(0, 1), slice(0, 8), slice(0, 8)], asked)
    assert not flat.image.any()
