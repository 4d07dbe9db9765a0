"""``napari-baryir finetune``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from finetune_start import keep_any
from napari_baryir import cli


def test_the_command_trains_and_says_what_was_gained(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_any(monkeypatch)
    for folder in ("low", "high"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        scene = np.random.default_rng(i).normal(1000, 200, (40, 40)).cumsum(axis=0)
        tifffile.imwrite(tmp_path / "high" / f"{i}.tif", scene.astype(np.float32))
        tifffile.imwrite(tmp_path / "low" / f"{i}.tif", (0.6 * scene + 5000).astype(np.float32))
    words = ["finetune", "--model", str(start), "--pairs",
             str(tmp_path / "low"), str(tmp_path / "high"), "-o", str(tmp_path / "out.safetensors"),
             "--steps", "4", "--validate-every", "2", "--batch", "2", "--patch", "32", "--rate",
             "0.003", "--device", "cpu", "--calibration-scenes", "0", "--brightness", "keep",
             "--mode", "full"]  # fmt: skip
    assert cli.main(words) == 0
    told, progress = capsys.readouterr()
    assert re.search(r"^step 4/4: fidelity ", progress, re.MULTILINE)  # no terminal, no bar
    assert "step 2: PSNR your images" in progress
    assert "before: PSNR your images" in told
    assert "to have it in the plugin's list of models, copy it to" in told
    assert (tmp_path / "out.safetensors").is_file()
    assert (tmp_path / "out.md").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pairs", "a"], "--pairs needs two folders"),
        (["--pairs", "a", "b", "--pattern", "*x", "*y"], "--pattern is for --pairs with one"),
        (["--clean", "a"], "--clean needs --degradation"),
        (["--noisy", "a", "--like", "b"], "are for --clean"),
        (["--noisy", "a", "--patch", "30"], "patch must be a multiple of 8"),
        (["--noisy", "a", "--domain", "clean"], "has a meaning of its own"),
    ],
)
def test_options_that_do_not_fit_are_named(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["finetune", "--model", "microscopy-compact", "-o", "x", *words]) == 2
    assert told in capsys.readouterr().err
