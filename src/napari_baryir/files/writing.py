"""Write an image file of any supported format, whole or not at all."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_baryir.atomic import written_aside
from napari_baryir.errors import InputError
from napari_baryir.files.formats import FORMATS, image_name, require_format
from napari_baryir.files.image_file import ImageFile
from napari_baryir.imaging.axes import check_axes, guess_axes
from napari_baryir.imaging.checks import is_dask

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def open_output(path: str | os.PathLike[str], image: ImageFile) -> Iterator[Any]:
    """Open a file to be filled with the pixels that replace those of `image`.

    Parameters
    ----------
    path
        File to write; its suffix decides the format, which may differ from the image's own.
    image
        Gives shape, dtype, axes and metadata.

    Yields
    ------
    An array of the image's shape and dtype to assign to, in any order, by integers and slices. The
    file appears under `path` when the block ends without an error.

    Raises
    ------
    InputError
        If the image does not fit into the format, or `path` is the file it was read from.
    """
    where = Path(path)
    name = require_format(where)
    _refuse_overwriting(where, image.path)
    _require_fit(where, name, image)
    output = importlib.import_module(f"napari_baryir.files.{FORMATS[name].room}.writing").output
    with written_aside(where) as aside, output(aside, image, name) as pixels:
        yield pixels
    _say_what_is_lost(where, name, image)


def write_image(
    path: str | os.PathLike[str],
    array: Any,
    *,
    like: ImageFile | None = None,
    axes: str | None = None,
) -> None:
    """Write an array to a file, with the metadata of another image.

    Parameters
    ----------
    path
        File to write; its suffix decides the format. Replaced when there.
    array
        NumPy or dask, integer or float. Dask arrays are written chunk by chunk.
    like
        The image whose metadata is kept; same shape.
    axes
        One letter of T, Z, C, Y, X, S for each dimension; without, those of `like`, or a guess.

    Raises
    ------
    InputError
        If shape and axes or `like` disagree, or the array does not fit into the format.
    """
    image = _described(Path(path), array, like, axes)
    with open_output(path, image) as pixels:
        if is_dask(array):
            from napari_baryir.files.lazy import store_in_turn

            store_in_turn(array, pixels)
        else:
            pixels[...] = np.asarray(array)


def _described(path: Path, array: Any, like: ImageFile | None, axes: str | None) -> ImageFile:
    """Return the image to write: `array` with the metadata of `like`."""
    shape = tuple(array.shape)
    if like is not None:
        if shape != like.shape:
            raise InputError(
                f"{path}: the array has shape {shape} but {like.path.name} has {like.shape}; "
                "its metadata fits only an array of the same shape"
            )
        return replace(like, data=array, axes=axes or like.axes)
    # No path of its own: nothing that writing could overwrite.
    axes = guess_axes(shape) if axes is None else check_axes(axes, shape)
    return ImageFile(Path(), "", array, axes)


def _require_fit(path: Path, name: str, image: ImageFile) -> None:
    """Raise `InputError` unless an image fits into a format, before any time is spent on it."""
    target, dtype, axes, samples = FORMATS[name], image.dtype, image.axes, image.samples
    advice = "write a .tif instead"
    if path.suffix.lower() in target.read_only:
        raise InputError(f"{path}: {path.suffix} files can be read but not written; {advice}")
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


def _say_what_is_lost(path: Path, name: str, image: ImageFile) -> None:
    """Warn of metadata that the format of the output cannot keep."""
    titles = {"icc_profile": "colour profile", "exif": "EXIF", "scale": "steps between pixels",
            "channel_names": "channel names"}  # fmt: skip
    kept = FORMATS[name].keeps
    lost = [title for field, title in titles.items() if getattr(image, field) and field not in kept]
    if image.details is not None and image.format not in ("", name):
        lost += image.details.only_here()
    if lost:
        came = image_name(image.path)
        logger.warning("%s: metadata of %s that is not kept: %s", path, came, ", ".join(lost))


def _refuse_overwriting(path: Path, source: Path) -> None:
    if source == Path() or not path.exists() or not source.exists():
        return
    if path.samefile(source):
        raise InputError(
            f"{path}: the output would overwrite the input; give another file or folder with -o"
        )
