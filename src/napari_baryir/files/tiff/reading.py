"""Read TIFF: plain, OME, ImageJ and what else tifffile knows."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from napari_baryir.errors import InputError
from napari_baryir.files.image_file import ImageFile, Resource
from napari_baryir.files.lazy import lazy_array
from napari_baryir.files.tiff.calibration import (
    Resolution,
    calibration,
    dots_per_inch,
    stored_resolution,
)

LAZY_BYTES = 256 * 2**20
"""Larger images are mapped or read when needed."""

KEPT_TAGS: dict[int, str] = {
    269: "document name",
    271: "make",
    272: "model",
    274: "orientation",
    285: "page name",
    286: "x position",
    287: "y position",
    306: "date and time",
    315: "artist",
    316: "host computer",
    33432: "copyright",
    33550: "GeoTIFF pixel scale",
    33922: "GeoTIFF tie points",
    34264: "GeoTIFF transformation",
    34675: "ICC profile",
    34735: "GeoTIFF keys",
    34736: "GeoTIFF doubles",
    34737: "GeoTIFF text",
    42112: "GDAL metadata",
    42113: "GDAL no data",
    50838: "ImageJ metadata sizes",
    50839: "ImageJ metadata (labels, lookup tables, overlays)",
    51123: "Micro-Manager metadata",
    700: "XMP",
}
"""Tags of the first page that are written back byte by byte: those that describe the image, hold no
offsets into the file, and stay true when the pixels change."""

FAMILIES = {
    "ome": "ome",
    "imagej": "imagej",
    "shaped": "plain",
    "uniform": "plain",
    "generic": "plain",
}
"""tifffile's kinds of series that can be written back as they are. For the others (LSM, STK, ...)
only axes, steps and channels are kept, in a new OME-XML."""

UNSUPPORTED_COLOURS = {
    "SEPARATED": "CMYK colours",
    "CIELAB": "Lab colours",
    "ICCLAB": "Lab colours",
    "ITULAB": "Lab colours",
    "CFA": "a raw sensor mosaic",
    "LINEAR_RAW": "raw sensor data",
    "LOGLUV": "LogLuv colours",
    "MASK": "a transparency mask",
}
"""Photometric interpretations whose numbers are neither intensities nor RGB."""


@dataclass(frozen=True)
class TiffDetails:
    """How the pixels lay in the TIFF, and its metadata word by word."""

    family: str
    """"ome", "imagej", "plain", or "other"."""
    axes: str
    """As tifffile names them."""
    description: bytes
    """ImageDescription: OME-XML, ImageJ's, tifffile's or free text."""
    photometric: str
    planar: bool
    """Whether samples lie in planes of their own."""
    extra_samples: tuple[int, ...]
    colormap: NDArray[np.uint16] | None
    compression: int
    predictor: int
    tile: tuple[int, int] | None
    resolution: Resolution | None
    """Dots per unit along X and Y, as the stored fractions."""
    resolution_unit: int
    tags: tuple[tuple[int, int, int, bytes], ...]
    """Code, data type, count and raw bytes of `KEPT_TAGS`."""
    bigtiff: bool
    byteorder: Literal["<", ">"]


def read(path: Path) -> ImageFile:
    """Read the first image of a TIFF; see `reading.read_image`."""
    file = tifffile.TiffFile(path)
    try:
        image = _read(path, file)
    except BaseException:
        file.close()
        raise
    if image.resource is None:
        file.close()
    return image


def _read(path: Path, file: tifffile.TiffFile) -> ImageFile:
    series = file.series[0]
    page = series.keyframe
    photometric = _photometric(page)
    if photometric in UNSUPPORTED_COLOURS:
        raise InputError(
            f"{path}: it holds {UNSUPPORTED_COLOURS[photometric]}; convert it to RGB or grey first"
        )
    _require_complete(path, file, series)
    details = _details(file, series, photometric)
    axes, guessed = _our_axes(path, series, details)
    data, resource = _pixels(path, file, series)
    steps = calibration(file, details.family, details.resolution)
    indexed = details.colormap is not None and details.family == "plain"
    if indexed and details.colormap is not None:
        # ImageJ and OME write intensities with a lookup table; elsewhere the numbers are only
        # indices of colours, and neighbouring numbers need not be neighbouring colours.
        data, axes = _coloured(np.asarray(data), details.colormap), f"{axes}S"
    return ImageFile(
        path,
        "tiff",
        data,
        axes,
        guessed,
        scale={a: s for a, s in steps.scale.items() if a in axes},
        units={a: u for a, u in steps.units.items() if a in axes},
        channel_names=steps.channel_names,
        icc_profile=page.iccprofile,
        dpi=dots_per_inch(details.resolution, details.resolution_unit),
        details=None if indexed else details,
        notes=_notes(file, series, indexed),
        resource=resource,
    )


def _photometric(page: tifffile.TiffPage) -> str:
    name = getattr(page.photometric, "name", None)
    return str(name) if name else "MINISBLACK"


def _details(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, photometric: str
) -> TiffDetails:
    page = series.keyframe
    first = file.pages.first
    resolution, unit = stored_resolution(page)
    description = first.tags.get(270)
    return TiffDetails(
        family=FAMILIES.get(series.kind, "other"),
        axes=series.axes,
        description=_raw(file, description).rstrip(b"\0") if description is not None else b"",
        photometric=photometric,
        planar=int(page.planarconfig) == 2,
        extra_samples=tuple(int(sample) for sample in page.extrasamples),
        colormap=page.colormap,
        compression=int(page.compression),
        predictor=int(page.predictor),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
        resolution=resolution,
        resolution_unit=unit,
        tags=tuple(
            (tag.code, int(tag.dtype), int(tag.count), _raw(file, tag))
            for tag in first.tags
            if tag.code in KEPT_TAGS
        ),
        bigtiff=bool(file.is_bigtiff),
        byteorder=file.byteorder,
    )


def _raw(file: tifffile.TiffFile, tag: tifffile.TiffTag) -> bytes:
    file.filehandle.seek(tag.valueoffset)
    raw: bytes = file.filehandle.read(tag.valuebytecount)
    return raw


def _our_axes(
    path: Path, series: tifffile.TiffPageSeries, details: TiffDetails
) -> tuple[str, bool]:
    """TZCYXS for tifffile's letters, and whether one had to be guessed."""
    axes = str(series.axes)
    if "S" in axes and "C" not in axes and not _holds_colours(series, details):
        axes = axes.replace("S", "C")  # several values per pixel that are not colours
    unknown = [letter for letter in axes if letter not in "TZCYXS"]
    # A single stack is taken for depth, two nested ones for depth in time.
    free = [letter for letter in ("ZTC" if len(unknown) == 1 else "TZC") if letter not in axes]
    if len(unknown) > len(free):
        raise InputError(
            f"{path}: axes {series.axes} are more than T, Z, C, Y, X and S; "
            "save each position or phase as a file of its own"
        )
    for letter, meaning in zip(unknown, free, strict=False):
        axes = axes.replace(letter, meaning, 1)
    return axes, bool(unknown)


def _holds_colours(series: tifffile.TiffPageSeries, details: TiffDetails) -> bool:
    """Whether axis S is RGB, RGBA, or grey with alpha."""
    samples = series.shape[series.axes.index("S")]
    if details.photometric in ("RGB", "YCBCR"):
        return samples in (3, 4)
    return samples == 1 or (samples == 2 and details.extra_samples in ((1,), (2,)))


def _pixels(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> tuple[Any, Resource | None]:
    """The array, and what must stay open behind it: small ones in memory, large ones lazy."""
    if series.nbytes <= LAZY_BYTES:
        return _native(series.asarray()), None
    native = np.dtype(series.dtype).newbyteorder(file.byteorder).isnative
    if series.dataoffset is not None and native:
        mapped = tifffile.memmap(path, series=0, mode="r")
        return mapped, None
    # A page is a good piece of work unless it is itself too large.
    mode = "page" if series.keyframe.nbytes <= LAZY_BYTES else None
    array = zarr.open(series.aszarr(level=0, chunkmode=mode), mode="r")
    return lazy_array(array), file


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _require_complete(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
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
    """Offset that the last readable page gives for the page after it; 0 at the true end."""
    form, handle = file.tiff, file.filehandle
    start = file.pages[-1].offset
    handle.seek(start)
    (count,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(start + form.tagnosize + count * form.tagsize)
    (offset,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
    return int(offset)


def _coloured(indices: NDArray[Any], colormap: NDArray[np.uint16]) -> NDArray[Any]:
    """Colours, (..., 3), of indices into a (3, N) map; uint8 if the map holds no finer colours."""
    table = np.moveaxis(colormap, 0, -1)
    # Writers make 16 bits of 8 by repeating the byte or by adding a zero byte.
    if np.all(table % 257 == 0) or np.all(table % 256 == 0):
        table = (table >> 8).astype(np.uint8)
    colours: NDArray[Any] = table[indices]
    return colours


def _notes(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, indexed: bool
) -> tuple[str, ...]:
    notes = []
    if len(file.series) > 1:
        notes.append(
            f"it holds {len(file.series)} images; only the first, {series.axes} "
            f"{'x'.join(map(str, series.shape))}, is used"
        )
    if len(series.levels) > 1:
        notes.append("its smaller copies (pyramid) are not written")
    if indexed:
        notes.append("its colour indices are turned into RGB")
    if any(page is None for page in series.pages):
        notes.append("some of its planes are missing and read as zeros")
    return tuple(notes)
