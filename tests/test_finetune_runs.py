"""Runs of fine-tuning: closed, resumed, stopped early, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finetune_start import QUICK, finish, forgive, keep_any, measured
from napari_baryir.errors import DataError, InputError
from napari_baryir.training.checkpoint import resume, save_state
from napari_baryir.training.finetune import (
    YOURS,
    CleanImages,
    FinetuneSettings,
    Pairs,
    iter_finetune,
    tuning,
)
from napari_baryir.training.recipe import load_recipe
from napari_baryir.training.state import start_state
from napari_baryir.training.validation import Scores
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import load_weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    forgive(monkeypatch)


def test_closing_keeps_the_best_and_resuming_equals_never_having_stopped(
    start: Path, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_any(monkeypatch)  # the last one is the best one
    given, settings = Pairs.of_folders(*folders), FinetuneSettings(**QUICK)
    whole = tmp_path / "whole.safetensors"
    finish(iter_finetune(start, given, whole, settings))
    parted = tmp_path / "parted.safetensors"
    steps = iter_finetune(start, given, parted, settings)
    for progress in steps:
        if progress.step == 4:
            assert progress.best_step == 3
            steps.close()
    assert load_weights(parted).provenance["steps"] == 3
    assert "until it was stopped" in parted.with_suffix(".md").read_text("utf-8")
    _, result = finish(
        iter_finetune(start, given, parted, settings.model_copy(update={"resume": True}))
    )
    assert result.steps == 6
    a, b = load_file(whole), load_file(parted)
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_a_stopped_run_with_other_settings_is_not_resumed(
    start: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    given, output = Pairs.of_folders(*folders), tmp_path / "mine.safetensors"
    resumed = FinetuneSettings(**QUICK, resume=True)
    with pytest.raises(DataError, match="no stopped run"):
        next(iter_finetune(start, given, output, resumed))
    steps = iter_finetune(start, given, output, FinetuneSettings(**QUICK))
    measured(steps)
    next(steps)
    steps.close()
    assert not output.exists()  # nothing was better than the start yet
    with pytest.raises(DataError, match="other settings"):
        next(iter_finetune(start, given, output, resumed.model_copy(update={"seed": 1})))


def test_it_stops_when_the_validation_no_longer_improves(
    start: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "LEAST_GAIN", 1000.0)
    settings = FinetuneSettings(**{**QUICK, "validate_every": 1, "steps": 50}, patience=2)
    steps = iter_finetune(start, Pairs.of_folders(*folders), "mine", settings)
    with pytest.raises(DataError, match="none of the 2 steps"):
        finish(steps)
    assert not (model_folder() / "mine.safetensors").exists()


def test_no_file_of_validation_is_trained_on(
    start: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    begin = tuning.begin
    monkeypatch.setattr(
        "napari_baryir.training.finetune.begin", lambda *a: runs.append(begin(*a)) or runs[-1]
    )
    steps = iter_finetune(start, Pairs.of_folders(*folders), "mine", FinetuneSettings(**QUICK))
    measured(steps)
    steps.close()
    material = runs[0].material
    assert len(material.validation.names) == 1
    assert sorted(material.train.names + material.validation.names) == [
        f"{i}.tif" for i in range(4)
    ]
    assert {file.name for file in runs[0].plan.dataset.own.domains[0][1].files} == set(
        material.train.names
    )
    assert len(runs[0].plan.dataset.rehearsed.domains[0][1].files) == 3


def test_checkpoints_keep_the_form_that_running_trainings_wrote(tmp_path: Path) -> None:
    recipe = load_recipe("smoke", [f"output={tmp_path}", "network.width=4", "device=cpu"])
    state = start_state(recipe, torch.device("cpu"))
    state.step = 7
    save_state(state, recipe)
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert set(checkpoint) == {
        "model", "averaged", "potentials", "model_optimizer", "potentials_optimizer",
        "prototypes", "step", "seconds", "rng", "recipe",
    }  # fmt: skip
    # What the optimisers number is every parameter, in the order of the network.
    trained = checkpoint["model_optimizer"]["param_groups"][0]["params"]
    assert trained == list(range(len(list(state.model.parameters()))))
    again = start_state(recipe, torch.device("cpu"))
    resume(again, recipe)
    assert again.step == 7


def test_a_profile_that_the_model_does_not_know_is_refused(
    start: Path, folders: tuple[Path, Path]
) -> None:
    given = CleanImages.of_folder(folders[1], "photo:rain")
    with pytest.raises(DataError, match="give --degradation microscopy"):
        next(iter_finetune(start, given, "mine", FinetuneSettings(**QUICK)))


@pytest.mark.parametrize("output", ["mine.pt", "photo-compact", "photo-compact.safetensors"])
def test_outputs_that_the_plugin_could_not_list_are_refused(start: Path, output: str) -> None:
    with pytest.raises(InputError, match="output"):
        next(iter_finetune(start, Pairs(()), output))


def test_the_starting_model_is_not_replaced(start: Path) -> None:
    with pytest.raises(InputError, match="is the starting model"):
        next(iter_finetune(start, Pairs(()), start))


def test_what_an_old_domain_loses_counts_beyond_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FORGIVEN", 0.3)

    def scores(yours: float, noise: float, clean: float = 40) -> Scores:
        return Scores({YOURS: yours, "noise": noise, "clean": clean}, {}, 0.0, 0.0)

    before = scores(20, 30)
    assert tuning.merit(scores(25, 29.8), before) == 25
    assert tuning.merit(scores(25, 29), before) == pytest.approx(24.3)
    assert tuning.merit(scores(25, 30, clean=30), before) == 25
    assert tuning.merit(scores(25, 40), scores(20, 43)) == 25
    assert tuning.merit(scores(25, 39), scores(20, 43)) == pytest.approx(24.3)
