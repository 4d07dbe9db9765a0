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
    planes: tuple[tuple[str, Mapping[str, float], float], ...]
    """For each plane where it is ("T3 C1", or "0"), its shares and its severity."""
    record: Mapping[str, Any]
    """The settings of the estimate."""

    @classmethod
    def of(cls, file: str, estimate: DegradationEstimate) -> TableEntry:
        """Return what the table says of an estimate."""
        planes = tuple(_planes(estimate))
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
        for plane, summary, severity in entry.planes:
            shares = [f"{summary[name]:.4f}" if name in summary else "" for name in domains]
            top = next(iter(summary))
            writer.writerow([entry.file, plane, entry.model, f"{severity:.4f}", top, *shares])
    with written_aside(path) as aside:
        # Names of files may hold bytes that are no text.
        aside.write_text(text.getvalue(), "utf-8", errors="backslashreplace", newline="")


def write_json(path: Path, entries: Sequence[TableEntry]) -> None:
    """Write a list of files, each with its planes and how it was estimated."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(as_json(entries), indent=1) + "\n", encoding="utf-8")


def as_json(entries: Sequence[TableEntry]) -> list[dict[str, Any]]:
    """Return the files, each with its planes and how it was estimated, as plain JSON values."""
    return [
        {
            "file": entry.file,
            "planes": [
                {"plane": plane, "severity": severity, "shares": dict(summary)}
                for plane, summary, severity in entry.planes
            ],
            **entry.record,
        }
        for entry in entries
    ]


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


def _planes(estimate: DegradationEstimate) -> Iterator[tuple[str, Mapping[str, float], float]]:
    """Yield what `TableEntry.planes` holds."""
    letters = estimate.axes[:-2]
    shape = estimate.severity.shape[:-2]
    for number, summary in enumerate(estimate.summary):
        index = np.unravel_index(number, shape) if shape else ()
        name = " ".join(f"{a}{int(i)}" for a, i in zip(letters, index, strict=True))
        yield name or "0", dict(summary), float(estimate.severities[number])


def _channel_names(image: ImageFile, count: int) -> Sequence[str]:
    if len(image.channel_names) == count:
        return image.channel_names
    return [f"channel {number}" for number in range(count)]
