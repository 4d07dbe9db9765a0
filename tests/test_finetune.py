"""What fine-tuning teaches, end to end, with a tiny network on tiny images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file

from finetune_start import DOMAINS, QUICK, finish, forgive, keep_any, measured, scene
from napari_baryir.degradation.calibration import Reading
from napari_baryir.imaging.intensity import choose_intensity
from napari_baryir.training.data import images as clean_images
from napari_baryir.training.finetune import (
    YOURS,
    CleanImages,
    FinetuneSettings,
    NoisyImages,
    Pairs,
    iter_finetune,
    tuning,
)
from napari_baryir.training.finetune.samples import Rotation
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import load_weights, save_weights
from napari_baryir.weights.registry import available_models

pytestmark = pytest.mark.usefixtures("one_thread")

LONGER = QUICK | {"steps": 12}
"""Enough to be better on new images while the old ones are rehearsed."""


@pytest.fixture(autouse=True)
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    forgive(monkeypatch)


def test_pairs_teach_a_new_domain_with_the_encoder_as_it_was_and_give_a_model_of_the_list(
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
    changed = moved(start, result.path)
    assert changed
    assert not [name for name in changed if name.startswith("encoder.")]


def moved(start: Path, path: Path) -> list[str]:
    """Name the tensors of the network that differ in two weights files."""
    old, new = load_file(start), load_file(path)
    return [n for n in old if n != "prototypes" and not torch.equal(old[n].half(), new[n])]


def test_noisy_images_alone_teach_and_no_clean_one_is_opened(
    start: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    read = clean_images.read_image
    monkeypatch.setattr(clean_images, "read_image", lambda p: opened.append(p) or read(p))
    keep_any(monkeypatch)
    low, _ = folders
    progress, result = finish(
        iter_finetune(start, NoisyImages.of_folder(low), "mine", FinetuneSettings(**QUICK))
    )
    assert {path.parent for path in opened} == {low}
    assert progress[0].sample is not None
    assert progress[0].sample.clean is None
    # "noise" is what it learns by default: the model knows it already.
    assert load_weights(result.path).domains == DOMAINS


def test_estimates_are_calibrated_where_there_are_clean_planes_enough(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_any(monkeypatch)
    for folder, offset in (("low", 300), ("high", 0)):
        (tmp_path / folder).mkdir()
        for i in range(4):
            stack = np.stack([scene(3 * i + j) for j in range(3)]) + np.uint16(offset)
            tifffile.imwrite(
                tmp_path / folder / f"{i}.tif", stack, photometric="minisblack",
                metadata={"axes": "ZYX"},
            )  # fmt: skip
    settings = FinetuneSettings(**{**QUICK, "calibration_scenes": 64}, domain="veil")
    given = Pairs.of_folders(tmp_path / "low", tmp_path / "high")
    _, result = finish(iter_finetune(start, given, "mine", settings))
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
        **{**QUICK, "steps": 15, "validate_every": 15, "rate": 6e-3}, mode="full"
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
    changed = moved(start, result.path)
    assert changed
    assert all(name.endswith(".weight") for name in changed)


@pytest.mark.parametrize("degradation", ["microscopy", "microscopy:noise"])
def test_clean_images_are_degraded_by_a_profile(
    start: Path, folders: tuple[Path, Path], degradation: str
) -> None:
    given = CleanImages.of_folder(folders[1], degradation)
    steps = iter_finetune(start, given, "mine", FinetuneSettings(**QUICK))
    scores = measured(steps).scores
    assert next(steps).step == 1
    steps.close()
    assert scores is not None
    expected = {"microscopy": {"clean"}, "microscopy:noise": {"stripes", "clean"}}[degradation]
    assert set(scores.restored) == {YOURS} | expected
