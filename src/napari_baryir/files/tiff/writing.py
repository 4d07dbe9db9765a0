"""Write TIFF as it was read: same family, tags, layout and lossless compression."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.tiff.ome_xml import fresh_metadata, keep_first_image
from napari_baryir.files.tiff.reading import TiffDetails
from napari_baryir.files.waiting import waiting_pixels
from napari_baryir.version import __version__

BIG = 2**32 - 2**25
"""Bytes of pixels beyond which the 32-bit offsets of a classic TIFF may not reach."""

LOSSLESS = {
    1: None,
    5: "lzw",
    8: "adobe_deflate",
    32773: "packbits",
    32946: "deflate",
    34925: "lzma",
    50000: "zstd",
}
"""TIFF compression to tifffile's name for writing it. Others, the lossy ones among them, become
deflate, so that nothing is lost after restoring."""

PREDICTABLE = {"lzw", "adobe_deflate", "deflate", "lzma", "zstd"}
"""Compressions that a predictor may precede."""

_MIN_IS_BLACK = "minisblack"


@dataclass(frozen=True)
class _Layout:
    """Arguments of tifffile for the pixels."""

    photometric: str
    planarconfig: str | None = None
    extrasamples: tuple[int, ...] | None = None
    compression: str | None = None
    predictor: int | None = None
    tile: tuple[int, int] | None = None
    colormap: NDArray[np.uint16] | None = None

    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@contextlib.contextmanager
def output(aside: Path, image: ImageFile, name: str) -> Iterator[NDArray[Any]]:
    """Pixels to fill; see `writing.open_output`."""
    with waiting_pixels(image.shape, image.dtype, aside) as pixels:
        yield pixels
        details = image.details
        if isinstance(details, TiffDetails) and details.family != "other":
            _write_back(aside, pixels, image, details)
        else:
            _write_new(aside, pixels, image)


def _write_back(aside: Path, pixels: NDArray[Any], image: ImageFile, details: TiffDetails) -> None:
    """Write with the description and the tags of the original, word by word."""
    description = details.description
    if details.family == "ome":
        xml = keep_first_image(description.decode("utf-8", "replace"))
        description = xml.encode("utf-8")
    # Raw tags are in the byte order of the file they come from.
    with _writer(aside, pixels, details.byteorder, big=details.bigtiff) as file:
        file.write(
            pixels,
            description=description or None,
            metadata=None,
            software=f"napari-baryir {__version__}",
            extratags=[(*tag, True) for tag in details.tags],
            **_resolution(details),
            **_kept_layout(pixels, details).arguments(),
        )
    if details.family == "ome" and not _reads_as(aside, image.shape, details.axes):
        # An XML that described several files, for instance, cannot describe this one.
        _write_new(aside, pixels, image)


def _write_new(aside: Path, pixels: NDArray[Any], image: ImageFile) -> None:
    """Write an image that has no TIFF metadata of its own: OME, or a plain one for a photograph."""
    photo = set(image.axes) <= set("YXS") and not image.scale
    rgb = "S" in image.axes and image.samples >= 3
    layout = _Layout(
        photometric="rgb" if rgb else _MIN_IS_BLACK,
        planarconfig=_planar(image.axes, pixels.ndim),
        extrasamples=(2,) * (image.samples - (3 if rgb else 1)) or None,
    )
    with _writer(aside, pixels, "<", ome=not photo) as file:
        file.write(
            pixels,
            metadata=None
            if photo
            else fresh_metadata(image.axes, image.scale, image.units, image.channel_names),
            software=f"napari-baryir {__version__}",
            iccprofile=image.icc_profile,
            resolution=image.dpi,
            resolutionunit="inch" if image.dpi else None,
            **layout.arguments(),
        )


def _planar(axes: str, ndim: int) -> str | None:
    if "S" not in axes:
        return None
    return "contig" if axes.index("S") == ndim - 1 else "separate"


def _writer(
    aside: Path,
    pixels: NDArray[Any],
    byteorder: Literal["<", ">"],
    *,
    big: bool = False,
    ome: bool = False,
) -> tifffile.TiffWriter:
    return tifffile.TiffWriter(
        aside, bigtiff=big or pixels.nbytes > BIG, byteorder=byteorder, ome=ome, shaped=False
    )


def _resolution(details: TiffDetails) -> dict[str, Any]:
    if details.resolution is None:
        return {}
    return {"resolution": details.resolution, "resolutionunit": details.resolution_unit}


def _kept_layout(pixels: NDArray[Any], details: TiffDetails) -> _Layout:
    compression = LOSSLESS.get(details.compression, "adobe_deflate")
    predictor = details.predictor if details.predictor in (2, 3) else None
    if compression not in PREDICTABLE or (predictor == 3) != (pixels.dtype.kind == "f"):
        predictor = None
    colours = details.photometric in ("RGB", "YCBCR")
    samples = "S" in details.axes
    return _Layout(
        # JPEG's YCbCr is read as RGB.
        photometric="rgb" if colours else details.photometric.lower(),
        planarconfig=("separate" if details.planar else "contig") if samples else None,
        extrasamples=details.extra_samples or None,
        compression=compression,
        predictor=predictor,
        tile=details.tile,
        colormap=details.colormap if details.photometric == "PALETTE" else None,
    )


def _reads_as(path: Path, shape: tuple[int, ...], axes: str) -> bool:
    with tifffile.TiffFile(path) as file:
        first = file.series[0]
        return first.kind == "ome" and first.shape == shape and first.axes == axes
