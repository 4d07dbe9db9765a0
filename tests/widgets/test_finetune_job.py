"""From a wish to a training: which model, which settings, pausing, stopping; without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetuning import NOISY, save_tiny_model, write_folder

from finetune_start import QUICKEST, keep_any
from napari_baryir.errors import InputError
from napari_baryir.steps import finish
from napari_baryir.weights.cache import model_folder
from napari_baryir.widgets.dock.steps import Failed
from napari_baryir.widgets.finetune import job as finetune_job
from napari_baryir.widgets.finetune.job import FinetuneJob, LayerImage, Trained, finetune_steps

QUICK = QUICKEST | {"steps": 2, "validate_every": 1}


def job(**changed: Any) -> FinetuneJob:
    images = (LayerImage("noisy", NOISY, "ZYX"),)
    made = FinetuneJob("noisy", images, model_folder() / "mine.safetensors", model="tiny")
    made.settings = QUICK
    made.free.set()
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def test_the_automatic_model_is_that_for_the_images(tmp_path: Path) -> None:
    from PIL import Image

    rgb = np.zeros((64, 64, 3), np.uint8)
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(rgb).save(photos / "a.png")
    cases = [
        (job(), "microscopy-compact"),
        (job(images=(LayerImage("photo", rgb, "YXS"),)), "photo-compact"),
        (job(images=photos), "photo-compact"),
        (job(images=write_folder(tmp_path / "stack", NOISY)), "microscopy-compact"),
        (job(images=tmp_path / "nowhere"), "microscopy-compact"),
        (job(kind="clean", degradation="photo:rain"), "photo-compact"),
        (job(kind="clean", degradation="microscopy"), "microscopy-compact"),
    ]
    for made, model in cases:
        assert finetune_job._automatic(made) == model


def test_impossible_settings_fail_with_a_sentence() -> None:
    save_tiny_model()
    failed = finish(finetune_steps(job(settings={**QUICK, "patch": 20})))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, InputError)
    assert "patch must be a multiple of 8" in str(failed.error)


def test_a_paused_job_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_any(monkeypatch)
    save_tiny_model()
    made = job()
    steps = finetune_steps(made)
    assert next(step for step in steps if step.news.scores is not None).news.step == 0
    made.free.clear()
    for _ in range(2):
        paused = next(steps)
        assert paused.paused
        assert (paused.progress.done, paused.progress.total) == (0, QUICK["steps"])
    made.free.set()
    assert next(steps).news.step == 1
    assert isinstance(finish(steps), Trained)


def test_a_job_that_never_ran_leaves_nothing() -> None:
    made = job()
    made.free.clear()
    steps = finetune_steps(made)
    assert next(steps).paused
    steps.close()
    assert made.latest is None
    assert made.problem is None
    assert not model_folder().joinpath("mine.run").exists()
