"""``napari-baryir info``: what a report of a problem needs."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from napari_baryir import __version__, cli, devices
from napari_baryir.network import BaryIR
from napari_baryir.weights.files import save_weights


def test_text_has_versions_device_and_hashes(
    own_model_folder: Path, tiny_model: BaryIR, capsys: pytest.CaptureFixture[str]
) -> None:
    own = own_model_folder / "worms.safetensors"
    save_weights(tiny_model, own)
    assert cli.main(["info"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["napari-baryir", __version__] in lines
    assert ["python", platform.python_version()] in lines
    assert ["torch", torch.__version__] in lines
    assert ["worms", hashlib.sha256(own.read_bytes()).hexdigest()] in lines
    assert ["model", "folder:", str(own_model_folder)] in lines


def test_json_says_what_auto_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    (auto,) = [device for device in report["devices"] if device["auto"]]
    assert torch.device(auto["name"]).type == devices.choose_device("auto").type
    assert 0 < auto["free"] <= auto["memory"]
    assert report["devices"][0]["name"] == "cpu"
    assert report["devices"][0]["auto_precision"] == devices.choose_precision(
        "auto", torch.device("cpu")
    )
    hashes = {model["name"]: model["sha256"] for model in report["models"]}
    assert {"photo-compact", "microscopy-compact"} <= set(hashes)
    assert all(len(value) == 64 for value in hashes.values())


def test_broken_torch_is_reported_beside_the_versions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(["info", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["torch"] == metadata.version("torch")
    assert report["devices"] == []
    assert report["models"]
    (problem,) = report["problems"]
    assert problem.startswith("devices: ModuleNotFoundError: ")


def test_qt_and_napari_are_named_without_being_imported() -> None:
    code = (
        "import sys\n"
        "from napari_baryir.cli import main\n"
        "main(['info', '--quiet'])\n"
        "sys.stdout.write(' '.join({'napari', 'qtpy', 'PyQt6', 'PySide6'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
