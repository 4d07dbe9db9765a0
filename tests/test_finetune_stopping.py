"""What a window that shows a fine-tuning needs: best so far, stopping late, going on by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finetune_start import QUICKEST, keep_any, measured
from napari_baryir.errors import DataError
from napari_baryir.training.finetune import FinetuneSettings, Pairs, iter_finetune, tuning
from napari_baryir.training.finetune.images import UserImage
from napari_baryir.training.finetune.tuning import stopped_settings
from napari_baryir.weights.files import load_weights


@pytest.fixture(autouse=True)
def always_better(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_any(monkeypatch)


@pytest.fixture
def given() -> Pairs:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 4000, (10, 48, 48)).astype(np.uint16)
    noisy = (clean // 2 + 300).astype(np.uint16)
    images = [
        UserImage(name, array=array, axes="ZYX")
        for name, array in (("noisy", noisy), ("clean", clean))
    ]
    return Pairs(((images[0], images[1]),))


def test_every_progress_knows_the_start_and_the_best(start: Path, given: Pairs) -> None:
    steps = iter_finetune(start, given, "mine", FinetuneSettings(**QUICKEST))
    progress = [measured(steps), *steps]
    assert all(each.before == progress[0].scores for each in progress)
    assert progress[1].best == progress[0].scores
    assert progress[-1].best_step == 4
    assert progress[-1].best == progress[-1].scores


def test_the_measuring_of_the_start_is_told_and_can_be_stopped(
    start: Path, given: Pairs, tmp_path: Path
) -> None:
    output = tmp_path / "mine.safetensors"
    steps = iter_finetune(start, given, output, FinetuneSettings(**QUICKEST))
    counted = []
    for each in steps:
        if each.validating is None:
            break
        assert each.before is None
        counted.append((each.validating.done, each.validating.total))
    assert counted == [(n, len(counted)) for n in range(1, len(counted) + 1)]
    assert len(counted) > 1
    steps.close()
    output = tmp_path / "other.safetensors"
    steps = iter_finetune(start, given, output, FinetuneSettings(**QUICKEST))
    next(steps)
    steps.close()
    with pytest.raises(DataError, match="no stopped run"):
        stopped_settings(str(output), FinetuneSettings())


def test_a_run_goes_on_with_its_own_settings_and_sizes(
    start: Path, given: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = str(tmp_path / "mine.safetensors")
    free = {**QUICKEST, "batch": None, "patch": None}
    monkeypatch.setattr(tuning, "choose_sizes", lambda *_: (2, 32))
    steps = iter_finetune(start, given, output, FinetuneSettings(**free))
    while next(steps).step < 3:
        pass
    steps.close()
    monkeypatch.setattr(tuning, "choose_sizes", lambda *_: (4, 48))  # memory became free
    settings = stopped_settings(
        output, FinetuneSettings(steps=9, device="cpu", calibration_scenes=0)
    )
    assert (settings.steps, settings.resume, settings.batch) == (4, True, None)
    steps = iter_finetune(start, given, output, settings)
    assert [each.step for each in steps] == [4]


def test_no_stopped_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no stopped run"):
        stopped_settings(str(tmp_path / "mine.safetensors"), FinetuneSettings())


def test_other_images_are_named_in_words(start: Path, given: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    steps = iter_finetune(start, given, output, FinetuneSettings(**QUICKEST))
    measured(steps)
    next(steps)
    steps.close()
    (pair,) = given.pairs
    renamed = UserImage("other", array=pair[0].array, axes="ZYX")
    again = iter_finetune(
        start, Pairs(((renamed, pair[1]),)), output, FinetuneSettings(**QUICKEST, resume=True)
    )
    with pytest.raises(DataError, match="other training images, validation images"):
        next(again)


def test_stopping_the_calibration_keeps_the_weights(start: Path, given: Pairs) -> None:
    settings = FinetuneSettings(**{**QUICKEST, "calibration_scenes": 64})
    steps = iter_finetune(start, given, "mine", settings)
    for progress in steps:
        if progress.calibrating is not None and progress.calibrating.done == 3:
            break
    steps.close()
    path = tuning.output_path("mine")
    assert load_weights(path).calibration == {}
    assert "not calibrated" in path.with_suffix(".md").read_text("utf-8")
    # Going on calibrates it.
    on = iter_finetune(start, given, "mine", stopped_settings("mine", settings))
    assert [each.step for each in on] == [4] * 64
    assert load_weights(path).calibration
