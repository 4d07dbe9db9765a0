"""Write PNG, JPEG, WebP, AVIF, HEIC and BMP, with colour profile, EXIF and resolution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.photo.png_chunks import Chunk, density_chunk, insert_chunks, profile_chunk
from napari_baryir.files.photo.reading import PhotoDetails, PngDetails, require_codec
from napari_baryir.files.waiting import waiting_pixels

QUALITY = 95
"""Pillow's scale; above it files grow fast and gain nothing visible."""

SETTINGS: dict[str, dict[str, Any]] = {
    # Colours at full resolution: restoring them and then averaging four pixels would be a waste.
    "jpeg": {"quality": QUALITY, "subsampling": 0},
    "avif": {"quality": QUALITY, "subsampling": "4:4:4"},
    "heif": {"quality": QUALITY, "chroma": 444},
    # Its lossy kind always averages colours.
    "webp": {"lossless": True, "exact": True},
    "bmp": {},
}
"""Arguments of Pillow for each format."""

PNG_LEVEL = 6
"""zlib's default."""


@contextlib.contextmanager
def output(aside: Path, image: ImageFile, name: str) -> Iterator[NDArray[Any]]:
    """Give pixels to fill; see `writing.open_output`."""
    require_codec(aside, name)
    with waiting_pixels(image.shape, image.dtype, aside) as pixels:
        yield pixels
        order = [image.axes.index(letter) for letter in "YXS" if letter in image.axes]
        array = np.ascontiguousarray(pixels.transpose(order))
        if name == "png":
            png = bytes(imagecodecs.png_encode(array, level=PNG_LEVEL))
            aside.write_bytes(insert_chunks(png, _png_chunks(image)))
        else:
            _write_photo(aside, array, image, name)


def _png_chunks(image: ImageFile) -> list[Chunk]:
    if isinstance(image.details, PngDetails):
        return list(image.details.chunks)
    chunks = []
    # A profile for RGB does not fit a grey image, and the other way round; they come as a pair.
    if image.icc_profile is not None:
        chunks.append(profile_chunk(image.icc_profile))
    if image.dpi is not None:
        chunks.append(density_chunk(image.dpi))
    if image.exif is not None:
        chunks.append((b"eXIf", image.exif.removeprefix(b"Exif\0\0")))
    return chunks


def _write_photo(aside: Path, array: NDArray[Any], image: ImageFile, name: str) -> None:
    options: dict[str, Any] = {key: getattr(image, key) for key in ("icc_profile", "exif", "dpi")}
    if isinstance(image.details, PhotoDetails):
        options |= {"comment": image.details.comment, "xmp": image.details.xmp}
    given = {key: value for key, value in options.items() if value is not None}
    Image.fromarray(array).save(aside, name.upper(), **SETTINGS[name], **given)
