"""Tables and maps of estimates."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_baryir.atomic import written_aside
from napari_baryir.domains import CLEAN, UNKNOWN
from napari_baryir.files import ImageFile, write_image

if TYPE_CHECKING:
    from napari_baryir.degradation import DegradationEstimate


@dataclass(frozen=True)
class TableEntry:
    """The part of a table for one file: numbers and names, not the estimate's maps."""

    file: str
    model: str
    domains: tuple[str, ...]
    planes: list[dict[str, Any]]
    """For each plane where it is ("T3 C1", or "0"), its severity, and its shares by domain."""
    record: Mapping[str, Any]
    """The settings of the estimate."""

    @classmethod
    def of(cls, file: str, estimate: DegradationEstimate) -> TableEntry:
        """Return what the table says of an estimate."""
        planes = list(_planes(estimate))
        return cls(file, estimate.model, tuple(estimate.domains), planes, estimate.record)


def write_csv(path: Path, entries: Sequence[TableEntry]) -> None:
    """Write a table with a row per plane; shares of domains that a model lacks stay empty."""
    domains = list(dict.fromkeys(name for entry in entries for name in entry.domains))
    # "unknown" comes last for every model.
    domains.sort(key=lambda name: (name == UNKNOWN, name == CLEAN))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "plane", "model", "severity", "domain", *domains])
    for entry in entries:
        for plane in entry.planes:
            shares = plane["shares"]
            listed = [f"{shares[name]:.4f}" if name in shares else "" for name in domains]
            severity, top = f"{plane['severity']:.4f}", next(iter(shares))
            writer.writerow([entry.file, plane["plane"], entry.model, severity, top, *listed])
    with written_aside(path) as aside:
        # Names of files may hold bytes that are no text.
        aside.write_text(text.getvalue(), "utf-8", errors="backslashreplace", newline="")


def write_json(path: Path, entries: Sequence[TableEntry]) -> None:
    """Write a list of files, each with its planes and how it was estimated."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(as_json(entries), indent=1) + "\n", encoding="utf-8")


def as_json(entries: Sequence[TableEntry]) -> list[dict[str, Any]]:
    """Return the files, each with its planes and how it was estimated, as plain JSON values."""
    return [{"file": entry.file, "planes": entry.planes, **entry.record} for entry in entries]


def write_maps(path: Path, estimate: DegradationEstimate, image: ImageFile) -> None:
    """Write severity and probabilities as the channels of one image on the grid of cells.

    Where the image has channels of its own, each of them comes with all maps, one after another.
    """
    severity = np.expand_dims(np.asarray(estimate.severity), -3)
    maps = np.concatenate([severity, np.asarray(estimate.probabilities)], axis=-3)
    names: tuple[str, ...] = ("severity", *estimate.domains)
    leading = estimate.axes[:-2]
    if "C" in leading:
        axis = leading.index("C")
        channels = _channel_names(image, maps.shape[axis])
        names = tuple(f"{channel}: {name}" for channel in channels for name in names)
        maps = np.moveaxis(maps, axis, -4)
        maps = maps.reshape(*maps.shape[:-4], -1, *maps.shape[-2:])
        leading = leading.replace("C", "")
    axes = f"{leading}CYX"
    step = {a: s * (estimate.cell if a in "YX" else 1) for a, s in image.scale.items() if a in axes}
    units = {a: unit for a, unit in image.units.items() if a in step}
    like = ImageFile(Path(), "", maps, axes, scale=step, units=units, channel_names=names)
    write_image(path, maps, like=like)


def write_contributions(
    stem: Path, suffix: str, estimate: DegradationEstimate, image: ImageFile
) -> None:
    """Write each map of the contributions as an image of its own, where there are any."""
    if estimate.contributions is None:
        return
    for part in fields(estimate.contributions):
        values = getattr(estimate.contributions, part.name)
        like = ImageFile(
            Path(), "", values, estimate.image_axes, scale=image.scale, units=image.units,
            channel_names=image.channel_names,
        )  # fmt: skip
        name = f"{stem.name}-{part.name.replace('_', '-')}.{suffix}"
        write_image(stem.with_name(name), values, like=like)


def _planes(estimate: DegradationEstimate) -> Iterator[dict[str, Any]]:
    letters, shape = estimate.axes[:-2], estimate.severity.shape[:-2]
    for number, summary in enumerate(estimate.summary):
        index = np.unravel_index(number, shape) if shape else ()
        name = " ".join(f"{a}{int(i)}" for a, i in zip(letters, index, strict=True))
        severity = float(estimate.severities[number])
        yield {"plane": name or "0", "severity": severity, "shares": dict(summary)}


def _channel_names(image: ImageFile, count: int) -> Sequence[str]:
    if len(image.channel_names) == count:
        return image.channel_names
    return [f"channel {number}" for number in range(count)]
