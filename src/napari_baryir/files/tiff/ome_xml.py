"""Read a few things from OME-XML, and change a few in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from napari_baryir.files.units import LENGTHS, UNITS, unit_name

_STEPS = {"X": "PhysicalSizeX", "Y": "PhysicalSizeY", "Z": "PhysicalSizeZ", "T": "TimeIncrement"}
"""Axis to the attribute of Pixels that holds its step."""

_DEFAULT_UNITS = {"X": "µm", "Y": "µm", "Z": "µm", "T": "s"}
"""Units of the OME schema where a file states none."""

_PREFIX = r"(?:[A-Za-z_][\w.-]*:)?"
"""An optional XML namespace prefix."""


@dataclass(frozen=True)
class Spacing:
    """Steps between pixels, their units, and names of channels, as far as a file has them."""

    scale: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()


def read_spacing(xml: str) -> Spacing:
    """Read steps, units and channel names of the first image of an OME-XML."""
    pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
    if pixels is None:
        return Spacing()
    scale, units = {}, {}
    for axis, attribute in _STEPS.items():
        step = positive(pixels.get(attribute))
        if step is None:
            continue
        unit = unit_name(pixels.get(f"{attribute}Unit", _DEFAULT_UNITS[axis]))
        scale[axis] = step
        if unit is not None:
            units[axis] = unit
    names = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))
    return Spacing(scale, units, names if any(names) else ())


def change_elements(xml: str, name: str, change: Callable[[int, str], str]) -> str:
    """Replace each element of a name by what `change` makes of its number and its text."""
    number = itertools.count()
    return re.sub(
        rf"<({_PREFIX}{name})\b(?:[^>]*/>|[^>]*>.*?</\1>)",
        lambda found: change(next(number), found.group(0)),
        xml,
        flags=re.DOTALL,
    )


def keep_first_image(xml: str) -> str:
    """Change an OME-XML so that it describes one self-contained file with its first image.

    Everything else stays letter by letter. The planes must be written in the order that the image's
    DimensionOrder gives, which is what an empty TiffData element means.
    """
    xml = change_elements(xml, "Image", lambda i, text: text if i == 0 else "")
    xml = change_elements(
        xml, "TiffData", lambda i, text: re.sub(r"(?s)<([\w.:-]+).*", r"<\1/>", text) * (i == 0)
    )
    xml = remove_identifier(xml)
    if re.match(r"<\?xml[^>]*\?>", xml) is None:
        xml = '<?xml version="1.0" encoding="UTF-8"?>' + xml
    return xml


def remove_identifier(xml: str) -> str:
    """Take the identifier of the original file away: it must not name a second one."""
    return re.sub(rf"(<{_PREFIX}OME\b[^>]*?)\s+UUID=\"[^\"]*\"", r"\1", xml, count=1)


def fresh_metadata(
    axes: str, scale: Mapping[str, float], units: Mapping[str, str], names: Sequence[str]
) -> dict[str, Any]:
    """Return what tifffile needs to make an OME-XML for an image that has none."""
    metadata: dict[str, Any] = {"axes": axes}
    for axis, attribute in _STEPS.items():
        unit = units.get(axis, "")
        fits = unit in UNITS and (unit in LENGTHS) == (axis != "T")
        if axis in axes and axis in scale and (fits or axis != "T"):
            metadata[attribute] = scale[axis]
            # Without a unit the schema would assume micrometers or seconds.
            metadata[f"{attribute}Unit"] = UNITS[unit][0] if fits else "pixel"
    if names:
        metadata["Channel"] = {"Name": list(names)}
    return metadata


def positive(value: Any) -> float | None:
    """Return a finite number above 0 that a file states as a number or text; else None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
