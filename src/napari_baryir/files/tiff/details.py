"""Describe the layout of an image in its TIFF, with the metadata word by word."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_baryir.files.tiff.opening import Opened, open_first

KEPT_TAGS: dict[int, str] = {
    269: "document name",
    271: "make",
    272: "model",
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
"""Tags that are written back byte by byte: those that describe the image, hold no offsets into the
file, and stay true when the pixels change. So do private tags that hold text."""

DESCRIPTION, SOFTWARE, ORIENTATION, XMP, ICC_PROFILE = 270, 305, 274, 700, 34675

LAYOUT_TAGS = {
    *range(254, 267), 273, *range(277, 285), 290, 291, 292, 293, 296, 297, 301, 317, 320, 321, 322,
    323, 324, 325, 330, 332, 338, 339, 340, 341, 347, *range(512, 522), 529, 530, 531, 532, 32995,
    32996, 32997, 33421, 34016,
}  # fmt: skip
"""Tags of how pixels are stored; tifffile writes its own."""

TEXT = 2
"""TIFF's code of the data type of text."""

FAMILIES = {
    "ome": "ome", "imagej": "imagej", "shaped": "plain", "uniform": "plain", "generic": "plain",
}  # fmt: skip
"""tifffile's kinds of series that can be written back as they are. Of the others (LSM, STK, ...)
axes, steps, channels and the instrument's metadata are kept, in a new OME-XML."""

Fraction = tuple[int, int]
"""Numerator and denominator, as TIFF stores them."""

Resolution = tuple[Fraction, Fraction]
"""Dots per unit along X and Y."""

INCH, CENTIMETER = 2, 3
"""TIFF's codes of the units of resolution; 1 stands for none."""

Tag = tuple[int, int, int, bytes]
"""Code, data type, count and raw bytes."""


@dataclass(frozen=True)
class TiffDetails:
    """The layout of the pixels in the TIFF, and its metadata word by word."""

    path: Path
    family: str
    """"ome", "imagej", "plain", or "other"."""
    axes: str
    """Axes as tifffile names them."""
    description: bytes
    """ImageDescription: OME-XML, ImageJ's, tifffile's or free text."""
    photometric: str
    planar: bool
    """Whether samples lie in planes of their own."""
    extra_samples: tuple[int, ...]
    bits: int
    """Bits of each number that are used."""
    orientation: int
    """Orientation of the picture in the file, 1 to 8; the data is upright."""
    colormap: NDArray[np.uint16] | None
    compression: int
    predictor: int
    tile: tuple[int, int] | None
    resolution: Resolution | None
    """Dots per unit along X and Y, as the stored fractions."""
    resolution_unit: int
    tags: tuple[Tag, ...]
    """The kept tags of the first page."""
    dropped: tuple[str, ...]
    """Names of the tags of the first page that are not kept."""
    bigtiff: bool
    byteorder: Literal["<", ">"]
    software: bytes = b""
    """The tag, where an instrument's settings are in it."""
    original: Mapping[str, str] = field(default_factory=dict)
    """The metadata of an instrument whose format cannot be written."""

    def only_here(self) -> tuple[str, ...]:
        codes = [code for code, *_ in self.tags if code != ICC_PROFILE]
        names = [KEPT_TAGS.get(code, f"tag {code}") for code in codes]
        if self.description and not self.description.startswith(b'{"shape": '):
            titles = {"ome": "most of its OME-XML", "imagej": "ImageJ's description"}
            names.insert(0, titles.get(self.family, "description"))
        return (*names, *self.original, *self.dropped)


def read_details(opened: Opened, path: Path, photometric: str) -> TiffDetails:
    """Read the layout of the pixels in a TIFF, and their metadata."""
    file, series = opened.file, opened.series
    page, first = series.keyframe, file.pages.first
    family = FAMILIES.get(series.kind, "other")
    if series.kind == "scanimage" and series.axes[:1] in "IYQ":
        family = "plain"  # it keeps its settings in tags alone
    resolution, unit = _stored_resolution(page)
    turn = int(page.tags.valueof(ORIENTATION, 1))
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else None
    if turn in range(5, 9):
        resolution, tile = resolution and resolution[::-1], tile and tile[::-1]
    description = page_description(file, first)
    if family == "ome":
        description = (file.ome_metadata or "").encode()
    return TiffDetails(
        path=path,
        family=family,
        axes=series.axes,
        description=description,
        photometric=photometric,
        planar=int(page.planarconfig) == 2,
        extra_samples=tuple(int(sample) for sample in page.extrasamples),
        bits=int(np.max(page.bitspersample)),
        orientation=turn if turn in range(1, 9) else 1,
        colormap=page.colormap,
        compression=int(page.compression),
        predictor=int(page.predictor),
        tile=tile,
        resolution=resolution,
        resolution_unit=unit,
        tags=kept_tags(file, first),
        dropped=_dropped(first),
        bigtiff=bool(file.is_bigtiff),
        byteorder=file.byteorder,
        software=_raw(file, first, SOFTWARE) if series.kind == "scanimage" else b"",
        original=_original(file) if family == "other" else {},
    )


def dots_per_inch(resolution: Resolution | None, unit: int) -> tuple[float, float] | None:
    """Return dots per inch along X and Y; None where the file has none."""
    per_inch = {INCH: 1.0, CENTIMETER: 2.54}.get(unit)
    if resolution is None or per_inch is None:
        return None
    x, y = (dots / per * per_inch if per else 0.0 for dots, per in resolution)
    return (x, y) if min(x, y) > 0 else None


def kept_tags(file: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[Tag, ...]:
    """Read the tags of a page that are written back byte by byte."""
    found = []
    for tag in page.tags:
        if tag.code in KEPT_TAGS or _is_private_text(tag):
            raw = _raw(file, page, tag.code)
            if tag.code == XMP:
                # The pixels are written upright.
                raw = re.sub(rb'(tiff:Orientation(?:="|>))[2-8]', rb"\g<1>1", raw)
            found.append((int(tag.code), int(tag.dtype), int(tag.count), raw))
    return tuple(found)


def page_description(file: tifffile.TiffFile, page: tifffile.TiffPage) -> bytes:
    """Read the description of a page, without the zeros at its end."""
    return _raw(file, page, DESCRIPTION).rstrip(b"\0")


def tags_of_pages(path: Path, count: int) -> list[tuple[bytes, tuple[Tag, ...]]] | None:
    """Read description and kept tags of each page; None if those after the first have none.

    `count` is the number of planes of the first image; one page can hold many.
    """
    opened = open_first(path)
    with opened.file as file:
        pages = opened.series.pages
        if len(pages) != count or count == 1 or any(page is None for page in pages):
            return None
        whole = [page.aspage() for page in pages if page is not None]
        found = [(page_description(file, page), kept_tags(file, page)) for page in whole]
    return found if any(text or tags for text, tags in found[1:]) else None


def _stored_resolution(page: tifffile.TiffPage) -> tuple[Resolution | None, int]:
    """Return the resolution tags as they are stored, and the code of their unit."""
    tags = page.tags
    # TIFF 6.0: without a unit, it is the inch.
    unit = int(tags[296].value) if 296 in tags else INCH
    if 282 not in tags or 283 not in tags:
        return None, unit
    return (tags[282].value, tags[283].value), unit


def _is_private_text(tag: tifffile.TiffTag) -> bool:
    return int(tag.dtype) == TEXT and tag.code >= 32768 and tag.code not in LAYOUT_TAGS


def _dropped(page: tifffile.TiffPage) -> tuple[str, ...]:
    known = {*LAYOUT_TAGS, *KEPT_TAGS, DESCRIPTION, SOFTWARE, ORIENTATION}
    return tuple(
        str(tag.name) if not str(tag.name).isdecimal() else f"tag {tag.code}"
        for tag in page.tags
        if tag.code not in known and not _is_private_text(tag)
    )


def _raw(file: tifffile.TiffFile, page: tifffile.TiffPage, code: int) -> bytes:
    tag = page.tags.get(code)
    if tag is None:
        return b""
    file.filehandle.seek(tag.valueoffset)
    raw: bytes = file.filehandle.read(tag.valuebytecount)
    return raw


def _original(file: tifffile.TiffFile) -> dict[str, str]:
    """Collect the metadata of an instrument as text, by the name that tifffile gives it."""
    found = {}
    for name in sorted(file.flags):
        metadata = getattr(file, f"{name}_metadata", None)
        if metadata:
            found[f"{name} metadata"] = (
                metadata if isinstance(metadata, str) else json.dumps(metadata, default=_plain)
            )
    software = file.pages.first.tags.valueof(SOFTWARE)
    return found | ({"Software": str(software)} if software else {})


def _plain(value: Any) -> Any:
    """Turn values that JSON does not know into ones that it does."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
