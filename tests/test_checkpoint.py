"""Checkpoints: whatever dies, the last good one loads, and the run ends as if nothing had been."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_baryir.errors import DataError
from napari_baryir.training.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    load_checkpoint,
    remove_checkpoint,
    remove_unfinished,
    save_checkpoint,
)

SCRIPT = Path(__file__).with_name("kill_training.py")
TINY = [
    "network.width=4",
    "data.patch=32",
    "data.validation_side=32",
    "data.validation_images=1",
    'data.batch={noise=2, "low light"=1}',
    "optimizer.warm_up=2",
    "steps=24",
    "checkpoint_every=2",
    "validate_every=12",
    "device=cpu",
    "precision=float32",
    "workers=0",
]


def equal(first: Any, second: Any) -> bool:
    """Whether two checkpoints hold the same, to the bit."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


@pytest.mark.timeout(900)  # where others compute as well
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked and killed as in POSIX")
def test_a_run_killed_ten_times_equals_one_that_was_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "2026", *TINY],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        timeout=850,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 10
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    weights = [load_file(folder / "smoke.safetensors") for folder in (undisturbed, killed)]
    assert equal(*weights)
    first, second = load_checkpoint(undisturbed), load_checkpoint(killed)
    assert first is not None
    assert second is not None
    del first["seconds"], second["seconds"]
    assert equal(first, second)
    assert list(killed.glob(".*")) == []
    with (killed / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["12", "24"]


@pytest.mark.parametrize("length", [0, 100, 3000])
def test_the_one_before_loads_where_the_newest_is_damaged(
    tmp_path: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"step": step, "values": torch.full((1000,), float(step))})
    newest = tmp_path / CHECKPOINT
    newest.write_bytes(newest.read_bytes()[:length])
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint["step"] == 2
    assert f"going on from {PREVIOUS}" in caplog.text
    (tmp_path / PREVIOUS).write_bytes(b"")
    with pytest.raises(DataError, match=r"checkpoint\.pt cannot be read"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_last_good_one(
    tmp_path: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    save_checkpoint(tmp_path, {"step": 1})
    save_checkpoint(tmp_path, {"step": 2})
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(OSError, match="the disk is full"):
            save_checkpoint(tmp_path, {"step": 3})
    assert load_checkpoint(tmp_path) == {"step": 2}


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"step": 1})
    os.replace(tmp_path / CHECKPOINT, tmp_path / PREVIOUS)
    aside = tmp_path / f".{CHECKPOINT}.0123.part"
    aside.write_bytes(b"whatever was written")
    assert load_checkpoint(tmp_path) == {"step": 1}
    remove_unfinished(tmp_path)
    assert not aside.exists()
    remove_checkpoint(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert load_checkpoint(tmp_path) is None
