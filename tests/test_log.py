"""The log of a run: its table, TensorBoard's curves and sample pictures."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from napari_baryir.network import BaryIR
from napari_baryir.training.log import (
    GAP,
    Board,
    RunLog,
    TrainingLog,
    pictures_every,
    sample_pictures,
)
from napari_baryir.training.recipe import load_recipe
from napari_baryir.training.validation import Scores, ValidationPair

CPU = torch.device("cpu")
SCORES = Scores({"noise": 30.0}, {"noise": 20.0}, 0.5, 0.1)


def test_a_table_is_cut_back_to_where_a_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = TrainingLog(path, 0)
    for step in (1, 2, 3):
        log.write(step, {"fidelity": float(step)}, SCORES)
    with path.open("a") as file:  # killed while it wrote
        file.write("2,0.")
    TrainingLog(path, 2).write(3, {"fidelity": 7.0}, SCORES)
    with path.open(newline="") as file:
        rows = [(row["step"], float(row["fidelity"])) for row in csv.DictReader(file)]
    assert rows == [("1", 1.0), ("2", 2.0), ("3", 7.0)]
    path.write_text("")  # killed before it wrote
    TrainingLog(path, 2).write(3, {"fidelity": 7.0}, SCORES)
    assert len(path.read_text().splitlines()) == 2


def curves(folder: Path) -> EventAccumulator:
    """What TensorBoard shows."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_shows_losses_scores_and_pictures(tmp_path: Path) -> None:
    recipe = load_recipe("smoke", [f"output={tmp_path}", "steps=300", "validate_every=3"])
    log = RunLog(recipe, 0)
    picture = np.full((8, 32, 3), 100, np.uint8)
    for step in range(1, 7):
        log.write(step, {"fidelity": float(step)}, SCORES if step == 6 else None)
    log.show(6, {"noise": picture})
    log.close()
    for file in (tmp_path / "tensorboard").iterdir():  # as of another second, not of this one
        file.rename(file.with_name(re.sub(r"tfevents\.\d+", "tfevents.1000000000", file.name)))
    again = RunLog(recipe, 3)  # its checkpoint was that of step 3
    again.write(4, {"fidelity": 9.0}, SCORES)
    again.close()
    events = curves(tmp_path / "tensorboard")
    points = [(point.step, point.value) for point in events.Scalars("loss/fidelity")]
    assert points == [(3, 2.0), (4, 9.0)]  # means of three steps; step 6 was taken back
    assert events.Scalars("psnr gained/noise")[-1].value == 10
    assert "latents/accuracy" in events.Tags()["scalars"]
    with Image.open(tmp_path / "samples" / "noise" / "00000006.png") as image:
        assert np.array_equal(np.asarray(image), picture)


def test_without_tensorboard_a_line_says_so_and_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    log = RunLog(load_recipe("smoke", [f"output={tmp_path}"]), 0)
    assert "TensorBoard is not installed" in caplog.text
    log.write(1, {"fidelity": 1.0}, SCORES)
    log.show(1, {"noise": np.zeros((8, 32, 3), np.uint8)})
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "samples"]


def test_nothing_of_tensorboard_is_there_before_the_first_step(tmp_path: Path) -> None:
    Board(tmp_path / "tensorboard", 0, 10).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("most", [0, 1, 7, 50])
@pytest.mark.parametrize(("steps", "validate_every"), [(6, 3), (100, 1), (1000, 7), (5, 9)])
def test_pictures_are_bounded_in_number_and_show_the_end(
    tmp_path: Path, steps: int, validate_every: int, most: int
) -> None:
    every = pictures_every(steps, validate_every, most)
    assert every % validate_every == 0
    words = [f"steps={steps}", f"validate_every={validate_every}", f"pictures={most}"]
    log = RunLog(load_recipe("smoke", [f"output={tmp_path}", *words]), 0)
    shown = [step for step in range(1, steps + 1) if log.wants_pictures(step)]
    assert len(shown) <= most
    assert shown[-1:] == ([steps] if most else [])


def test_pictures_stand_side_by_side(tiny_model: BaryIR) -> None:
    degraded, clean = torch.rand(1, 3, 16, 24), torch.rand(1, 3, 16, 24)
    pairs = {"noise": [ValidationPair(degraded, clean), ValidationPair(clean, clean)]}
    picture = sample_pictures(tiny_model, pairs, CPU, None)["noise"]
    assert picture.shape == (16, 3 * 24 + 2 * GAP, 3)
    expected = [(255 * image[0]).round().permute(1, 2, 0).numpy() for image in (degraded, clean)]
    assert np.array_equal(picture[:, :24], expected[0])
    assert np.array_equal(picture[:, -24:], expected[1])
