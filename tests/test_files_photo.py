"""PNG and JPEG in and out: upright pixels, profile, EXIF, resolution."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from napari_baryir.errors import InputError
from napari_baryir.files import FORMATS, is_image_path, read_image, write_image

MAKE, ORIENTATION = 0x010F, 0x0112


def smooth(height: int = 24, width: int = 32, colours: int = 3) -> np.ndarray[Any, Any]:
    """A picture that JPEG changes little."""
    y, x = np.mgrid[:height, :width]
    planes = [100 + 3 * x + (c - 1) * 2 * y for c in range(colours)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


@functools.cache  # a new one would differ by its time stamp
def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[MAKE] = "Camera works"
    block[ORIENTATION] = orientation
    return block.tobytes()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_out_upright_and_say_so(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    Image.fromarray(smooth()).save(path, exif=exif(orientation), quality=95)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    image = read_image(path)
    np.testing.assert_array_equal(image.data, expected)
    write_image(out, image.data, like=image)
    with Image.open(out) as again:
        assert again.getexif()[ORIENTATION] == 1
        assert again.getexif()[MAKE] == "Camera works"
        np.testing.assert_allclose(np.asarray(again).astype(int), expected, atol=12)


@pytest.mark.parametrize("out_suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_profile_and_resolution_pass_between_the_formats(
    tmp_path: Path, suffix: str, out_suffix: str
) -> None:
    path, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{out_suffix}"
    Image.fromarray(smooth()).save(path, dpi=(300, 200), icc_profile=srgb_profile())
    image = read_image(path)
    write_image(out, image.data, like=image)
    again = read_image(out)
    assert again.icc_profile == srgb_profile()
    assert again.dpi == pytest.approx((300, 200), rel=1e-3)
    assert again.axes == "YXS"
    np.testing.assert_allclose(again.data.astype(int), image.data, atol=12)


def test_every_kept_chunk_of_a_png_comes_back_byte_by_byte(tmp_path: Path) -> None:
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "two cats")
    text.add_itxt("Comment", "grüezi", zip=True)
    text.add(b"gAMA", (45455).to_bytes(4, "big"))
    Image.fromarray(smooth()).save(path, pnginfo=text, dpi=(150, 150))
    image = read_image(path)
    write_image(out, image.data, like=image)
    with Image.open(path) as before, Image.open(out) as after:
        assert after.info == before.info
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("colours", [0, 2, 3, 4])
def test_png_keeps_every_bit_of_its_four_kinds(tmp_path: Path, dtype: str, colours: int) -> None:
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    shape = (20, 21, colours)[: 3 if colours else 2]
    data = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    path.write_bytes(imagecodecs.png_encode(data))
    image = read_image(path)
    assert image.axes == ("YXS" if colours else "YX")
    write_image(out, image.data, like=image)
    np.testing.assert_array_equal(imagecodecs.png_decode(out.read_bytes()), data)


def test_palettes_and_single_bits_become_colours_and_grey(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth()).quantize(16)
    picture.save(tmp_path / "palette.png")
    data = read_image(tmp_path / "palette.png").data
    np.testing.assert_array_equal(data, np.asarray(picture.convert("RGB")))
    bits = np.random.default_rng(0).random((9, 10)) > 0.5
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png").data, bits * np.uint8(255))


def test_grey_jpeg_stays_grey(tmp_path: Path) -> None:
    Image.fromarray(smooth(colours=1)[..., 0]).save(tmp_path / "in.jpg")
    image = read_image(tmp_path / "in.jpg")
    assert image.axes == "YX"
    write_image(tmp_path / "out.jpg", image.data, like=image)
    with Image.open(tmp_path / "out.jpg") as picture:
        assert picture.mode == "L"


def test_jpeg_keeps_comment_and_xmp(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jpg", tmp_path / "out.jpg"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    Image.fromarray(smooth()).save(path, comment=b"two cats", xmp=xmp)
    image = read_image(path)
    write_image(out, image.data, like=image)
    with Image.open(out) as picture:
        assert picture.info["comment"] == b"two cats"
        assert picture.info["xmp"] == xmp


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_cut_off_or_damaged_file_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(buffer, "PNG" if suffix == "png" else "JPEG")
    content = buffer.getvalue()
    for length in (0, 4, 30, len(content) // 2, int(len(content) * 0.98)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=rf"bad\.{suffix}") as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    content = bytearray(imagecodecs.png_encode(smooth()))
    content[60] ^= 1
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / "bad.png")


def test_cmyk_jpeg_is_refused_with_advice(tmp_path: Path) -> None:
    Image.fromarray(smooth()).convert("CMYK").save(tmp_path / "print.jpg")
    with pytest.raises(InputError, match="convert it to RGB"):
        read_image(tmp_path / "print.jpg")


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "axes", "reason"),
    [
        ("a.png", (8, 8), "float32", "YX", "not float32"),
        ("a.jpg", (8, 8), "uint16", "YX", "not uint16"),
        ("a.jpg", (8, 8, 4), "uint8", "YXS", "4 values per pixel"),
        ("a.png", (3, 8, 8), "uint8", "ZYX", "one plane"),
        ("a.tif", (8, 8), "bool", "YX", "dtype bool"),
        ("a.tif", (8, 8), "complex64", "YX", "dtype complex64"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, shape: tuple[int, ...], dtype: str, axes: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        write_image(tmp_path / name, np.zeros(shape, dtype), axes=axes)
    assert list(tmp_path.iterdir()) == []


def test_hidden_names_are_no_images(tmp_path: Path) -> None:
    for name in ("a.png", ".a.png", "b.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "d.png").mkdir()
    found = sorted(path.name for path in tmp_path.iterdir() if is_image_path(path))
    assert found == ["a.png", "c.zarr"]
    assert all(suffix.startswith(".") for each in FORMATS.values() for suffix in each.suffixes)
