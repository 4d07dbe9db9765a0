"""Read steps between pixels and channel names that microscopes' software writes into TIFFs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tifffile

from napari_baryir.files.tiff.details import Resolution, TiffDetails
from napari_baryir.files.tiff.ome_xml import Spacing, positive, read_spacing
from napari_baryir.files.units import unit_name


def file_spacing(file: tifffile.TiffFile, details: TiffDetails) -> Spacing:
    """Return steps, units and channel names, as far as a file gives them."""
    if details.family == "ome":
        return read_spacing(file.ome_metadata or "")
    if details.family == "imagej":
        return _imagej(file.imagej_metadata or {}, details.resolution)
    for name, read in INSTRUMENTS.items():
        # Software writes these in many versions; what cannot be understood must not stop reading.
        with contextlib.suppress(ValueError, KeyError, TypeError, IndexError, AttributeError):
            if getattr(file, f"is_{name}") and (found := read(file)).scale:
                return found
    return Spacing()


def _made(
    steps: Mapping[str, Any], unit: str = "micrometer", names: Any = (), factor: float = 1.0
) -> Spacing:
    """Keep the steps that are numbers above 0; those of T are in seconds."""
    found = {axis: positive(step) for axis, step in steps.items()}
    scale = {a: step if a == "T" else step * factor for a, step in found.items() if step}
    units = {axis: "second" if axis == "T" else unit for axis in scale}
    names = tuple(map(str, names)) if isinstance(names, list | tuple) else ()
    return Spacing(scale, units, names)


def _imagej(metadata: Mapping[str, Any], resolution: Resolution | None) -> Spacing:
    unit = unit_name(str(metadata.get("unit", "")))
    steps = {"T": metadata.get("finterval")}
    if unit is not None:
        for axis, (dots, per) in zip("XY", resolution or (), strict=False):
            steps[axis] = per / dots if dots else None
        steps["Z"] = metadata.get("spacing")
    return _made(steps, unit or "micrometer")


def _micro_manager(file: tifffile.TiffFile) -> Spacing:
    summary = (file.micromanager_metadata or {}).get("Summary", {})
    plane = file.pages.first.tags.valueof(51123) or {}
    size = summary.get("PixelSize_um") or plane.get("PixelSizeUm")
    interval = float(summary.get("Interval_ms") or 0) / 1000
    steps = {"X": size, "Y": size, "Z": summary.get("z-step_um"), "T": interval}
    return _made(steps, names=summary.get("ChNames"))


def _metamorph(file: tifffile.TiffFile) -> Spacing:
    found = file.stk_metadata or {}
    unit = unit_name(str(found.get("CalibrationUnits", "")))
    steps = {"X": found.get("XCalibration"), "Y": found.get("YCalibration")} if unit else {}
    distances = np.ravel(found.get("ZDistance", ()))
    times = np.diff(np.ravel(found.get("TimeCreated", ())).astype(float)) / 1000
    steps["Z"] = float(distances[0]) if unit and distances.size else None
    steps["T"] = float(np.median(times)) if times.size else None
    return _made(steps, unit or "micrometer")


def _metaseries(file: tifffile.TiffFile) -> Spacing:
    plane = (file.metaseries_metadata or {})["PlaneInfo"]
    unit = unit_name(str(plane["spatial-calibration-units"]))
    steps = {axis: plane[f"spatial-calibration-{axis.lower()}"] for axis in "XY"}
    return _made(steps, unit) if unit else Spacing()


def _zeiss(file: tifffile.TiffFile) -> Spacing:
    found = file.lsm_metadata or {}
    steps = {axis: found.get(f"VoxelSize{axis}") for axis in "XYZ"}  # in meters
    steps["T"] = found.get("TimeIntervall")
    names = (found.get("ChannelColors") or {}).get("ColorNames")
    return _made(steps, names=names, factor=1e6)


def _fluoview(file: tifffile.TiffFile) -> Spacing:
    scale, units = {}, {}
    for name, _, _, step, spelling in (file.fluoview_metadata or {})["Dimensions"]:
        unit = unit_name(str(spelling).strip("\0 "))
        if name in ("X", "Y", "Z", "T") and unit is not None and step > 0:
            scale[name], units[name] = float(step), unit
    return Spacing(scale, units)


def _olympus(file: tifffile.TiffFile) -> Spacing:
    found = file.sis_metadata or {}
    steps = {"X": found.get("pixelsizex"), "Y": found.get("pixelsizey")}  # in meters
    return _made(steps, factor=1e6)


def _aperio(file: tifffile.TiffFile) -> Spacing:
    found = re.search(r"\bMPP\s*=\s*([0-9.]+)", file.pages.first.description)
    return _made(dict.fromkeys("XY", found.group(1)) if found else {})


INSTRUMENTS: dict[str, Callable[[tifffile.TiffFile], Spacing]] = {
    "micromanager": _micro_manager,
    "stk": _metamorph,
    "metaseries": _metaseries,
    "lsm": _zeiss,
    "fluoview": _fluoview,
    "sis": _olympus,
    "svs": _aperio,
}
"""tifffile's name of a format to what reads its steps."""
