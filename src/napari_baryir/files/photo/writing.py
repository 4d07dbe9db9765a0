"""Write PNG and JPEG, with colour profile, EXIF and resolution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_baryir.files.image_file import ImageFile, samples_last
from napari_baryir.files.photo.png_chunks import Chunk, density_chunk, insert_chunks, profile_chunk
from napari_baryir.files.photo.reading import JpegDetails, PngDetails
from napari_baryir.files.waiting import waiting_pixels

JPEG_QUALITY = 95
"""Pillow's scale; above it files grow fast and gain nothing visible."""

PNG_LEVEL = 6
"""zlib's default."""


@contextlib.contextmanager
def output(aside: Path, image: ImageFile, name: str) -> Iterator[NDArray[Any]]:
    """Pixels to fill; see `writing.open_output`."""
    with waiting_pixels(image.shape, image.dtype, aside) as pixels:
        yield pixels
        array = np.ascontiguousarray(samples_last(pixels, image.axes))
        if name == "png":
            png = bytes(imagecodecs.png_encode(array, level=PNG_LEVEL))
            aside.write_bytes(insert_chunks(png, _png_chunks(image)))
        else:
            _write_jpeg(aside, array, image)


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


def _write_jpeg(aside: Path, array: NDArray[Any], image: ImageFile) -> None:
    options: dict[str, Any] = {
        "icc_profile": image.icc_profile,
        "exif": image.exif,
        "dpi": image.dpi,
    }
    if isinstance(image.details, JpegDetails):
        options |= {"comment": image.details.comment, "xmp": image.details.xmp}
    picture = Image.fromarray(array)
    # Colours at full resolution: restoring them and then averaging four pixels would be a waste.
    picture.save(
        aside,
        "JPEG",
        quality=JPEG_QUALITY,
        subsampling=0,
        **{name: value for name, value in options.items() if value is not None},
    )
