"""Read steps between pixels and dots per inch from ImageJ's description and TIFF's tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tifffile

from napari_baryir.files.tiff.ome_xml import Calibration, positive
from napari_baryir.files.units import unit_name

Fraction = tuple[int, int]
"""Numerator and denominator, as TIFF stores them."""

Resolution = tuple[Fraction, Fraction]
"""Dots per unit along X and Y."""

INCH, CENTIMETER = 2, 3
"""TIFF's codes of the units of resolution; 1 stands for none."""


def imagej_calibration(metadata: Mapping[str, Any], resolution: Resolution | None) -> Calibration:
    """Read steps and units from ImageJ's description and the resolution tags."""
    unit = unit_name(str(metadata.get("unit", "")))
    scale: dict[str, float] = {}
    units: dict[str, str] = {}
    if unit is not None:
        for axis, (dots, per) in zip("XY", resolution or (), strict=False):
            if dots > 0 and per > 0:
                scale[axis], units[axis] = per / dots, unit
    if unit is not None and (spacing := positive(metadata.get("spacing"))) is not None:
        scale["Z"], units["Z"] = spacing, unit
    if (interval := positive(metadata.get("finterval"))) is not None:
        scale["T"], units["T"] = interval, "second"
    return Calibration(scale, units)


def stored_resolution(page: tifffile.TiffPage) -> tuple[Resolution | None, int]:
    """Return the resolution tags as they are stored, and the code of their unit."""
    tags = page.tags
    # TIFF 6.0: without a unit, it is the inch.
    unit = int(tags[296].value) if 296 in tags else INCH
    if 282 not in tags or 283 not in tags:
        return None, unit
    return (tags[282].value, tags[283].value), unit


def dots_per_inch(resolution: Resolution | None, unit: int) -> tuple[float, float] | None:
    """Return dots per inch along X and Y; None where the file has none."""
    per_inch = {INCH: 1.0, CENTIMETER: 2.54}.get(unit)
    if resolution is None or per_inch is None:
        return None
    x, y = (dots / per * per_inch if per else 0.0 for dots, per in resolution)
    return (x, y) if min(x, y) > 0 else None
