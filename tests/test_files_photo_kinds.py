"""WebP, AVIF, HEIC and BMP, files under a wrong name, and errors that are no damage."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from napari_baryir.errors import InputError
from napari_baryir.files import FORMATS, format_name, read_image, result_place, write_image
from napari_baryir.files.formats import require_format
from napari_baryir.files.photo import reading as photo_module

ORIENTATION = 0x0112


def smooth(colours: int = 3) -> np.ndarray[Any, Any]:
    """A picture that compression changes little."""
    y, x = np.mgrid[:24, :32]
    planes = [100 + 3 * x + (c - 1) * 2 * y for c in range(colours)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def has_heif() -> None:
    """Skip without the extra; with it, let Pillow make and open HEIC."""
    reason = "the extra formats is not installed"
    pytest.importorskip("pillow_heif", reason=reason).register_heif_opener()


@pytest.mark.parametrize("suffix", ["webp", "avif", "heic"])
def test_webp_avif_and_heic_come_out_upright_with_profile_and_exif(
    tmp_path: Path, suffix: str
) -> None:
    if suffix == "heic":
        has_heif()
    path, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = 6, "Camera works"
    Image.fromarray(smooth()).save(path, exif=exif.tobytes(), icc_profile=profile, quality=95)
    image = read_image(path)
    assert image.axes == "YXS"
    np.testing.assert_allclose(image.data.astype(int), np.rot90(smooth(), -1), atol=16)
    write_image(out, image.data, like=image)
    with Image.open(out) as again:
        assert again.getexif().get(ORIENTATION, 1) == 1
        assert again.getexif()[0x010F] == "Camera works"
        assert again.info["icc_profile"] == profile
    np.testing.assert_allclose(
        read_image(out).data.astype(int), image.data, atol=0 if suffix == "webp" else 12
    )


def test_without_its_library_heic_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r'pip install "napari-baryir\[formats\]" brings it$'):
        write_image(tmp_path / "a.heic", smooth(), axes="YXS")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match=r'pip install "napari-baryir\[formats\]" brings it$'):
        read_image(tmp_path / "a.heic")


def test_a_pillow_without_a_format_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.webp", smooth(), axes="YXS")
    monkeypatch.delitem(Image.SAVE, "WEBP")
    with pytest.raises(InputError, match="has no WEBP; upgrade Pillow"):
        read_image(tmp_path / "a.webp")
    with pytest.raises(InputError, match="has no WEBP; upgrade Pillow"):
        write_image(tmp_path / "b.webp", smooth(), axes="YXS")


@pytest.mark.parametrize("suffix", ["webp", "avif", "png"])
def test_transparency_stays(tmp_path: Path, suffix: str) -> None:
    data = smooth(4)
    data[..., 3] = np.arange(32) * 8
    write_image(tmp_path / f"a.{suffix}", data, axes="YXS")
    found = read_image(tmp_path / f"a.{suffix}").data
    np.testing.assert_allclose(found.astype(int), data, atol=12 if suffix == "avif" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_is_read_and_written(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(smooth()).convert(mode)
    picture.save(tmp_path / "in.bmp")
    image = read_image(tmp_path / "in.bmp")
    seen = picture.convert("L" if mode in "1L" else "RGB")
    np.testing.assert_array_equal(image.data, np.asarray(seen))
    write_image(tmp_path / "out.bmp", image.data, like=image)
    with Image.open(tmp_path / "out.bmp") as again:
        np.testing.assert_array_equal(np.asarray(again), image.data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"is HEIC; rename it to end in \.heic"),
        ("a.jpg", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", r"is AVIF; rename it to end in \.avif"),
        ("a.png", b"\xff\xd8\xff\xe0\0\x10JFIF\0", r"is JPEG; rename it to end in \.jpg"),
        ("a.tif", b"\x89PNG\r\n\x1a\n\0\0", r"is PNG; rename it to end in \.png"),
        ("a.jpg", b"RIFF\0\0\0\0WEBPVP8 ", r"is WebP; rename it to end in \.webp"),
        ("a.png", b"<!DOCTYPE HTML><html>", "is a web page"),
        ("a.tif", b"\x89HDF\r\n\x1a\n", "is HDF5; convert it"),
        ("a.ozx", b"II*\0\0\0\0\0", r"is TIFF; rename it to end in \.tif"),
    ],
)
def test_a_file_under_a_wrong_name_is_called_what_it_is(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_image(tmp_path / name)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("error", [AttributeError, TypeError])
def test_a_mistake_of_the_reader_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(path: Path) -> None:
        raise error("no such thing")

    monkeypatch.setattr(photo_module, "read", broken)
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    with pytest.raises(error, match="no such thing") as caught:
        read_image(tmp_path / "a.png")
    assert "a.png" in caught.value.__notes__[0]


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, *args: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(self))

    Image.fromarray(smooth()).save(tmp_path / "a.png")
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=r"a\.png: cannot be read: Permission denied$"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_further_pictures_are_said_to_be_left_out(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    first, second = Image.fromarray(smooth()), Image.fromarray(255 - smooth())
    kind = "MPO" if suffix == "jpg" else "WEBP"
    first.save(path, kind, save_all=True, append_images=[second], quality=95)
    image = read_image(path)
    assert image.notes == ("it holds 2 pictures; only the first is used",)
    np.testing.assert_allclose(image.data.astype(int), smooth(), atol=16)


def test_what_another_format_cannot_keep_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera works"
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=exif.tobytes(), comment=b"two cats")
    image = read_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg", image.data, like=image)
    assert not caplog.records
    write_image(tmp_path / "a.tif", image.data, like=image)
    assert "metadata of a.jpg that is not kept: EXIF, comment" in caplog.text


@pytest.mark.parametrize("suffix", [".lsm", ".stk"])
def test_formats_that_are_only_read_have_results_under_another_name(
    tmp_path: Path, suffix: str
) -> None:
    assert format_name(f"cells{suffix.upper()}") == "tiff"
    place = Path("day", f"cells{suffix}")
    assert result_place(tmp_path / place, place) == Path("day", f"cells{suffix}.tif")
    assert result_place(Path("a.ome.tif"), Path("a.ome.tif")) == Path("a.ome.tif")
    with pytest.raises(InputError, match="can be read but not written"):
        write_image(tmp_path / f"a{suffix}", smooth(), axes="YXS")
    assert not list(tmp_path.iterdir())


def test_every_suffix_names_one_format() -> None:
    for name, each in FORMATS.items():
        for suffix in each.suffixes:
            assert require_format(f"a{suffix}") == name
