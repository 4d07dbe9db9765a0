"""Read PNG and JPEG: upright, with colour profile, EXIF and resolution."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_baryir.errors import InputError
from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.photo.png_chunks import KEPT, Chunk, read_chunks

ORIENTATION = 0x0112
"""EXIF tag: 1 is upright, 2 to 8 are the other ways to turn and mirror an image."""

JPEG_MODES = ("L", "RGB")
"""Pillow's modes of JPEGs that we take: grey and RGB."""


@dataclass(frozen=True)
class PngDetails:
    """What only a PNG can keep."""

    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class JpegDetails:
    """What only a JPEG can keep."""

    comment: bytes | None
    xmp: bytes | None


def read(path: Path) -> ImageFile:
    """Read a PNG or a JPEG; see `reading.read_image`."""
    return _read_png(path) if path.suffix.lower() == ".png" else _read_jpeg(path)


def _read_png(path: Path) -> ImageFile:
    content = path.read_bytes()
    chunks = list(read_chunks(content))
    # Pillow would cut 16-bit colours to 8 bits.
    array = imagecodecs.png_decode(content)
    kinds = {kind for kind, _ in chunks}
    exif, turn = None, 1
    with _opened(path) as header:
        icc_profile, dpi = header.info.get("icc_profile"), _dpi(header)
        if b"eXIf" in kinds:
            exif, turn = _upright_exif(header)
    kept = [(kind, data) for kind, data in chunks if kind in KEPT and kind != b"eXIf"]
    if exif is not None:
        # In a PNG the block goes without the marker that begins it in a JPEG.
        kept.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    notes = ("it is animated; only its first picture is used",) if b"acTL" in kinds else ()
    return ImageFile(
        path,
        "png",
        _upright(array, turn),
        "YX" if array.ndim == 2 else "YXS",
        icc_profile=icc_profile,
        exif=exif,
        dpi=dpi,
        details=PngDetails(tuple(kept)),
        notes=notes,
    )


def _read_jpeg(path: Path) -> ImageFile:
    with _opened(path) as picture:
        if picture.format not in ("JPEG", "MPO"):
            raise InputError(f"{path}: it is named as a JPEG but is a {picture.format}; rename it")
        if picture.mode not in JPEG_MODES:
            raise InputError(
                f"{path}: {picture.mode} colours are not supported; convert it to RGB or grey first"
            )
        exif, turn = _upright_exif(picture)
        info = picture.info
        details = JpegDetails(comment=info.get("comment"), xmp=info.get("xmp"))
        array = np.asarray(picture)
    return ImageFile(
        path,
        "jpeg",
        _upright(array, turn),
        "YX" if array.ndim == 2 else "YXS",
        icc_profile=info.get("icc_profile"),
        exif=exif,
        dpi=_dpi(picture),
        details=details,
    )


def _opened(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns of large images; ours come from the user's own disk.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _upright_exif(picture: Image.Image) -> tuple[bytes | None, int]:
    """The EXIF block, saying that the image is upright, and how it lay before."""
    raw = picture.info.get("exif")
    if not raw:
        return None, 1
    exif = picture.getexif()
    turn = int(exif.get(ORIENTATION, 1))
    if turn == 1 or not 1 <= turn <= 8:
        return bytes(raw), 1
    exif[ORIENTATION] = 1
    return exif.tobytes(), turn


def _upright(array: NDArray[Any], turn: int) -> NDArray[Any]:
    """Turn and mirror a picture, YX or YXS, as its EXIF orientation says."""
    if turn >= 5:
        array = array.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        array = array[::-1]
    if turn in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _dpi(picture: Image.Image) -> tuple[float, float] | None:
    dpi = picture.info.get("dpi")
    if dpi is None or min(dpi) <= 0:
        return None
    return float(dpi[0]), float(dpi[1])
