"""The record of a result as code that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_baryir.widgets.viewer.regions import Box


def make_record(
    restoration: Any, *, source: str, path: str | None, box: Box, strength: float
) -> dict[str, Any]:
    """Return what is kept in a result's metadata: plain JSON values, enough to repeat the run.

    Parameters
    ----------
    restoration
        A `napari_baryir.Restoration`.
    source
        Name of the layer.
    path
        File that the layer came from, if any.
    box
        The part that was restored.
    strength
        Of the blend with the original that is shown.
    """
    record: dict[str, Any] = dict(restoration.record)
    record["kind"] = "restored"
    record["device"] = restoration.device
    record["source"] = source
    record["path"] = path
    record["region"] = None if box.whole else box.bounds
    return with_strength(record, strength)


def with_strength(record: Mapping[str, Any], strength: float) -> dict[str, Any]:
    """Return the record of the same run blended with another strength."""
    return {**record, "settings": {**record["settings"], "strength": round(float(strength), 4)}}


def name_of(record: Mapping[str, Any]) -> str:
    """Return a result's name, which says what differs.

    The model, what was removed where that is not everything, and a strength below 1.
    """
    strength, remove = record["settings"]["strength"], record["settings"].get("remove", "auto")
    parts = [record["source"], Path(record["model"]).stem]
    if remove != "auto":
        parts.append(", ".join(removed_in_words(remove)))
    return " · ".join([*parts, f"{strength:.2f}"] if strength < 1 else parts)


def removed_in_words(remove: Mapping[str, float]) -> list[str]:
    """Return degradations with their amounts where these are not all of them."""
    return [name if share == 1 else f"{name} {share:.0%}" for name, share in remove.items()]


def as_python(record: Mapping[str, Any]) -> str:
    """Python that repeats the run in napari's console, or on a file outside of it."""
    name = record["source"]
    layer = f"viewer.layers[{name!r}]"
    lines = [
        "import napari",
        "",
        "import napari_baryir",
        "",
        "viewer = napari.current_viewer()",
        f"layer = {layer}",
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
    """Return the command that restores the same file the same way; a remark says what it cannot."""
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
