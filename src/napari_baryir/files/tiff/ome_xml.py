"""The few things that we read from OME-XML, and the few that we change in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from napari_baryir.files.units import LENGTHS, unit_name, unit_symbol

_STEPS = {"X": "PhysicalSizeX", "Y": "PhysicalSizeY", "Z": "PhysicalSizeZ", "T": "TimeIncrement"}
"""Axis to the attribute of Pixels that holds its step."""

_DEFAULT_UNITS = {"X": "µm", "Y": "µm", "Z": "µm", "T": "s"}
"""What the OME schema takes for granted."""

_PREFIX = r"(?:[A-Za-z_][\w.-]*:)?"
"""An optional XML namespace prefix."""


@dataclass(frozen=True)
class Calibration:
    """Steps between pixels, their units, and names of channels, as far as a file tells."""

    scale: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()


def read_calibration(xml: str) -> Calibration:
    """Read steps, units and channel names of the first image of an OME-XML."""
    pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
    if pixels is None:
        return Calibration()
    scale, units = {}, {}
    for axis, attribute in _STEPS.items():
        step = _positive(pixels.get(attribute))
        if step is None:
            continue
        unit = unit_name(pixels.get(f"{attribute}Unit", _DEFAULT_UNITS[axis]))
        scale[axis] = step
        if unit is not None:
            units[axis] = unit
    names = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))
    return Calibration(scale, units, names if any(names) else ())


def keep_first_image(xml: str) -> str:
    """Change an OME-XML so that it describes one self-contained file with its first image.

    Everything else stays letter by letter. The planes must be written in the order that the image's
    DimensionOrder gives, which is what an empty TiffData element means.
    """
    images = list(re.finditer(rf"<({_PREFIX}Image)[\s>].*?</\1>", xml, re.DOTALL))
    for extra in reversed(images[1:]):
        xml = xml[: extra.start()] + xml[extra.end() :]
    blocks = list(re.finditer(rf"<({_PREFIX}TiffData)\b(?:[^>]*/>|[^>]*>.*?</\1>)", xml, re.DOTALL))
    for place, block in reversed(list(enumerate(blocks))):
        kept = f"<{block.group(1)}/>" if place == 0 else ""
        xml = xml[: block.start()] + kept + xml[block.end() :]
    # The identifier of the original file must not name a second one.
    xml = re.sub(rf"(<{_PREFIX}OME\b[^>]*?)\s+UUID=\"[^\"]*\"", r"\1", xml, count=1)
    if re.match(r"<\?xml[^>]*\?>", xml) is None:
        xml = '<?xml version="1.0" encoding="UTF-8"?>' + xml
    return xml


def fresh_metadata(
    axes: str, scale: Mapping[str, float], units: Mapping[str, str], names: Sequence[str]
) -> dict[str, Any]:
    """What tifffile needs to make an OME-XML for an image that has none."""
    metadata: dict[str, Any] = {"axes": axes}
    for axis, attribute in _STEPS.items():
        if axis in axes and axis in scale:
            metadata[attribute] = scale[axis]
            unit = units.get(axis)
            # Without a unit the schema would assume micrometers or seconds.
            fits = unit is not None and (unit in LENGTHS) == (axis != "T")
            metadata[f"{attribute}Unit"] = (
                unit_symbol(unit) if fits and unit is not None else "pixel"
            )
            if not fits and axis == "T":
                del metadata[attribute], metadata[f"{attribute}Unit"]
    if names:
        metadata["Channel"] = {"Name": list(names)}
    return metadata


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
