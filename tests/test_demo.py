"""``napari-baryir demo``: table, figure, and a clear word where napari is missing."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_baryir.cli import main
from napari_baryir.commands.console import Voice
from napari_baryir.commands.demo import Restored, compare, restore_sample
from napari_baryir.network import BaryIR
from napari_baryir.sample_data import SAMPLES, Sample, fluorescence_stack
from napari_baryir.weights.files import save_weights


@pytest.fixture
def model(tmp_path: Path, tiny_model: BaryIR) -> str:
    save_weights(tiny_model, tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's samples, cropped so that the test is quick."""
    for name, make in list(SAMPLES.items()):

        def cropped(make: Any = make) -> Sample:
            if make is fluorescence_stack:
                return fluorescence_stack(shape=(3, 48, 48))
            whole = make()
            part = (slice(100, 148), slice(100, 164))
            return Sample(
                whole.degraded[part], whole.clean[part], whole.axes, whole.name, whole.title
            )

        monkeypatch.setitem(SAMPLES, name, cropped)


@pytest.mark.usefixtures("small_samples")
def test_it_prints_both_metrics_before_and_after_and_draws(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "somewhere" / "new"
    assert main(["demo", "-o", str(out), "--model", model, "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    for word in ("PSNR", "SSIM", "before", "after", "photo-noise", "fluorescence-stack", "tiny"):
        assert word in text
    assert [path.name for path in out.iterdir()] == ["demo.png"]
    figure = imageio.imread(out / "demo.png")
    assert figure.shape[1] == 1600
    assert figure[..., :3].std() > 10


def test_comparing_the_truth_with_itself_is_perfect_and_noise_costs() -> None:
    sample = fluorescence_stack(shape=(3, 48, 48))
    with np.errstate(divide="ignore"):
        psnr, ssim = compare(sample.clean, sample)
    assert psnr == np.inf
    assert ssim == pytest.approx(1)
    noisy_psnr, noisy_ssim = compare(sample.degraded, sample)
    assert noisy_psnr < 40
    assert noisy_ssim < 0.9


def test_a_restored_sample_keeps_shape_and_type(model: str) -> None:
    sample = fluorescence_stack(shape=(2, 32, 40))
    voice = Voice(argparse.Namespace(quiet=True, verbose=False))
    result = restore_sample(sample, model, "cpu", voice)
    assert isinstance(result, Restored)
    assert (result.image.shape, result.image.dtype) == (sample.degraded.shape, np.dtype("uint16"))
    assert result.before == compare(sample.degraded, sample)
    assert result.after == compare(result.image, sample)


def test_an_unknown_sample_is_answered_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--samples", "moon"]) == 2
    assert "photo-rain" in capsys.readouterr().err


def test_without_napari_the_gui_option_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "napari" else real(name)
    )
    assert main(["demo", "--gui", "-o", str(tmp_path / "out")]) == 2
    assert "napari-baryir[all]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
