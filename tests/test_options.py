"""The arguments of restoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import torch

from fake_networks import Brighter, Identity
from napari_baryir.errors import BaryIRError, InputError
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.restoration import iter_restore, restore


def test_arguments_are_checked_when_called_not_when_run() -> None:
    with pytest.raises(InputError):
        iter_restore(np.zeros((5, 5)), strength=2)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((5, 5), bool), {}, "bool cannot be restored.*astype"),
        (np.zeros((5, 5), complex), {}, "complex128 cannot be restored.*abs"),
        ("photo.jpg", {}, "not an array; read the file first"),
        (Path("photo.jpg"), {}, "not an array; read the file first"),
        (None, {}, "None, not an array"),
        ({}, {}, "one array of numbers"),
        (torch.zeros((5, 5), dtype=torch.bfloat16), {}, "give image.float"),
        (np.float32(3), {}, "0 dimensions"),
        (np.zeros(5), {}, "1 dimension "),
        (np.zeros((0, 5)), {}, "empty"),
        (np.ma.masked_array(np.zeros((5, 5))), {}, "masked.*filled"),
        ([np.zeros((8, 8)), np.zeros((4, 4))], {}, "not one array.*level 0"),
        (np.zeros((5, 5)), {"axes": "ZYX"}, "3 letters but the image has 2 dimensions"),
        (np.zeros((5, 5)), {"strength": 1.5}, "strength is 1.5"),
        (np.zeros((5, 5)), {"strength": float("nan")}, "strength is nan"),
        (np.zeros((5, 5)), {"strength": "much"}, "strength is 'much'"),
        (np.zeros((5, 5)), {"tile": 8}, "tile is 8"),
        (np.zeros((5, 5)), {"tile": "big"}, "tile is 'big'"),
        (np.zeros((5, 5)), {"tile": True}, "tile is True"),
        (np.zeros((5, 5)), {"overlap": -1}, "overlap is -1"),
        (np.zeros((5, 5)), {"tile": 64, "overlap": 40}, "more than half of the tile"),
        (np.zeros((5, 5)), {"precision": "int4"}, "precision 'int4' is unknown"),
        (np.zeros((5, 5)), {"device": "abacus"}, "device 'abacus' is unknown"),
        (np.zeros((5, 5)), {"model": 3}, "model must be"),
        (np.zeros((5, 5)), {"intensity": "loud"}, "intensity 'loud' is unknown"),
        (np.zeros((5, 5)), {"intensity": (2, 1)}, "intensity map from 2"),
        (np.zeros((5, 5)), {"intensity": 7}, "intensity is 7"),
        (np.zeros((5, 5)), {"intensity": [(0, 1), (0, 2)]}, "2 intensity maps for 1 channel"),
        (np.zeros((5, 5)), {"intensity": {"low": 1}}, "lacks"),
        (np.zeros((5, 5)), {"out": np.zeros((4, 5))}, r"out has shape \(4, 5\)"),
        (np.zeros((5, 5)), {"out": np.zeros((5, 5), "f4")}, "dtype"),
        (np.zeros((5, 5)), {"out": "file.tif"}, "writable array"),
        (np.zeros((5, 5)), {"first": 1}, "no plane 1"),
    ],
)
def test_what_cannot_be_done_is_refused_with_advice(
    image: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BaryIRError, match=message):
        iter_restore(image, **{"model": Identity(), **options})


def test_out_that_is_the_input_or_read_only_is_refused() -> None:
    image = np.zeros((5, 5))
    with pytest.raises(InputError, match="shares memory"):
        iter_restore(image, model=Identity(), out=image)
    frozen = np.zeros((5, 5))
    frozen.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        iter_restore(image, model=Identity(), out=frozen)


def test_given_maps_are_used_as_they_are() -> None:
    image = np.random.default_rng(0).random((8, 8))
    for given_map in (
        IntensityMap(0, 5),
        (0, 5),
        np.array([0, 5]),
        [IntensityMap(0, 5)],
        [(0.0, 5.0)],
    ):
        result = restore(image, model=Brighter(), intensity=given_map)
        np.testing.assert_allclose(result.image - image, 0.5, atol=1e-5)


def test_a_tensor_that_needs_its_gradient_is_read() -> None:
    image = torch.rand(8, 8, requires_grad=True)
    result = restore(image, model=Brighter(), intensity=(0, 5))
    np.testing.assert_allclose(result.image - image.detach().numpy(), 0.5, atol=1e-5)


class Named:
    """Stands for a DataArray of xarray."""

    def __init__(self, data: Any, *dims: str) -> None:
        self.data, self.dims = data, dims

    def copy(self, data: Any) -> Named:
        return Named(data, *self.dims)


def test_dimensions_that_xarray_names_are_read_as_axes() -> None:
    image = dask.array.ones((8, 9, 2), chunks=(8, 9, 1))
    found = restore(Named(image, "y", "x", "time"), model=Brighter(), intensity=(0, 5))
    assert (found.axes, found.axes_guessed) == ("YXT", False)
    assert isinstance(found.image.data, dask.array.Array)
    given = restore(Named(image, "y", "x", "time"), axes="YXC", model=Brighter())
    assert given.axes == "YXC"
    other = restore(Named(np.ones((2, 8, 9)), "band", "y", "x"), model=Brighter())
    assert (other.axes, other.axes_guessed) == ("CYX", False)
