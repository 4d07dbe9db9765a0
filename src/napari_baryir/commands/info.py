"""``napari-baryir info``: what is installed here, for a report of a problem."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from typing import Any

from napari_baryir.commands.arguments import add_speech
from napari_baryir.commands.console import Voice, as_size, as_table
from napari_baryir.version import __version__, installed_libraries, wrong_libraries

HELP = """\
Show the versions of napari-baryir and its libraries, the devices that it can compute on, and the
models with the SHA-256 of their files.

examples:
  napari-baryir info
  napari-baryir info --verbose          all packages that are installed, too
  napari-baryir info --json > info.json

Paths show the name of your user folder; leave it out where you post them.
"""

QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
"""One of them comes with napari; none is among the dependencies."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_speech(parser)


def run(args: argparse.Namespace) -> int:
    """Print what there is."""
    from napari_baryir.weights.cache import model_folder

    problems = wrong_libraries()
    report: dict[str, Any] = {
        "versions": {
            "napari-baryir": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            **installed_libraries(QT_BINDINGS),
        },
        **({"packages": _packages()} if args.verbose else {}),
        "devices": _try("devices", _devices, problems),
        "model_folder": str(model_folder()),
        "models": _try("models", _models, problems),
        "problems": problems,
    }
    voice = Voice(args)
    voice.document(report)
    voice.line(_text(report))
    return 0


def _packages() -> dict[str, str]:
    """Return the versions of all packages that are installed."""
    from importlib import metadata

    found = {each.name: each.version for each in metadata.distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _try(
    what: str, ask: Callable[[], list[dict[str, Any]]], problems: list[str]
) -> list[dict[str, Any]]:
    """Return the answer; none, and one more problem, where a library or a driver is broken."""
    try:
        return ask()
    except (ImportError, OSError, RuntimeError) as error:
        problems.append(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}")
        return []


def _devices() -> list[dict[str, Any]]:
    """Return the devices that torch sees; memory in bytes."""
    import psutil
    import torch

    from napari_baryir.devices import choose_device, choose_precision, free_memory

    ram = psutil.virtual_memory().total
    found = {torch.device("cpu"): (f"{platform.machine()}, {torch.get_num_threads()} threads", ram)}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        toolkit = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm"
        hardware = f"{properties.name}, {toolkit}"
        found[torch.device("cuda", index)] = (hardware, properties.total_memory)
    if torch.backends.mps.is_available():
        found[torch.device("mps")] = (platform.machine(), ram)
    auto = choose_device("auto")
    if auto.type == "cuda":
        auto = torch.device("cuda", torch.cuda.current_device())
    return [
        {
            "name": str(device), "hardware": hardware, "memory": memory,
            "free": free_memory(device), "auto_precision": choose_precision("auto", device),
            "auto": device == auto,
        }
        for device, (hardware, memory) in found.items()
    ]  # fmt: skip


def _models() -> list[dict[str, Any]]:
    """Return the models; one whose file is missing has no hash."""
    from napari_baryir.weights.header import weights_hash
    from napari_baryir.weights.registry import available_models

    return [
        {
            "name": card.name, "path": str(card.path), "licence": card.licence,
            "sha256": weights_hash(card.path) if card.available else None,
        }
        for card in available_models()
    ]  # fmt: skip


def _text(report: dict[str, Any]) -> str:
    """Lay the report out in tables."""
    devices = [
        (
            f"{each['name']} (auto)" if each["auto"] else each["name"], each["hardware"],
            as_size(each["memory"]), as_size(each["free"]), each["auto_precision"],
        )
        for each in report["devices"]
    ]  # fmt: skip
    models = [(each["name"], each["sha256"] or "missing") for each in report["models"]]
    parts = [
        as_table(("library", "version"), list(report["versions"].items())),
        as_table(("package", "version"), list(report.get("packages", {}).items())),
        as_table(("device", "hardware", "memory", "free", "auto precision"), devices),
        f"model folder: {report['model_folder']}",
        as_table(("model", "SHA-256"), models),
        "\n".join(f"problem: {problem}" for problem in report["problems"]),
    ]
    return "\n\n".join(filter(None, parts))
