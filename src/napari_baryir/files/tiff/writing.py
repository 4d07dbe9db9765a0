"""Write TIFF as it was read: same family, tags, layout and lossless compression."""

from __future__ import annotations

import contextlib
import logging
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.tiff.details import ICC_PROFILE, Tag, TiffDetails, tags_of_pages
from napari_baryir.files.tiff.ome_xml import fresh_metadata, keep_first_image
from napari_baryir.files.tiff.pixels import as_stored
from napari_baryir.files.waiting import waiting_pixels
from napari_baryir.version import __version__

logger = logging.getLogger(__name__)

BIG = 2**32 - 2**25
"""Bytes of pixels beyond which the 32-bit offsets of a classic TIFF may not reach."""

LOSSLESS = {
    1: None, 5: "lzw", 8: "adobe_deflate", 32773: "packbits", 32946: "deflate", 34925: "lzma",
    50000: "zstd",
}  # fmt: skip
"""TIFF compression to tifffile's name for writing it. Others, the lossy ones among them, become
deflate, so that nothing is lost after restoring."""

PREDICTABLE = {"lzw", "adobe_deflate", "deflate", "lzma", "zstd"}
"""Compressions that a predictor may precede."""

NAMESPACE = "napari-baryir/original-metadata"
"""Marks the instrument's metadata in a new OME-XML."""

RATIONALS = {5: "I", 10: "i"}
"""TIFF's codes of the data types of fractions to the format of numerator and denominator."""

Page = tuple[bytes, tuple[Tag, ...]]
"""Description and tags of a page."""


@contextlib.contextmanager
def output(aside: Path, image: ImageFile, name: str) -> Iterator[NDArray[Any]]:
    """Give pixels to fill; see `writing.open_output`."""
    details = image.details if isinstance(image.details, TiffDetails) else None
    with waiting_pixels(image.shape, image.dtype, aside) as pixels:
        yield pixels
        pages = _pages(image, details)
        if details is None or details.family == "other":
            _write_new(aside, pixels, image, details, pages)
        else:
            _write_back(aside, pixels, image, details, pages)


def _pages(image: ImageFile, details: TiffDetails | None) -> list[Page]:
    """Return description and tags of each page, or of the first if only that has any."""
    if details is None:
        return [(b"", ())]
    first = (details.description, details.tags)
    sides = zip(image.shape, details.axes, strict=True)
    planes = math.prod(n for n, letter in sides if letter not in "YXS")
    try:
        pages = tags_of_pages(details.path, planes) if details.family != "imagej" else None
    except (OSError, tifffile.TiffFileError) as error:
        logger.warning(
            "%s: descriptions, names and times of pages after the first are not kept, for it "
            "cannot be read again (%s)", details.path, error
        )  # fmt: skip
        pages = None
    if details.dropped and not details.original:
        listed = ", ".join(details.dropped)
        logger.warning("%s: some of its metadata is not kept: %s", details.path, listed)
    return [first, *pages[1:]] if pages else [first]


def _write_back(
    aside: Path, pixels: NDArray[Any], image: ImageFile, details: TiffDetails, pages: list[Page]
) -> None:
    """Write with the description and the tags of the original, word by word."""
    if details.family == "ome":
        xml = keep_first_image(details.description.decode("utf-8", "replace"))
        pages = [(xml.encode("utf-8"), details.tags), *pages[1:]]
    stored = as_stored(pixels, image.axes, details)
    _write(aside, stored, pages, details, **_kept_layout(pixels, details))
    if details.family == "ome" and not _reads_as(aside, image.shape, details.axes):
        # An XML that does not fit the pixels, for instance, cannot describe this file.
        logger.warning(
            "%s: its OME-XML does not fit its pixels; of its metadata only axes, steps and "
            "channel names are kept", details.path
        )  # fmt: skip
        _write_new(aside, pixels, image, details, pages)


def _write_new(
    aside: Path,
    pixels: NDArray[Any],
    image: ImageFile,
    details: TiffDetails | None,
    pages: list[Page],
) -> None:
    """Write with metadata that is made anew: OME-XML, or none for a photograph."""
    photo = set(image.axes) <= set("YXS") and not image.scale and details is None
    rgb = "S" in image.axes and image.samples >= 3
    planar = _planar(image.axes, pixels.ndim)
    layout: dict[str, Any] = {
        "photometric": "rgb" if rgb else "minisblack",
        "planarconfig": planar,
        "extrasamples": (2,) * (image.samples - (3 if rgb else 1)) or None,
    }
    if image.dpi:
        layout |= {"resolution": image.dpi, "resolutionunit": "inch"}
    xml = b"" if photo else _new_xml(pixels, image, details, planar)
    tags = pages[0][1] if details is not None else ()
    if image.icc_profile is not None and all(code != ICC_PROFILE for code, *_ in tags):
        layout["iccprofile"] = image.icc_profile
    _write(aside, pixels, [(xml, tags), *pages[1:]], details, **layout)


def _new_xml(
    pixels: NDArray[Any], image: ImageFile, details: TiffDetails | None, planar: str | None
) -> bytes:
    metadata = fresh_metadata(image.axes, image.scale, image.units, image.channel_names)
    if details is not None and details.family == "other":
        text = details.description.decode("utf-8", "replace").replace("\0", "\n")
        kept = {"ImageDescription": text} if text else {}
        metadata["MapAnnotation"] = {"Namespace": NAMESPACE, **kept, **details.original}
    height, width = (image.shape[image.axes.index(letter)] for letter in "YX")
    samples = (image.samples, 1) if planar == "separate" else (1, image.samples)
    planes = pixels.size // (height * width * image.samples)
    made = tifffile.OmeXml()
    stored = (planes, samples[0], 1, height, width, samples[1])
    made.addimage(pixels.dtype, pixels.shape, stored, **metadata)
    return made.tostring(declaration=True).encode("utf-8")


def _write(
    aside: Path, pixels: NDArray[Any], pages: list[Page], details: TiffDetails | None, **layout: Any
) -> None:
    """Write all planes, each with a description and tags of its own if there are several.

    `layout` is what tifffile wants to know of the pixels.
    """
    kept = sum(len(text) + sum(len(tag[3]) for tag in tags) for text, tags in pages)
    # Raw tags are in the byte order of the file that they come from.
    with tifffile.TiffWriter(
        aside,
        bigtiff=pixels.nbytes + kept > BIG or (details is not None and details.bigtiff),
        byteorder=details.byteorder if details is not None else "<",
        shaped=False,
    ) as file:
        page = pixels.shape[-3 if layout["planarconfig"] else -2 :]
        planes = pixels.reshape(-1, *page) if len(pages) > 1 else [pixels]
        for plane, (text, tags) in zip(planes, pages, strict=True):
            file.write(
                plane,
                description=text or None,
                metadata=None,
                contiguous=False,
                software=(details.software if details is not None else b"")
                or f"napari-baryir {__version__}",
                extratags=[_extra(tag, file.tiff.byteorder) for tag in tags],
                **(_resolution(details) | layout),
            )


def _extra(tag: Tag, byteorder: str) -> tuple[int, int, int, Any, bool]:
    code, kind, count, raw = tag
    value: Any = raw
    if kind in RATIONALS:  # tifffile takes raw bytes for twice as many numbers as they are
        value = struct.unpack(f"{byteorder}{2 * count}{RATIONALS[kind]}", raw)
    return code, kind, count, value, True


def _planar(axes: str, ndim: int) -> str | None:
    if "S" not in axes:
        return None
    return "contig" if axes.index("S") == ndim - 1 else "separate"


def _resolution(details: TiffDetails | None) -> dict[str, Any]:
    if details is None or details.resolution is None:
        return {}
    return {"resolution": details.resolution, "resolutionunit": details.resolution_unit}


def _kept_layout(pixels: NDArray[Any], details: TiffDetails) -> dict[str, Any]:
    compression = LOSSLESS.get(details.compression, "adobe_deflate")
    predictor = details.predictor if details.predictor in (2, 3) else None
    if compression not in PREDICTABLE or (predictor == 3) != (pixels.dtype.kind == "f"):
        predictor = None
    colours = details.photometric in ("RGB", "YCBCR")
    planar = "separate" if details.planar else "contig"
    return {
        # JPEG's YCbCr is read as RGB.
        "photometric": "rgb" if colours else details.photometric.lower(),
        "planarconfig": planar if "S" in details.axes else None,
        "extrasamples": details.extra_samples or None,
        "compression": compression,
        "predictor": predictor,
        "tile": details.tile,
        "colormap": details.colormap if details.photometric == "PALETTE" else None,
    }


def _reads_as(path: Path, shape: tuple[int, ...], axes: str) -> bool:
    with tifffile.TiffFile(path) as file:
        first = file.series[0]
        return first.kind == "ome" and first.shape == shape and first.axes == axes
