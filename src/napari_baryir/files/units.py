"""Name units of length and time, as the formats spell them."""

from __future__ import annotations

LENGTHS: dict[str, tuple[str, ...]] = {
    "angstrom": ("Å", "angstrom"),
    "picometer": ("pm", "picometer"),
    "nanometer": ("nm", "nanometer", "nanometre"),
    "micrometer": ("µm", "μm", "um", "\\u00B5m", "micron", "microns", "micrometer", "micrometre"),
    "millimeter": ("mm", "millimeter", "millimetre"),
    "centimeter": ("cm", "centimeter", "centimetre"),
    "meter": ("m", "meter", "metre"),
    "inch": ("in", "inch", "inches"),
}
"""Name in OME-Zarr to how OME-XML (first), ImageJ and others write it."""

UNITS: dict[str, tuple[str, ...]] = {
    **LENGTHS,
    "nanosecond": ("ns", "nanosecond"),
    "microsecond": ("µs", "μs", "us", "microsecond"),
    "millisecond": ("ms", "msec", "millisecond"),
    "second": ("s", "sec", "second", "seconds"),
    "minute": ("min", "minute"),
    "hour": ("h", "hour"),
    "day": ("d", "day"),
}
"""The same for units of length and of time."""

_NAMES = {spelling: name for name, spellings in UNITS.items() for spelling in spellings}


def unit_name(spelling: str) -> str | None:
    """Return the full name of a unit ("micrometer" for "um"); None for others, such as "pixel"."""
    return _NAMES.get(spelling.strip()) or _NAMES.get(spelling.strip().lower())
