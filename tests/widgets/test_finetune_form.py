"""What the Fine-tune dock asks for, refuses, proposes and remembers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetuning import CLEAN, NOISY, save_tiny_model

from napari_baryir.errors import InputError
from napari_baryir.training import degradations
from napari_baryir.training.finetune.settings import FinetuneSettings
from napari_baryir.training.names import PROFILES
from napari_baryir.weights.cache import model_folder
from napari_baryir.widgets.finetune import choices as finetune_choices
from napari_baryir.widgets.finetune.choices import (
    degradation_choices,
    free_name,
    has_stopped_run,
    weights_path,
)


@pytest.fixture
def form(tmp_path: Path, another_form: Callable[..., Any]) -> Any:
    from qtpy.QtCore import QSettings

    from napari_baryir.widgets.finetune.form import FinetuneForm

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))
    made = another_form(FinetuneForm)
    made.refresh_layers()
    return made


def test_what_the_form_offers_is_what_training_has() -> None:
    known = {name: tuple(made) for name, made in degradations.DEGRADATIONS.items()}
    assert known == PROFILES
    for mode in finetune_choices.MODES.values():
        FinetuneSettings(mode=mode)
    for brightness in finetune_choices.BRIGHTNESS.values():
        FinetuneSettings(brightness=brightness)


def test_the_forms_settings_are_trainings_defaults(form: Any, viewer: Any) -> None:
    viewer.add_image(NOISY)
    form.kind.value = "noisy"
    assert FinetuneSettings(**form.job().settings) == FinetuneSettings()


def test_degradations_are_those_of_the_models_images() -> None:
    save_tiny_model()
    assert ("stripes", "microscopy:stripes") in degradation_choices("tiny")
    assert all(value.startswith("photo") for _, value in degradation_choices("photo-compact"))
    both = [label for label, _ in degradation_choices("auto")]
    assert {"photo: rain", "microscopy: stripes", "photo: all of these"} <= set(both)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "give the new model a name"),
        ("a/b", "has /"),
        (".hidden", "a dot"),
        ("photo-compact", "a model that ships"),
    ],
)
def test_impossible_names_are_told(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        weights_path(name)
    assert not has_stopped_run(name)


def test_a_free_name_follows_the_one_that_is_taken() -> None:
    assert free_name("mine") == "mine"
    model_folder().mkdir(parents=True, exist_ok=True)
    weights_path("mine").touch()
    assert free_name("mine") == "mine-2"
    weights_path("mine-2").touch()
    assert free_name("mine") == free_name("mine-2") == "mine-3"
    stopped = weights_path("mine-3").with_suffix(".run")
    stopped.mkdir()
    (stopped / "checkpoint.pt").touch()
    assert free_name("mine") == "mine-4"


def test_a_taken_name_is_told(form: Any, viewer: Any) -> None:
    viewer.add_image(NOISY)
    form.kind.value = "noisy"
    assert form.problem() is None
    save_tiny_model()
    form.name.value = "tiny"
    assert form.problem() == "There is a model “tiny” already. Choose another name."


def test_layers_that_cannot_teach_say_why(form: Any, viewer: Any) -> None:
    assert "Open an image first" in form.problem()
    noisy = viewer.add_image(NOISY, name="noisy")
    assert "are the same" in form.problem()
    small = viewer.add_image(CLEAN[:2], name="short")
    form.degraded.value, form.clean.value = noisy, small
    assert "“noisy” is grey, 6 x 48 x 48, but “short” is grey, 2 x 48 x 48" in form.problem()
    clean = viewer.add_image(CLEAN, name="clean")
    form.clean.value = clean
    assert form.problem() is None
    form.kind.value = "noisy"
    form.images.value = []
    assert form.problem() == "Choose one or more layers."
    form.images.value = [viewer.add_image(np.ones((6, 20, 90), np.uint8), name="strip")]
    assert "20 x 90 pixels, too small" in form.problem()
    viewer.add_labels(np.ones((48, 48), int))
    assert len(form.images.choices) == 4  # labels teach nothing


def test_two_layers_of_one_shape_are_proposed_as_a_pair(form: Any, viewer: Any) -> None:
    clean = viewer.add_image(CLEAN, name="clean")
    noisy = viewer.add_image(NOISY, name="noisy")
    assert (form.degraded.value, form.clean.value) == (noisy, clean)
    noisy.name = "renamed"
    assert (form.degraded.value, form.clean.value) == (noisy, clean)


def test_axes_of_a_pair_are_called_as_those_of_the_degraded_layer(form: Any, viewer: Any) -> None:
    viewer.add_image(CLEAN, name="clean")
    viewer.add_image(NOISY, name="noisy", axis_labels=("t", "y", "x"))
    job = form.job()
    assert [image.axes for image in (job.images[0], job.partners[0])] == ["TYX", "TYX"]


def test_a_layer_that_does_not_fit_into_memory_is_told(form: Any, viewer: Any) -> None:
    import dask.array as da

    form.kind.value = "noisy"
    huge = da.zeros((40_000, 20_000, 20_000), dtype=np.uint16, chunks=(1, 2000, 2000))
    with pytest.raises(InputError, match="GiB of memory"):
        form.layers.image_of(_Layer(huge))


class _Layer:
    """What is asked of an image layer, without showing it."""

    name, rgb, multiscale, axis_labels, units = "huge", False, False, ("t", "y", "x"), None

    def __init__(self, data: Any) -> None:
        self.data = data


def test_controls_are_remembered(form: Any, another_form: Callable[..., Any]) -> None:
    from napari_baryir.widgets.finetune.form import FinetuneForm

    save_tiny_model()
    form.refresh_models()
    form.model.value = "tiny"
    form.kind.value, form.found_in.value = "clean", "folders"
    form.degradation.value = "microscopy:stripes"
    form.folder.value = "/data/worms"
    form.name.value, form.steps.value, form.batch.value = "worms", 300, "6"
    form.calibrate.value = False
    form.remember()
    again = another_form(FinetuneForm)
    for name in ("model", "kind", "found_in", "degradation", "folder", "name", "steps", "batch"):
        assert getattr(again, name).value == getattr(form, name).value, name
    assert again.calibrate.value is False


@pytest.mark.parametrize(
    ("kind", "place", "shown"),
    [
        ("pairs", "layers", {"degraded", "clean", "brightness", "turn"}),
        ("pairs", "folders", {"folder", "partners_folder", "brightness", "turn"}),
        ("clean", "layers", {"images", "degradation", "like"}),
        ("clean", "folders", {"folder", "degradation", "like_file"}),
        ("noisy", "layers", {"images"}),
        ("noisy", "folders", {"folder"}),
    ],
)
def test_only_what_means_something_is_shown(
    form: Any, kind: str, place: str, shown: set[str]
) -> None:
    form.kind.value, form.found_in.value = kind, place
    form.degradation.value = "microscopy:noise"
    names = (
        "degraded", "clean", "images", "folder", "partners_folder", "degradation", "like",
        "like_file", "brightness", "turn",
    )  # fmt: skip
    assert {name for name in names if not getattr(form, name).native.isHidden()} == shown
