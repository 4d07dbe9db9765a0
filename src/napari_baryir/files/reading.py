"""Open an image file of any supported format."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

from napari_baryir.errors import BaryIRError, InputError
from napari_baryir.files.formats import FORMATS, require_format
from napari_baryir.files.image_file import ImageFile

READERS = {
    "tiff": "napari_baryir.files.tiff.reading",
    "png": "napari_baryir.files.photo.reading",
    **dict.fromkeys(("jpeg", "webp", "avif", "bmp"), "napari_baryir.files.photo.reading"),
    "ome-zarr": "napari_baryir.files.ome_zarr.reading",
    "ome-zarr-zip": "napari_baryir.files.ome_zarr.reading",
}
"""Name of a format to the module with its ``read(path)``; imported when used."""


def read_image(path: str | os.PathLike[str]) -> ImageFile:
    """Read an image with its axes and metadata.

    Parameters
    ----------
    path
        A TIFF, PNG or JPEG file or an OME-Zarr folder; the suffix tells which. Large TIFFs and all
        OME-Zarrs are read when their pixels are needed.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, or of a kind that is not supported.
    """
    where = Path(path)
    if not where.exists():
        raise InputError(f"{where}: there is no such file or folder")
    name = require_format(where)
    _require_there(where, name)
    with damage_reported(where, FORMATS[name].title):
        image: ImageFile = importlib.import_module(READERS[name]).read(where)
        if 0 in image.shape:
            raise InputError(f"{where}: the image has no pixels (shape {image.shape})")
    return image


@contextlib.contextmanager
def damage_reported(path: Path, title: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into an `InputError` that names the file."""
    try:
        yield
    except (BaryIRError, MemoryError):
        raise
    except Exception as error:  # decoders raise everything: struct.error, zlib.error, IndexError...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: not a readable {title}; it is damaged or incomplete ({reason})"
        ) from error


def _require_there(path: Path, name: str) -> None:
    if FORMATS[name].is_folder:
        if not path.is_dir():
            raise InputError(f"{path}: an {FORMATS[name].title} is a folder, but this is a file")
    elif path.is_dir():
        raise InputError(f"{path}: this is a folder, not a {FORMATS[name].title} file")
    elif path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes)")
