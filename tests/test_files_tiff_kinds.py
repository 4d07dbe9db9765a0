"""TIFFs on their side, negative, with alpha, with metadata on each page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_baryir.files import read_image, write_image
from tiff_files import PLANES, written_back


def test_each_page_keeps_its_description_name_and_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=">") as file:
        for i, plane in enumerate(PLANES[:4]):
            file.write(
                plane, metadata=None, contiguous=False, description=f"t = {i}",
                datetime=f"2024:01:01 00:00:0{i}", compression="zlib",
                extratags=[
                    (285, "s", 0, f"plane {i}", True), (65000, "s", 0, f"own {i}", True),
                    (286, "2I", 1, (10 * i, 3), True), (287, "2I", 1, (7, 2), True),
                ],
            )  # fmt: skip
    out = written_back(path)

    def said(path: Path) -> list[list[Any]]:
        with tifffile.TiffFile(path) as file:
            pages = [page.aspage() for page in file.pages]
            return [
                [page.tags[code].value for code in (270, 285, 286, 287, 306, 65000)]
                for page in pages
            ]

    assert said(out) == said(path)
    np.testing.assert_array_equal(read_image(out).data, PLANES[:4])
    assert not caplog.records
    image = read_image(path)
    path.unlink()
    write_image(tmp_path / "b.tif", image.data, like=image)
    assert "pages after the first are not kept" in caplog.text


def test_what_of_a_tiff_is_not_kept_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    tags = [(65001, "H", 3, (1, 2, 3), True), (315, "s", 0, "A. Nother", True)]
    tifffile.imwrite(path, PLANES[0], metadata=None, extratags=tags)
    written_back(path)
    assert "65001" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        written_back(path, "a.png")
    assert "artist" in caplog.text


@pytest.mark.parametrize("out", ["out.tif", "out.png", "out.jpg", "out.zarr"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_tiff_on_its_side_comes_out_upright(tmp_path: Path, out: str, turn: int) -> None:
    path = tmp_path / "side.tif"
    y, x = np.mgrid[:24, :40]
    data = np.stack([x * 5, y * 9, x + y], -1).astype(np.uint8)
    tifffile.imwrite(
        path, data, photometric="rgb", metadata=None, tile=(16, 32), resolution=(300, 100),
        resolutionunit="inch", extratags=[(274, "H", 1, turn, True)],
    )  # fmt: skip
    with Image.open(path) as picture:
        seen = np.asarray(ImageOps.exif_transpose(picture)).astype(int)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, seen)
    assert image.dpi == ((300, 100) if turn < 5 else (100, 300))
    written = written_back(path, out)
    if out == "out.zarr":
        found = np.moveaxis(np.asarray(read_image(written).data), 0, -1)
    else:
        with Image.open(written) as picture:
            found = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_allclose(found.astype(int), seen, atol=12)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "bool"])
def test_where_zero_is_white_is_seen_as_it_is_and_its_numbers_come_back(
    tmp_path: Path, dtype: str
) -> None:
    path = tmp_path / "white.tif"
    data = (PLANES[0] > 1500) if dtype == "bool" else (PLANES[0] % 200).astype(dtype)
    tifffile.imwrite(path, data, photometric="miniswhite", metadata=None)
    image = read_image(path)
    darkest, brightest = data.astype(int).argmax(), data.astype(int).argmin()
    assert image.data.ravel()[brightest] == image.data.max() > image.data.min()
    assert image.data.ravel()[darkest] == image.data.min()
    if dtype == "bool":
        np.testing.assert_array_equal(image.data, np.where(data, 0, 255))
    else:
        np.testing.assert_array_equal(tifffile.imread(written_back(path)), data)
        with tifffile.TiffFile(written_back(path)) as after:
            assert after.pages.first.photometric.name == "MINISWHITE"
    if dtype in ("uint8", "bool"):
        np.testing.assert_array_equal(read_image(written_back(path, "a.png")).data, image.data)
        top = np.float32(255)
        np.testing.assert_array_equal(image.data, top - data * (top if dtype == "bool" else 1))


def test_large_turned_and_negative_pixels_stay_lazy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.files.tiff.pixels.IN_MEMORY", 100)
    for compression in (None, "zlib"):
        tifffile.imwrite(
            tmp_path / "a.tif", PLANES, photometric="miniswhite", metadata=None,
            compression=compression, extratags=[(274, "H", 1, 6, True)],
        )  # fmt: skip
        with read_image(tmp_path / "a.tif") as image:
            assert hasattr(image.data, "dask")
            expected = np.rot90(65535 - PLANES, -1, (1, 2))
            np.testing.assert_array_equal(np.asarray(image.data), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_that_are_multiplied_by_alpha_are_divided_and_come_back(
    tmp_path: Path, dtype: str, planar: str
) -> None:
    path = tmp_path / "soft.tif"
    top = np.iinfo(dtype).max if dtype != "float32" else 1
    random = np.random.default_rng(0)
    alpha = random.integers(0, 4, (20, 24, 1)) / 3
    colours = random.random((20, 24, 3))
    stored = (np.concatenate([colours * alpha, alpha], -1) * top).astype(dtype)
    tifffile.imwrite(
        path, stored if planar == "contig" else np.moveaxis(stored, -1, 0), photometric="rgb",
        planarconfig=planar, extrasamples=["assocalpha"], metadata=None,
    )  # fmt: skip
    image = read_image(path)
    shown = np.moveaxis(np.asarray(image.data), image.axes.index("S"), -1)
    half = alpha[..., 0] > 0.5
    np.testing.assert_allclose(shown[half][:, :3] / top, colours[half], atol=2 / min(top, 255))
    with tifffile.TiffFile(written_back(path)) as after:
        assert after.pages.first.tags[338].value == (1,)
        found = after.asarray()
    found = found if planar == "contig" else np.moveaxis(found, 0, -1)
    np.testing.assert_allclose(found, stored, rtol=1e-6)
    if dtype != "float32":
        np.testing.assert_array_equal(read_image(written_back(path, "soft.png")).data, shown)
