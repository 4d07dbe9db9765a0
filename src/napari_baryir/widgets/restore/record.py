"""The record of a result as code that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_baryir.restoration import Restoration


def make_record(
    restoration: Restoration, layer: Layer, box: Box, strength: float
) -> dict[str, Any]:
    """Return what is kept in a result's metadata: plain JSON values, enough to repeat the run.

    `box` is the part of the layer that was restored, `strength` that of the blend that is shown.
    """
    record = {"kind": "restored", "device": restoration.device, **layers.origin(layer, box)}
    return with_strength({**restoration.record, **record}, strength)


def with_strength(record: Mapping[str, Any], strength: float) -> dict[str, Any]:
    """Return the record of the same run blended with another strength."""
    return {**record, "settings": {**record["settings"], "strength": round(float(strength), 4)}}


def name_of(record: Mapping[str, Any]) -> str:
    """Return a result's name: image, model, what was removed if not all, and a strength below 1."""
    strength, remove = record["settings"]["strength"], record["settings"].get("remove", "auto")
    parts = [record["source"], Path(record["model"]).stem]
    if remove != "auto":
        parts.append(", ".join(removed_in_words(remove)))
    return " · ".join([*parts, f"{strength:.2f}"] if strength < 1 else parts)


def removed_in_words(remove: Mapping[str, float]) -> list[str]:
    """Return degradations with their amounts where these are not all of them."""
    return [name if share == 1 else f"{name} {share:.0%}" for name, share in remove.items()]


def as_python(record: Mapping[str, Any]) -> str:
    """Return Python that repeats the run in napari's console."""
    lines = [
        "import napari",
        "",
        "import napari_baryir",
        "",
        "viewer = napari.current_viewer()",
        f"layer = viewer.layers[{record['source']!r}]",
        "image = layer.data[0] if layer.multiscale else layer.data",
    ]
    if record.get("region"):
        index = ", ".join(f"{start}:{stop}" for start, stop in record["region"])
        lines.append(f"image = image[{index}]")
    lines.append("restoration = napari_baryir.restore(")
    lines.append("    image,")
    lines.extend(f"    {key}={value!r}," for key, value in record["settings"].items())
    lines.append(")")
    lines.append(
        f"# weights: SHA-256 {record['weights_hash']}; made with napari-baryir {record['version']}"
    )
    lines.append("restored = restoration.image")
    return "\n".join(lines) + "\n"


def as_command(record: Mapping[str, Any]) -> str:
    """Return the command that restores the same file the same way, with remarks on what differs."""
    settings = record["settings"]
    path = record.get("path") or "IMAGE.tif"
    words = ["napari-baryir", "restore", path, "-o", "restored/"]
    for option in ("axes", "model", "device", "precision", "tile", "overlap", "strength"):
        words += [f"--{option}", str(settings[option])]
    # Joined by =, since a negative number looks like an option.
    words += [f"--intensity={each['low']!r},{each['high']!r}" for each in settings["intensity"]]
    remove = settings.get("remove", "auto")
    if remove != "auto":
        amounts = remove.items()
        words += ["--remove", ",".join(n if s == 1 else f"{n}={s!r}" for n, s in amounts)]
    if settings["ensemble"]:
        words.append("--ensemble")
    remarks = []
    if not record.get("path"):
        remarks.append(
            "# the layer did not come from a file: save it and put its name for IMAGE.tif"
        )
    if record.get("region"):
        remarks.append("# restores the whole file; of the layer only a part was restored")
    return "\n".join([*remarks, shlex.join(words)]) + "\n"
