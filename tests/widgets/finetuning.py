"""What the tests of the Fine-tune dock share: a tiny model, tiny images, a dock that is quick."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

import finetune_start
from napari_baryir.training import loop
from napari_baryir.weights.cache import model_folder

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.finetune.dock import FinetuneDock

STEPS, EVERY = 4, 2


def stacks() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Discs on a slope, and the same darker and with the noise of a camera; ZYX."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    planes = []
    for _ in range(6):
        plane = 200 + 10.0 * x
        for cy, cx, r in rng.uniform(4, 44, (5, 3)):
            plane[np.hypot(y - cy, x - cx) < r / 5] += 900
        planes.append(plane)
    clean = np.stack(planes)
    noisy = 100 + 2.0 * rng.poisson(clean / 4)
    return clean.astype(np.uint16), noisy.astype(np.uint16)


CLEAN, NOISY = stacks()


def save_tiny_model() -> None:
    """A microscopy model of the user's own, called tiny."""
    finetune_start.save_tiny_model(model_folder() / "tiny.safetensors")


def quick(dock: FinetuneDock) -> None:
    """Ask for a few steps of a tiny model."""
    form = dock.form
    form.refresh_models()
    form.model.value = "tiny"
    form.steps.value, form.validate_every.value = STEPS, EVERY
    form.batch.value, form.patch.value = "2", "32"
    form.device.value = "cpu"
    form.calibrate.value = False
    form.name.value = "mine"


class Gate:
    """Holds the training at its steps until it is opened; `free` of them go through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int = 0) -> None:
        self.steps = 0
        self.free = free
        self.reached = threading.Event()
        self.open = threading.Event()
        step = loop.training_step

        def held(*arguments: Any) -> Any:
            self.steps += 1
            if self.steps > self.free:
                self.reached.set()
                assert self.open.wait(300)
            return step(*arguments)

        monkeypatch.setattr(loop, "training_step", held)


def write_folder(folder: Path, stack: NDArray[np.uint16]) -> Path:
    """A file per plane."""
    import tifffile

    folder.mkdir()
    for number, plane in enumerate(stack):
        tifffile.imwrite(folder / f"{number}.tif", plane)
    return folder


def add_layers(dock: FinetuneDock) -> tuple[Any, Any]:
    """Add the noisy and the clean stack to the viewer."""
    labels = ("z", "y", "x")
    noisy = dock.viewer.add_image(NOISY.copy(), name="noisy", axis_labels=labels)
    clean = dock.viewer.add_image(CLEAN.copy(), name="clean", axis_labels=labels)
    return noisy, clean


def said(dock: FinetuneDock) -> str:
    """Return what the status line says."""
    return str(dock.status.message.text())


def begin(dock: FinetuneDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, free: int = 0) -> Gate:
    """Train on two layers until all steps but `free` ones wait at the gate."""
    gate = Gate(monkeypatch, free)
    add_layers(dock)
    dock.button.click()
    qtbot.waitUntil(gate.reached.is_set)
    return gate
