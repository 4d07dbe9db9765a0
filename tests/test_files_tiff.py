"""TIFF in and out: pixels, axes and metadata survive."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_baryir.errors import InputError
from napari_baryir.files import ImageFile, open_output, read_image, write_image
from napari_baryir.files.tiff import pixels as tiff_module
from tiff_files import written_back

IMAGEJ = {"axes": "ZCYX", "unit": "um", "spacing": 0.3, "Info": "hello", "Labels": list("abcdef")}
OME = {
    "axes": "TCYX",
    "PhysicalSizeX": 0.13,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 0.13,
    "PhysicalSizeYUnit": "µm",
    "TimeIncrement": 1.5,
    "TimeIncrementUnit": "min",
    "Channel": {"Name": ["DAPI", "GFP"]},
    "Description": "cells, day 3",
}


def pixels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray[Any, Any]:
    values = np.random.default_rng(0).uniform(0, 200, shape)
    return values.astype(dtype)


def test_imagej_metadata_comes_back_word_by_word(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    data = pixels((3, 2, 16, 17))
    tifffile.imwrite(path, data, imagej=True, metadata=IMAGEJ, resolution=(7.7, 7.7))
    image = read_image(path)
    assert image.axes == "ZCYX"
    assert not image.axes_guessed
    assert image.units == {"X": "micrometer", "Y": "micrometer", "Z": "micrometer"}
    assert image.scale["Z"] == pytest.approx(0.3)
    assert image.scale["X"] == pytest.approx(1 / 7.7)

    out = written_back(path, change=lambda array: array + 1)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(out) as after:
        assert after.imagej_metadata == before.imagej_metadata
        assert after.series[0].axes == before.series[0].axes
        # tifffile reduces the fraction or not, by its version.
        dots = [Fraction(*file.pages.first.tags[282].value) for file in (before, after)]
        assert dots[0] == dots[1]
        np.testing.assert_array_equal(after.asarray(), data + 1)


def test_ome_metadata_comes_back_word_by_word_but_for_its_identifier(tmp_path: Path) -> None:
    path = tmp_path / "movie.ome.tif"
    data = pixels((3, 2, 16, 17))
    tifffile.imwrite(path, data, metadata=OME, tile=(16, 16), compression="zlib", predictor=True)
    image = read_image(path)
    assert image.axes == "TCYX"
    assert image.scale == {"X": 0.13, "Y": 0.13, "T": 1.5}
    assert image.units == {"X": "micrometer", "Y": "micrometer", "T": "minute"}
    assert image.channel_names == ("DAPI", "GFP")

    out = written_back(path, change=lambda array: array + 1)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(out) as after:
        old, new = tifffile.xml2dict(before.ome_metadata), tifffile.xml2dict(after.ome_metadata)
        assert old["OME"].pop("UUID") is not None
        assert "UUID" not in new["OME"]
        old["OME"]["Image"]["Pixels"].pop("TiffData")
        new["OME"]["Image"]["Pixels"].pop("TiffData")
        assert new == old
        page = after.pages.first
        assert (page.is_tiled, page.compression.name, page.predictor) == (True, "ADOBE_DEFLATE", 2)
        np.testing.assert_array_equal(after.series[0].asarray(), data + 1)


def test_only_the_first_of_several_ome_images_is_kept_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "positions.ome.tif"
    with tifffile.TiffWriter(path) as file:
        for place in range(2):
            file.write(pixels((3, 16, 17)) + place, metadata={"axes": "ZYX", "Name": f"at {place}"})
    image = read_image(path)
    assert "holds 2 images" in image.notes[0]
    with tifffile.TiffFile(written_back(path)) as after:
        assert len(after.series) == 1
        assert after.series[0].kind == "ome"
        assert 'Name="at 0"' in after.ome_metadata
        assert 'Name="at 1"' not in after.ome_metadata


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_photograph_keeps_resolution_description_profile_and_layout(
    tmp_path: Path, planar: str
) -> None:
    path = tmp_path / "photo.tif"
    data = pixels((16, 17, 4) if planar == "contig" else (4, 16, 17), "uint8")
    tifffile.imwrite(
        path, data, photometric="rgb", planarconfig=planar, extrasamples=["unassalpha"],
        resolution=(300, 300), resolutionunit="inch", description="a cat, Zürich".encode(),
        iccprofile=b"profile", metadata=None, byteorder=">", compression="lzw",
        extratags=[(315, 2, 0, "A. Nother", True), (33550, 12, 3, (1.5, 1.5, 0.0), True)],
    )  # fmt: skip
    image = read_image(path)
    assert image.axes == ("YXS" if planar == "contig" else "SYX")
    assert image.dpi == (300.0, 300.0)
    assert image.icc_profile == b"profile"
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(written_back(path)) as after:
        kept = [270, 282, 283, 284, 296, 315, 338, 259, 262, 33550, 34675]
        for code in kept:
            assert after.pages.first.tags[code].value == before.pages.first.tags[code].value, code
        np.testing.assert_array_equal(after.asarray(), data)


def test_each_page_keeps_its_colour_profile(tmp_path: Path) -> None:
    path, data = tmp_path / "pages.tif", pixels((3, 16, 17), "uint8")
    with tifffile.TiffWriter(path) as file:
        for page, profile in zip(data, (None, b"second", b"third"), strict=True):
            file.write(page, iccprofile=profile, metadata=None, photometric="minisblack")
    with tifffile.TiffFile(written_back(path)) as after:
        assert [page.iccprofile for page in after.pages] == [None, b"second", b"third"]
        np.testing.assert_array_equal(after.asarray(), data)


def test_an_imagej_lookup_table_is_kept_and_its_numbers_stay_intensities(tmp_path: Path) -> None:
    path = tmp_path / "green.tif"
    table = np.zeros((3, 256), np.uint16)
    table[1] = np.arange(256) * 257
    data = pixels((16, 17), "uint8")
    tifffile.imwrite(path, data, imagej=True, colormap=table)
    assert read_image(path).axes == "YX"
    with tifffile.TiffFile(written_back(path)) as after:
        np.testing.assert_array_equal(after.pages.first.colormap, table)
        np.testing.assert_array_equal(after.asarray(), data)


def test_colour_indices_become_rgb(tmp_path: Path) -> None:
    path = tmp_path / "indexed.tif"
    table = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    data = pixels((16, 17), "uint8")
    tifffile.imwrite(path, data, photometric="palette", colormap=table, metadata=None)
    image = read_image(path)
    assert image.axes == "YXS"
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image.data, (table // 257).T[data])
    np.testing.assert_array_equal(tifffile.imread(written_back(path)), image.data)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float16", "float32", "float64"])
def test_a_plain_stack_stays_plain_and_its_axes_are_called_guessed(
    tmp_path: Path, dtype: str
) -> None:
    path = tmp_path / "plain.tif"
    data = pixels((3, 16, 17), dtype)
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None)
    image = read_image(path)
    assert image.axes_guessed
    assert image.axes[1:] == "YX"
    assert image.dtype == np.dtype(dtype)
    with tifffile.TiffFile(written_back(path)) as after:
        assert len(after.pages) == 3
        assert 270 not in after.pages.first.tags
        np.testing.assert_array_equal(after.asarray(), data)


def test_several_values_per_pixel_that_are_no_colours_are_channels(tmp_path: Path) -> None:
    path = tmp_path / "spectral.tif"
    data = pixels((16, 17, 5))
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig="contig", metadata=None)
    assert read_image(path).axes == "YXC"
    np.testing.assert_array_equal(tifffile.imread(written_back(path)), data)


def test_tifffile_s_own_axes_are_read_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "shaped.tif"
    data = pixels((2, 3, 16, 17))
    metadata = {"axes": "TZYX", "microscope": "A"}
    tifffile.imwrite(path, data, photometric="minisblack", metadata=metadata)
    assert read_image(path).axes == "TZYX"
    with tifffile.TiffFile(written_back(path)) as after:
        assert after.series[0].axes == "TZYX"
        assert after.shaped_metadata[0]["microscope"] == "A"


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_large_stack_is_read_when_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str | None
) -> None:
    monkeypatch.setattr(tiff_module, "IN_MEMORY", 1000)
    path = tmp_path / "large.tif"
    data = pixels((5, 32, 32))
    tifffile.imwrite(path, data, metadata={"axes": "ZYX"}, compression=compression)
    with read_image(path) as image:
        assert isinstance(image.data, np.memmap) if compression is None else image.data.chunks
        np.testing.assert_array_equal(np.asarray(image.data), data)
    np.testing.assert_array_equal(tifffile.imread(written_back(path)), data)


def test_large_pixels_wait_in_a_file_that_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.files.waiting.IN_MEMORY", 100)
    data = pixels((5, 32, 32))
    write_image(tmp_path / "out.tif", data, axes="ZYX")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), data)
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("imagej", [False, True])
def test_a_cut_off_file_is_refused_in_one_line(
    tmp_path: Path, compression: str | None, imagej: bool
) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, pixels((5, 32, 32)), imagej=imagej, compression=compression)
    content = path.read_bytes()
    for share in (0.02, 0.3, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match=r"cut\.tif") as caught, read_image(path) as image:
            np.asarray(image.data)
        assert "\n" not in str(caught.value)


def test_damaged_compressed_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, pixels((64, 64)), compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset + 10 : offset + 400] = b"\xff" * 390
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or incomplete"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "empty"), (b"II*\0", "damaged"), (b"hello " * 9, "not a")]
)
def test_a_file_that_is_no_tiff_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "no.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_image(path)


def test_cmyk_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "cmyk.tif"
    tifffile.imwrite(path, pixels((16, 17, 4), "uint8"), photometric="separated")
    with pytest.raises(InputError, match="convert it to RGB"):
        read_image(path)


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, pixels((16, 17)))
    link = tmp_path / "link.tif"
    link.symlink_to(path)
    content = path.read_bytes()
    image = read_image(path)
    for out in (path, link, tmp_path / "." / "in.tif"):
        with pytest.raises(InputError, match="would overwrite the input"):
            write_image(out, image.data, like=image)
    assert path.read_bytes() == content


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg", "ome.zarr"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, suffix: str, error: type[BaseException]
) -> None:
    out = tmp_path / f"out.{suffix}"
    data = pixels((16, 17), "uint8")
    write_image(out, data, axes="YX")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    image = read_image(out)
    other = tmp_path / "elsewhere" / f"new.{suffix}"
    for target in (tmp_path / f"out.{suffix}", other):
        source = image if target is other else _without_path(image)
        with pytest.raises(error):
            _write_half(target, source, error)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    loaded = np.asarray(read_image(out).data)
    assert np.abs(loaded.astype(int) - data).max() <= (40 if suffix == "jpg" else 0)


def _write_half(target: Path, source: ImageFile, error: type[BaseException]) -> None:
    with open_output(target, source) as array:
        array[:8] = 1
        raise error


def _without_path(image: ImageFile) -> ImageFile:
    return replace(image, path=Path())


def test_ome_metadata_can_go_into_a_new_file_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "movie.ome.tif"
    data = pixels((3, 2, 16, 17))
    tifffile.imwrite(path, data, metadata=OME)
    image = read_image(path)
    write_image(tmp_path / "movie.ome.zarr", data, like=image)
    there = read_image(tmp_path / "movie.ome.zarr")
    write_image(tmp_path / "back.tif", there.data, like=there)
    back = read_image(tmp_path / "back.tif")
    for each in (there, back):
        assert each.axes == "TCYX"
        assert each.scale == image.scale
        assert each.units == image.units
        assert each.channel_names == image.channel_names
        np.testing.assert_array_equal(np.asarray(each.data), data)


@pytest.mark.parametrize("name", ["a.jp2", "a", "a.gif"])
def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"use one of \.tif"):
        read_image(tmp_path / name)


def test_an_array_that_other_processes_compute_is_written(tmp_path: Path) -> None:
    def elsewhere(graph: Any, keys: Any, **_: Any) -> Any:
        """Compute a copy of the graph, as another process would."""
        return dask.get(cloudpickle.loads(cloudpickle.dumps(graph)), keys)

    image = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30)
    with dask.config.set(scheduler=elsewhere):
        write_image(tmp_path / "a.tif", da.from_array(image, chunks=(16, 30)) + 1)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), image + 1)
