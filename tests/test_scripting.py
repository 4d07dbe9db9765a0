"""From Python: files, bars, pictures in notebooks, arrays of xarray."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tqdm.auto
from PIL import Image

from fake_networks import Identity, Inverse, random_gated_network
from napari_baryir import Restoration, restore, restore_file
from napari_baryir.errors import InputError
from napari_baryir.files import read_image, write_image
from napari_baryir.restoration import iter_restore
from napari_baryir.restoration.results import SHOWN
from napari_baryir.steps import finish
from napari_baryir.weights.files import save_weights


@dataclass
class Labelled:
    """Has what a DataArray of xarray has, as far as it is used."""

    data: Any
    dims: tuple[str, ...]
    coords: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)

    def copy(self, deep: bool = True, data: Any = None) -> Labelled:
        return replace(self, data=data)


def stack(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)


def opened(done: Restoration) -> Any:
    png = done._repr_png_()
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_file_becomes_a_file_with_its_metadata(tmp_path: Path) -> None:
    image = stack(2, 40, 48)
    write_image(tmp_path / "a.tif", image, axes="CYX")
    with read_image(tmp_path / "a.tif") as read:
        like = replace(read, scale={"Y": 0.5, "X": 0.5}, channel_names=("DAPI", "GFP"))
        write_image(tmp_path / "a.ome.zarr", image, like=like)
    save_weights(random_gated_network(), tmp_path / "w.safetensors")
    done = restore_file(
        tmp_path / "a.ome.zarr", tmp_path / "out.tif", model=tmp_path / "w.safetensors",
        device="cpu", tile=32,
    )  # fmt: skip
    with read_image(tmp_path / "out.tif") as result:
        assert (result.axes, result.scale) == ("CYX", {"Y": 0.5, "X": 0.5})
        assert result.channel_names == ("DAPI", "GFP")
        np.testing.assert_array_equal(done.image, result.data)
    settings = {**done.settings, "tile": 32}
    np.testing.assert_array_equal(done.image, restore(image, **settings).image)
    with pytest.raises(InputError, match="would overwrite the input"):
        restore_file(tmp_path / "a.tif", tmp_path / "a.tif", model=tmp_path / "w.safetensors")


def test_a_bar_counts_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []

    class Bar(tqdm.std.tqdm):
        def __init__(self, **options: Any) -> None:
            super().__init__(file=io.StringIO(), **options)
            bars.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    image = stack(2, 40, 48)
    done = restore(image, axes="ZYX", model=Identity(), tile=32, overlap=8, progress=True)
    np.testing.assert_array_equal(done.image, image)
    total = finish(_last(iter_restore(image, axes="ZYX", model=Identity(), tile=32, overlap=8)))
    assert [(bar.n, bar.total) for bar in bars] == [(total, total)]
    restore(image, model=Identity())
    assert len(bars) == 1


def _last(steps: Any) -> Any:
    """Return the number of tiles in all."""
    for step in steps:
        yield step
    return step.total


def test_a_notebook_shows_the_middle_plane_in_the_range_of_its_channel() -> None:
    image = np.zeros((3, 20, 30), np.float32)
    image[1, :, 10:] = 50
    image[1, 0, 0] = np.nan
    done = restore(image, axes="ZYX", model=Identity(), intensity=(0, 100))
    shown = opened(done)
    assert shown.shape == (20, 30)
    assert shown[5, 5] == 0
    assert shown[5, 20] == 128
    colours = restore(np.full((20, 30, 4), 200, np.uint8), axes="YXS", model=Identity())
    assert opened(colours).tolist() == np.full((20, 30, 3), 200).tolist()
    large = restore(np.zeros((8, 2 * SHOWN), np.uint8), model=Identity())
    assert opened(large).shape == (4, SHOWN)


def test_a_notebook_shows_no_picture_of_what_is_not_computed() -> None:
    done = restore(da.zeros((20, 30), dtype=np.uint8), model=Identity())
    assert done._repr_png_() is None
    assert replace(restore(stack(20, 30), model=Identity()), image=None)._repr_png_() is None


@pytest.mark.parametrize("lazy", [False, True])
def test_dims_of_xarray_are_axes_and_the_result_is_labelled_alike(lazy: bool) -> None:
    values = stack(20, 3, 24)  # its shape alone would be taken for RGB
    data = da.from_array(values) if lazy else values
    image = Labelled(data, ("Y", "time", "x"), {"x": np.arange(24)}, {"unit": "counts"})
    done = restore(image, model=Inverse(), intensity=(0, 1000))
    assert done.axes == "YTX"
    assert not done.axes_guessed
    assert isinstance(done.image, Labelled)
    assert (done.image.dims, done.image.attrs) == (image.dims, image.attrs)
    assert done.image.coords is image.coords
    assert isinstance(done.image.data, da.Array) == lazy
    np.testing.assert_array_equal(np.asarray(done.image.data), 1000 - values)
    assert lazy or opened(done).shape == (20, 24)


def test_dims_that_are_no_axes_are_refused_unless_axes_are_given() -> None:
    image = Labelled(stack(20, 24), ("lat", "lon"))
    with pytest.raises(InputError, match=r"dimension 'lat' .* rename it to one of t, z, c"):
        restore(image, model=Identity())
    assert restore(image, axes="YX", model=Identity()).axes == "YX"
    unnamed = restore(Labelled(stack(20, 24), ("dim_0", "dim_1")), model=Identity())
    assert (unnamed.axes, unnamed.axes_guessed) == ("YX", True)


def test_out_is_filled_and_returned_as_it_is() -> None:
    out = np.zeros((20, 24), np.uint16)
    image = Labelled(stack(20, 24), ("y", "x"))
    assert restore(image, model=Identity(), out=out).image is out
    np.testing.assert_array_equal(out, image.data)
