"""Fine-tuning end to end, with a tiny network on tiny images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from finetune_start import measured
from napari_baryir.degradation.calibration import Reading
from napari_baryir.errors import DataError, InputError
from napari_baryir.imaging.intensity import choose_intensity
from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.steps import Steps
from napari_baryir.training.checkpoint import resume, save_state
from napari_baryir.training.data import images as clean_images
from napari_baryir.training.finetune import (
    YOURS,
    CleanImages,
    FinetuneProgress,
    FinetuneResult,
    FinetuneSettings,
    NoisyImages,
    Pairs,
    iter_finetune,
    plan,
    tuning,
)
from napari_baryir.training.finetune.samples import Rotation
from napari_baryir.training.recipe import load_recipe
from napari_baryir.training.state import start_state
from napari_baryir.training.validation import Scores
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import load_weights, save_weights
from napari_baryir.weights.registry import available_models

DOMAINS = ("noise", "stripes", "clean")
QUICK: dict[str, Any] = {
    "steps": 6, "validate_every": 3, "batch": 4, "patch": 32, "device": "cpu",
    "precision": "float32", "calibration_scenes": 0, "rate": 2e-3, "ema": 0.5,
}  # fmt: skip
LONGER = QUICK | {"steps": 12}
"""Enough to be better on new images while the old ones are rehearsed."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bit-equality is promised for an equal number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six steps of a network that starts as the identity cost the old domains more than 0.3 dB."""
    monkeypatch.setattr(tuning, "FORGIVEN", 1000.0)
    monkeypatch.setattr(plan, "OLD_IMAGES", 1)  # enough to see what is forgotten


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A tiny microscopy model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BaryIR(VARIANTS["tiny"], domains=DOMAINS).eval()
    model.prototypes = torch.nn.functional.normalize(torch.ones(3, 32) + torch.eye(3, 32))
    model.provenance = {"name": "tiny", "image_kind": "microscopy", "licence": "BSD-3-Clause"}
    path = tmp_path / "tiny.safetensors"
    save_weights(model, path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Pairs whose degraded image is the clean one, darker and with an offset."""
    low, high = tmp_path / "low", tmp_path / "high"
    for folder in (low, high):
        folder.mkdir()
    for number in range(4):
        clean = scene(number)
        tifffile.imwrite(high / f"{number}.tif", clean)
        noisy = np.random.default_rng(number).normal(0.5 * clean + 300, 40)
        tifffile.imwrite(low / f"{number}.tif", noisy.astype(np.uint16))
    return low, high


def scene(seed: int, side: int = 64) -> NDArray[np.uint16]:
    """Discs on a slope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = 200 + 4.0 * x
    for _ in range(6):
        cy, cx, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(4, 10)
        image[np.hypot(y - cy, x - cx) < r] += rng.uniform(300, 900)
    return image.astype(np.uint16)


def finish(steps: Any) -> tuple[list[FinetuneProgress], FinetuneResult]:
    run = Steps(steps)
    return [each for each in run if each.validating is None], run.result


def test_pairs_teach_a_new_domain_and_give_a_model_of_the_list(
    start: Path, folders: tuple[Path, Path]
) -> None:
    settings = FinetuneSettings(**LONGER, domain="dim")
    progress, result = finish(iter_finetune(start, Pairs.of_folders(*folders), "mine", settings))
    assert [p.step for p in progress] == list(range(13))
    assert result.after.restored[YOURS] > result.before.restored[YOURS]
    first = progress[0]
    assert first.scores == result.before
    assert first.sample is not None
    assert first.sample.clean is not None
    assert first.sample.degraded.shape == first.sample.after.shape == (64, 64, 3)
    np.testing.assert_allclose(first.sample.before, first.sample.after, atol=1e-5)
    model = load_weights(result.path)
    assert model.domains == ("noise", "stripes", "dim", "clean")
    assert model.prototypes is not None
    assert model.prototypes.shape == (4, 32)
    assert bool(model.prototypes[2].any())
    assert result.path.parent == model_folder()
    assert "mine" in [card.name for card in available_models()]
    card = result.card.read_text("utf-8")
    for word in ("dim", "tiny", "before", "after", "validated on", "not calibrated"):
        assert word in card
    assert not any(result.path.with_suffix(".run").glob("*.pt"))


def test_the_frozen_encoder_stays_as_it_is(start: Path, folders: tuple[Path, Path]) -> None:
    _, result = finish(
        iter_finetune(start, Pairs.of_folders(*folders), "mine", FinetuneSettings(**LONGER))
    )
    old, new = load_file(start), load_file(result.path)
    moved = [n for n in old if n != "prototypes" and not torch.equal(old[n].half(), new[n])]
    assert moved
    assert not [name for name in moved if name.startswith("encoder.")]


def test_closing_keeps_the_best_and_resuming_equals_never_having_stopped(
    start: Path, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "LEAST_GAIN", -1000.0)  # the last one is the best one
    source, settings = Pairs.of_folders(*folders), FinetuneSettings(**QUICK)
    whole = tmp_path / "whole.safetensors"
    finish(iter_finetune(start, source, whole, settings))
    parted = tmp_path / "parted.safetensors"
    steps = iter_finetune(start, source, parted, settings)
    for progress in steps:
        if progress.step == 4:
            assert progress.best_step == 3
            steps.close()
    assert load_weights(parted).provenance["steps"] == 3
    assert "until it was stopped" in parted.with_suffix(".md").read_text("utf-8")
    _, result = finish(
        iter_finetune(start, source, parted, settings.model_copy(update={"resume": True}))
    )
    assert result.steps == 6
    a, b = load_file(whole), load_file(parted)
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_a_stopped_run_with_other_settings_is_not_resumed(
    start: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    source, output = Pairs.of_folders(*folders), tmp_path / "mine.safetensors"
    resumed = FinetuneSettings(**QUICK, resume=True)
    with pytest.raises(DataError, match="no stopped run"):
        next(iter_finetune(start, source, output, resumed))
    steps = iter_finetune(start, source, output, FinetuneSettings(**QUICK))
    measured(steps)
    next(steps)
    steps.close()
    assert not output.exists()  # nothing was better than the start yet
    with pytest.raises(DataError, match="other settings"):
        next(iter_finetune(start, source, output, resumed.model_copy(update={"seed": 1})))


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


def test_noisy_images_alone_teach_and_no_clean_one_is_opened(
    start: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    read = clean_images.read_image
    monkeypatch.setattr(clean_images, "read_image", lambda p: opened.append(p) or read(p))
    monkeypatch.setattr(tuning, "LEAST_GAIN", -1000.0)  # six steps teach little
    low, high = folders
    progress, result = finish(
        iter_finetune(start, NoisyImages.of_folder(low), "mine", FinetuneSettings(**QUICK))
    )
    assert {path.parent for path in opened} == {low}
    assert high.is_dir()
    assert progress[0].sample is not None
    assert progress[0].sample.clean is None
    # "noise" is what it learns by default: the model knows it already.
    assert load_weights(result.path).domains == DOMAINS


def test_estimates_are_calibrated_where_there_are_clean_planes_enough(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "LEAST_GAIN", -1000.0)
    for folder, offset in (("low", 300), ("high", 0)):
        (tmp_path / folder).mkdir()
        for i in range(4):
            stack = np.stack([scene(3 * i + j) for j in range(3)]) + np.uint16(offset)
            tifffile.imwrite(
                tmp_path / folder / f"{i}.tif", stack, photometric="minisblack",
                metadata={"axes": "ZYX"},
            )  # fmt: skip
    settings = FinetuneSettings(**{**QUICK, "calibration_scenes": 64}, domain="veil")
    source = Pairs.of_folders(tmp_path / "low", tmp_path / "high")
    _, result = finish(iter_finetune(start, source, "mine", settings))
    model = load_weights(result.path)
    assert model.domains == ("noise", "stripes", "veil", "clean")
    assert model.prototypes is not None
    assert model.prototypes.shape == (4, 32)
    assert model.calibration["domains"] == ["noise", "stripes", "clean"]
    assert "calibrated for noise, stripes, clean" in result.card.read_text("utf-8")
    Reading.of(model, "mine")  # raises where the estimates cannot read it


def test_noisy_images_alone_teach_to_denoise(start: Path, tmp_path: Path) -> None:
    # A network that starts as the identity would rehearse to leave noise alone.
    blank = load_weights(start)
    blank.domains, blank.prototypes = (), None
    save_weights(blank, start)
    noisy_folder = tmp_path / "noisy"
    noisy_folder.mkdir()
    clean = np.stack([scene(seed) for seed in range(4)]).astype(np.float32)
    noisy = clean + np.random.default_rng(0).normal(0, 250, clean.shape).astype(np.float32)
    for number, image in enumerate(noisy):
        tifffile.imwrite(noisy_folder / f"{number}.tif", image)
    settings = FinetuneSettings(
        **{**QUICK, "steps": 40, "validate_every": 40, "rate": 1e-2}, mode="full"
    )
    _, result = finish(iter_finetune(start, NoisyImages.of_folder(noisy_folder), "mine", settings))
    assert load_weights(result.path).domains == ("own",)
    model = load_weights(result.path)
    gains = []
    for truth, image in zip(clean, noisy, strict=True):
        seen = choose_intensity(image, rgb=False)
        x = torch.from_numpy(seen.apply(image)).expand(1, 3, -1, -1)
        with torch.inference_mode():
            restored = model(x).restored[0, 0].numpy() * seen.span + seen.low
        errors = [float(np.square(each - truth).mean()) for each in (image, restored)]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gains) > 1.0  # dB, against the truth that it never saw


def test_rehearsal_keeps_the_old_domains(
    start: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "merit", lambda scores, before: float(scores != before))
    settings = FinetuneSettings(
        **{**QUICK, "steps": 30, "validate_every": 30, "rate": 6e-3}, mode="full"
    )
    plain = tuning.begin

    def without(*arguments: Any) -> tuning.TuningRun:
        run = plain(*arguments)
        dataset = replace(run.plan.dataset, rehearsed=Rotation([], 0))
        run.plan = replace(run.plan, dataset=dataset)
        return run

    lost = []
    for begin in (plain, without):
        monkeypatch.setattr("napari_baryir.training.finetune.begin", begin)
        _, result = finish(iter_finetune(start, Pairs.of_folders(*folders), "mine", settings))
        before, after = result.before.restored, result.after.restored
        lost.append(before["stripes"] - after["stripes"])
    assert lost[0] < lost[1] - 0.3


def test_low_rank_changes_no_bias_and_the_file_is_a_plain_network(
    start: Path, folders: tuple[Path, Path]
) -> None:
    settings = FinetuneSettings(**QUICK, mode="lora")
    _, result = finish(iter_finetune(start, Pairs.of_folders(*folders), "mine", settings))
    old, new = load_file(start), load_file(result.path)
    moved = [n for n in old if n != "prototypes" and not torch.equal(old[n].half(), new[n])]
    assert moved
    assert all(name.endswith(".weight") for name in moved)


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


@pytest.mark.parametrize("degradation", ["microscopy", "microscopy:noise"])
def test_clean_images_are_degraded_by_a_profile(
    start: Path, folders: tuple[Path, Path], degradation: str
) -> None:
    source = CleanImages.of_folder(folders[1], degradation)
    steps = iter_finetune(start, source, "mine", FinetuneSettings(**QUICK))
    scores = measured(steps).scores
    assert next(steps).step == 1
    steps.close()
    assert scores is not None
    expected = {"microscopy": {"clean"}, "microscopy:noise": {"stripes", "clean"}}[degradation]
    assert set(scores.restored) == {YOURS} | expected


def test_a_profile_that_the_model_does_not_know_is_refused(
    start: Path, folders: tuple[Path, Path]
) -> None:
    source = CleanImages.of_folder(folders[1], "photo:rain")
    with pytest.raises(DataError, match="give --degradation microscopy"):
        next(iter_finetune(start, source, "mine", FinetuneSettings(**QUICK)))


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
