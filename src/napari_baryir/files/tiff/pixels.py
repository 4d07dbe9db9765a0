"""The pixels of a TIFF: all of them there, and as a viewer shows them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from napari_baryir.errors import InputError
from napari_baryir.files.image_file import Resource, upright
from napari_baryir.files.lazy import lazy_array, mapped_lazily
from napari_baryir.files.tiff.details import TiffDetails
from napari_baryir.files.waiting import IN_MEMORY

PREMULTIPLIED = (1,)
"""TIFF's code of samples besides the colours: an alpha that the colours are multiplied by."""


def read_pixels(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> tuple[Any, Resource | None]:
    """Return the array and what must stay open behind it: small ones in memory, large ones lazy."""
    if series.nbytes <= IN_MEMORY:
        array: NDArray[Any] = series.asarray()
        return array.astype(array.dtype.newbyteorder("="), copy=False), None
    native = np.dtype(series.dtype).newbyteorder(file.byteorder).isnative
    if series.dataoffset is not None and native:
        offset, shape = series.dataoffset, series.shape
        return np.memmap(path, series.dtype, "r", offset, shape), None
    # A page is a good piece of work unless it is itself too large.
    mode = "page" if series.keyframe.nbytes <= IN_MEMORY else None
    stored = zarr.open(series.aszarr(level=0, chunkmode=mode), mode="r")
    return lazy_array(stored, path, "TIFF"), file


def require_complete(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse a file that was cut off: tifffile would fill the missing part with zeros."""
    size = file.filehandle.size
    if series.dataoffset is not None:
        end = series.dataoffset + series.nbytes
    else:
        own = [page for page in series.pages if page is not None and page.parent is file]
        ends = (
            offset + count
            for page in own
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        )
        end = max(ends, default=0)
    end = max(end, _next_page(file))
    if end > size:
        raise InputError(
            f"{path}: not a readable TIFF; it is incomplete ({size} of at least {end} bytes)"
        )


def _next_page(file: tifffile.TiffFile) -> int:
    """Return the offset that the last readable page gives for the next; 0 at the true end."""
    form, handle = file.tiff, file.filehandle
    start = file.pages[-1].offset
    handle.seek(start)
    (count,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(start + form.tagnosize + count * form.tagsize)
    (offset,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
    return int(offset)


def as_shown(array: Any, axes: str, details: TiffDetails) -> Any:
    """Return what a viewer shows: upright, 0 black, colours not multiplied by alpha."""
    white, alpha = _is_negative(array, details), _is_premultiplied(axes, details)
    if details.orientation == 1 and not white and not alpha:
        return array
    if isinstance(array, np.memmap):
        array = mapped_lazily(array)
    if white:
        array = _negative(array, details)
    if alpha:
        array = _scaled_colours(array, axes, divide=True)
    return upright(array, axes, details.orientation)


def as_stored(array: NDArray[Any], axes: str, details: TiffDetails) -> NDArray[Any]:
    """Return the numbers that a TIFF of the same kind holds; the picture stays upright."""
    if _is_premultiplied(axes, details):
        array = _scaled_colours(array, axes, divide=False)
    return _negative(array, details) if _is_negative(array, details) else array


def coloured(indices: NDArray[Any], colormap: NDArray[np.uint16]) -> NDArray[Any]:
    """Return colours, (..., 3), for indices into a (3, N) map; uint8 if it has no finer ones."""
    table = np.moveaxis(colormap, 0, -1)
    # Writers make 16 bits of 8 by repeating the byte or by adding a zero byte.
    if np.all(table % 257 == 0) or np.all(table % 256 == 0):
        table = (table >> 8).astype(np.uint8)
    colours: NDArray[Any] = table[indices]
    return colours


def _is_negative(array: Any, details: TiffDetails) -> bool:
    # Floats have no largest number to count from.
    return details.photometric == "MINISWHITE" and array.dtype.kind in "uib"


def _negative(array: Any, details: TiffDetails) -> Any:
    bits = details.bits
    if array.dtype.kind == "u" and bits < 8 * array.dtype.itemsize:
        return array.dtype.type(2**bits - 1) - array
    return ~array  # swaps the smallest and the largest number of the dtype


def _is_premultiplied(axes: str, details: TiffDetails) -> bool:
    return "S" in axes and details.extra_samples == PREMULTIPLIED


def _scaled_colours(array: Any, axes: str, *, divide: bool) -> Any:
    """Divide colours by their alpha, or multiply them; where alpha is 0 they stay."""
    before = (slice(None),) * axes.index("S")
    colours, alpha = array[(*before, slice(None, -1))], array[(*before, slice(-1, None))]
    whole = array.dtype.kind in "ui"
    top = float(np.iinfo(array.dtype).max) if whole else 1.0
    share = np.where(alpha > 0, alpha / top, 1.0)
    made = colours / share if divide else colours * share
    if whole:
        made = np.clip(np.rint(made), 0, top)
    return np.concatenate([made.astype(array.dtype), alpha], axis=axes.index("S"))
