"""The file formats that can be read and written: a table that one can read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_baryir.errors import InputError


@dataclass(frozen=True)
class FileFormat:
    """A format, how its files are named, and what fits into one."""

    title: str
    """What people call it."""
    suffixes: tuple[str, ...]
    """Ends of file names, lower case, with the dot."""
    is_folder: bool = False
    """Whether one image is a folder on disk."""
    dtypes: tuple[str, ...] = ()
    """Names of the NumPy dtypes that fit; none: every integer and float."""
    photo_only: bool = False
    """Whether only one plane, grey or RGB, fits."""
    alpha: bool = True
    """Whether transparency fits."""


FORMATS: dict[str, FileFormat] = {
    "tiff": FileFormat("TIFF", (".tif", ".tiff", ".btf", ".tf8")),
    "png": FileFormat("PNG", (".png",), dtypes=("uint8", "uint16"), photo_only=True),
    "jpeg": FileFormat("JPEG", (".jpg", ".jpeg"), dtypes=("uint8",), photo_only=True, alpha=False),
    "ome-zarr": FileFormat("OME-Zarr", (".zarr",), is_folder=True),
}
"""Name of a format to its description. ``.ome.tif`` and ``.ome.zarr`` are among them."""


def format_name(path: str | os.PathLike[str]) -> str | None:
    """Key of `FORMATS` that the name of a file tells; None when it tells none."""
    suffix = Path(path).suffix.lower()
    return next((name for name, each in FORMATS.items() if suffix in each.suffixes), None)


def is_image_path(path: str | os.PathLike[str]) -> bool:
    """Whether a path is named as an image and is a file or a folder, as its format has it.

    Names that begin with a dot are none: hidden files, and outputs that are still being written.
    """
    where = Path(path)
    name = format_name(where)
    if name is None or where.name.startswith("."):
        return False
    return where.is_dir() if FORMATS[name].is_folder else where.is_file()


def known_suffixes() -> str:
    """All suffixes, for messages: ``.tif, .tiff, ...``."""
    return ", ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)


def require_format(path: str | os.PathLike[str]) -> str:
    """Key of `FORMATS` for a path.

    Raises
    ------
    InputError
        If the suffix is not known.
    """
    name = format_name(path)
    if name is None:
        suffix = Path(path).suffix
        came = f"files that end in {suffix}" if suffix else "files without a suffix"
        raise InputError(f"{path}: {came} are not supported; use one of {known_suffixes()}")
    return name


def require_fit(path: Path, name: str, dtype: np.dtype[Any], axes: str, samples: int) -> None:
    """Make sure that an image fits into a format, before any time is spent on it.

    Parameters
    ----------
    path
        Of the file, for messages.
    name
        Key of `FORMATS`.
    dtype, axes
        Of the image.
    samples
        Length of axis S; 1 without one.

    Raises
    ------
    InputError
        If it does not fit.
    """
    target = FORMATS[name]
    advice = "write a .tif instead"
    if dtype.kind not in "uif":
        raise InputError(f"{path}: dtype {dtype} is not an integer or a float; convert it first")
    if target.dtypes and dtype.name not in target.dtypes:
        held = " or ".join(target.dtypes)
        raise InputError(f"{path}: {target.title} holds {held}, not {dtype}; {advice}")
    if not target.photo_only:
        return
    if "".join(sorted(axes)) not in ("XY", "SXY"):
        raise InputError(f"{path}: {target.title} holds one plane, not axes {axes}; {advice}")
    if samples > 4 or (samples in (2, 4) and not target.alpha):
        raise InputError(f"{path}: {target.title} cannot hold {samples} values per pixel; {advice}")
