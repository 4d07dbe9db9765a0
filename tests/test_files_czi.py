"""CZI files through Zeiss's own library, which writes them here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_baryir.files import images_inside, read_image


@pytest.fixture
def czi() -> Any:
    return pytest.importorskip("pylibCZIrw.czi", reason="the extra formats is not installed")


def test_a_czi_keeps_scenes_steps_and_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, czi: Any
) -> None:
    shapes = [(3, 2, 20, 30), (3, 2, 30, 30)]
    values = [np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) for shape in shapes]
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for scene, array in enumerate(values):
            for z, c in np.ndindex(3, 2):
                plane = {"T": 0, "Z": z, "C": c}
                place = (100 * scene, 5)
                file.write(array[z, c, ..., None], plane=plane, location=place, scene=scene)
        file.write_metadata(
            "a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=1e-7, scale_y=2e-7, scale_z=5e-7
        )
    for rows in (None, 8):
        if rows:  # as if it were large
            monkeypatch.setattr("napari_baryir.files.microscopes.czi.IN_MEMORY", 0)
            monkeypatch.setattr("napari_baryir.files.microscopes.czi.ROWS", rows)
        for path, array in zip(images_inside(tmp_path / "a.czi"), values, strict=True):
            with read_image(path) as image:
                assert image.axes == "ZCYX"
                assert image.scale == {"Z": 0.5, "Y": 0.2, "X": 0.1}
                assert image.channel_names == ("DAPI", "GFP")
                assert isinstance(image.data, np.ndarray) == (rows is None)
                np.testing.assert_array_equal(np.asarray(image.data), array)


def test_colours_of_a_czi_are_red_green_blue(tmp_path: Path, czi: Any) -> None:
    blue_green_red = np.broadcast_to(np.array([10, 20, 30], np.uint8), (16, 20, 3))
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(np.ascontiguousarray(blue_green_red), plane={"T": 0, "Z": 0, "C": 0})
    image = read_image(tmp_path / "a.czi")
    assert image.axes == "YXS"
    assert image.data[3, 4].tolist() == [30, 20, 10]


def test_channels_of_a_czi_of_different_depth_keep_their_values(tmp_path: Path, czi: Any) -> None:
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for channel, value in enumerate((np.uint8(7), np.uint16(700))):
            file.write(np.full((16, 20, 1), value), plane={"T": 0, "Z": 0, "C": channel})
    image = read_image(tmp_path / "a.czi")
    assert (image.axes, image.dtype, image.data[:, 2, 2].tolist()) == ("CYX", np.uint16, [7, 700])
