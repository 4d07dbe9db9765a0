"""Read TIFF: plain, OME, ImageJ and what else tifffile knows."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_baryir.errors import InputError
from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.tiff.details import TiffDetails, dots_per_inch, read_details
from napari_baryir.files.tiff.instruments import file_spacing
from napari_baryir.files.tiff.opening import Opened, open_first
from napari_baryir.files.tiff.pixels import as_shown, coloured, read_pixels, require_complete

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


def read(path: Path) -> ImageFile:
    """Read the first image of a TIFF; see `reading.read_image`."""
    opened = open_first(path)
    with contextlib.ExitStack() as reading:
        reading.callback(opened.file.close)
        image = _read(path, opened)
        if image.resource is not None:
            reading.pop_all()
    return image


def _read(path: Path, opened: Opened) -> ImageFile:
    file, series = opened.file, opened.series
    photometric = getattr(series.keyframe.photometric, "name", None) or "MINISBLACK"
    if photometric in UNSUPPORTED_COLOURS:
        raise InputError(
            f"{path}: it holds {UNSUPPORTED_COLOURS[photometric]}; convert it to RGB or grey first"
        )
    require_complete(path, file, series)
    details = read_details(opened, path, photometric)
    axes, guessed = _our_axes(path, series, details)
    stored, resource = read_pixels(path, file, series)
    data = as_shown(stored, axes, details)
    steps = file_spacing(file, details)
    notes = [*opened.notes, *_notes(file, series, alone=not opened.notes)]
    if details.colormap is not None and details.family == "plain":
        # ImageJ and OME write intensities with a lookup table; elsewhere the numbers are only
        # indices of colours, and neighbouring numbers need not be neighbouring colours.
        data, axes = coloured(np.asarray(data), details.colormap), f"{axes}S"
        details = replace(details, photometric="RGB", axes=f"{details.axes}S", colormap=None)
        notes.append("its colour indices are turned into RGB")
    elif data.dtype == bool:
        data = data * np.uint8(255)
        details = replace(details, photometric="MINISBLACK", bits=8)
        notes.append("its single bits are turned into 0 and 255")
    letters = {"X": "Y", "Y": "X"} if details.orientation >= 5 else {}
    return ImageFile(
        path,
        "tiff",
        data,
        axes,
        guessed,
        scale={letters.get(a, a): s for a, s in steps.scale.items() if a in axes},
        units={letters.get(a, a): u for a, u in steps.units.items() if a in axes},
        channel_names=steps.channel_names,
        icc_profile=series.keyframe.iccprofile,
        dpi=dots_per_inch(details.resolution, details.resolution_unit),
        details=details,
        notes=tuple(notes),
        resource=resource,
    )


def _our_axes(
    path: Path, series: tifffile.TiffPageSeries, details: TiffDetails
) -> tuple[str, bool]:
    """Return TZCYXS for tifffile's letters, and whether one had to be guessed."""
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
    """Return whether axis S is RGB, RGBA, or grey with alpha."""
    samples = series.shape[series.axes.index("S")]
    if details.photometric in ("RGB", "YCBCR"):
        return samples in (3, 4)
    return samples == 1 or (samples == 2 and details.extra_samples in ((1,), (2,)))


def _notes(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, *, alone: bool
) -> tuple[str, ...]:
    notes: list[Any] = []
    if len(file.series) > 1 and alone:
        notes.append(
            f"it holds {len(file.series)} images; only the first, {series.axes} "
            f"{'x'.join(map(str, series.shape))}, is used"
        )
    if len(series.levels) > 1:
        notes.append("its smaller copies (pyramid) are not written")
    if any(page is None for page in series.pages):
        notes.append("some of its planes are missing and read as zeros")
    return tuple(notes)
