"""Calibrating a network, in Python and from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import io

from fake_networks import random_gated_network
from napari_baryir import estimate_degradation, load_model
from napari_baryir.cli import main
from napari_baryir.domains import CLEAN
from napari_baryir.errors import DataError
from napari_baryir.network import BaryIR
from napari_baryir.training.calibrate import calibrate
from napari_baryir.training.calibrate.scenes import KnownScene, make_scene
from napari_baryir.weights import registry
from napari_baryir.weights.files import save_weights

FEW = 48
"""Scenes: enough to fit something, few enough to wait for."""


def photographs(count: int = 8) -> list[Any]:
    """Seeded pictures of 96x96 pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 12, 12, 3), np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2))


def calibrated(model: BaryIR, **options: Any) -> BaryIR:
    list(calibrate(model, [[p] for p in photographs()], "photo", scenes=FEW, **options))
    return model


@pytest.fixture(scope="module")
def model() -> BaryIR:
    """A calibrated network, which the tests leave alone."""
    return calibrated(random_gated_network())


def test_a_calibrated_network_can_estimate(model: BaryIR) -> None:
    image = np.random.default_rng(0).random((48, 48, 3), np.float32)
    estimate = estimate_degradation(image, model=model)
    assert estimate.domains == ("noise", "rain", "haze", "blur", "low light", "clean", "unknown")
    assert model.domains == estimate.domains[:-1]
    assert model.prototypes is not None
    assert model.prototypes.shape[0] == 6


def test_the_same_seed_calibrates_the_same(model: BaryIR) -> None:
    assert calibrated(random_gated_network()).calibration == model.calibration
    assert calibrated(random_gated_network(), seed=1).calibration != model.calibration


def test_a_calibration_comes_back_from_the_weights_file(model: BaryIR, tmp_path: Path) -> None:
    save_weights(model, tmp_path / "m.safetensors", dtype=torch.float16)
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.calibration == model.calibration
    assert loaded.subspace is not None
    assert model.subspace is not None
    torch.testing.assert_close(loaded.subspace, model.subspace, rtol=0, atol=0)


def test_microscopy_is_calibrated_on_scenes_of_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[KnownScene] = []

    def remembered(*args: Any, **options: Any) -> KnownScene:
        made.append(make_scene(*args, **options))
        return made[-1]

    monkeypatch.setattr("napari_baryir.training.calibrate.make_scene", remembered)
    planes = np.random.default_rng(0).random((8, 200, 200), np.float32)
    model = random_gated_network()
    for _ in calibrate(model, [[p] for p in planes], "microscopy", scenes=80):
        pass
    assert model.domains == ("noise", "blur", "background", "stripes", "clean")
    alone = [scene.domains[0] for scene in made if len(scene.domains) == 1]
    assert set(alone) == set(model.domains)
    assert any(len(scene.domains) == 2 and CLEAN not in scene.domains for scene in made)
    discs = [scene for scene in made if _is_disc(scene)]
    assert discs
    for scene in discs:
        assert CLEAN in scene.domains
        assert (scene.labels == 1).any(), "a disc with no cell inside that is sure"


def _is_disc(scene: KnownScene) -> bool:
    """Whether the second domain lies inside of the first."""
    edge = np.concatenate([scene.second[0], scene.second[-1]])
    return bool(scene.second.any() and not edge.any())


def test_progress_counts_the_scenes() -> None:
    steps = calibrate(random_gated_network(), [[p] for p in photographs()], "photo", scenes=FEW)
    assert [step.done for step in steps] == list(range(1, FEW + 1))


def test_domains_that_the_profile_does_not_make_are_refused() -> None:
    model = random_gated_network()
    model.domains = ("noise", "fog")
    with pytest.raises(DataError, match="fog"):
        next(calibrate(model, [[p] for p in photographs()], "photo", scenes=FEW))


@pytest.mark.parametrize(("images", "scenes"), [(3, FEW), (8, 5)])
def test_too_little_data_is_refused(images: int, scenes: int) -> None:
    with pytest.raises(DataError, match="too few"):
        next(
            calibrate(
                random_gated_network(), [[p] for p in photographs(images)], "photo", scenes=scenes
            )
        )


def test_the_command_calibrates_a_file_and_changes_no_weight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, picture in enumerate(photographs()):
        io.imsave(tmp_path / f"{number}.png", picture, check_contrast=False)
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_weights(random_gated_network(), source, dtype=torch.float16)
    before = source.read_bytes()
    words = ["calibrate", str(source), "--data", str(tmp_path), "--scenes", str(FEW)]
    assert main([*words, "-o", str(target)]) == 2
    assert "--profile photo or microscopy" in capsys.readouterr().err
    assert not target.exists()
    assert main([*words, "--profile", "photo", "-o", str(target)]) == 0
    assert source.read_bytes() == before
    old, new = load_model(source), load_model(target)
    assert new.calibration["domains"][-1] == "clean"
    kept = new.state_dict()
    for name, tensor in old.state_dict().items():
        torch.testing.assert_close(kept[name], tensor, rtol=0, atol=0)
    assert target.stat().st_size < 1.2 * source.stat().st_size + 50_000  # still in 16 bits


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of clean photographs."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(photographs()):
        io.imsave(folder / f"{number}.png", picture, check_contrast=False)
    return folder


def command(weights: str | Path, pictures: Path, *more: str) -> int:
    words = ["--data", str(pictures), "--profile", "photo", "--scenes", str(FEW)]
    return main(["calibrate", str(weights), *words, *more])


@pytest.mark.parametrize("kind", ["shipped", "the user's"])
def test_the_file_behind_a_name_is_not_overwritten(
    kind: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(registry, "model_folder", lambda: tmp_path)
    path = tmp_path / "worms.safetensors"
    if kind == "shipped":
        card = registry.REGISTRY["photo-compact"]
        monkeypatch.setitem(
            registry.REGISTRY, "worms", replace(card, name="worms", folder=tmp_path, file=path.name)
        )
    save_weights(random_gated_network(), path)
    before = path.read_bytes()
    assert command("worms", pictures) == 2
    assert "-o OUT.safetensors" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert command("worms", pictures, "-o", str(tmp_path / "mine.safetensors")) == 0
    assert path.read_bytes() == before
    assert load_model(tmp_path / "mine.safetensors").calibration


def test_without_an_output_a_file_is_calibrated_in_place(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(random_gated_network(), path)
    assert command(path, pictures) == 0
    assert load_model(path).calibration
