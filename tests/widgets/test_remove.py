"""What to remove: boxes that follow model and image, and the call that comes of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_baryir import restore
from napari_baryir.errors import InputError
from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import save_weights
from napari_baryir.widgets.restore.record import as_command, as_python, name_of

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock
    from napari_baryir.widgets.restore.form import RestoreForm

NAMES = ("noise", "haze", "low light")
PHOTO = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
STACK = np.random.default_rng(0).integers(0, 4000, (2, 40, 40), np.uint16)
SETTINGS = {"model": "steered", "device": "cpu", "tile": 32, "overlap": 8}


@pytest.fixture
def steered(dock: RestoreDock) -> RestoreDock:
    """The dock with a tiny model that can leave degradations, and an image."""
    config = VARIANTS["tiny"].model_copy(update={"context": 2, "scene": 64, "steering": 2})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BaryIR(config, domains=(*NAMES, "clean"))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    save_weights(model, model_folder() / "steered.safetensors")
    dock.form.refresh_models("steered")
    dock.viewer.add_image(PHOTO, name="photo")
    return dock


def press(dock: RestoreDock, qtbot: QtBot) -> Any:
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    return finished.args[0].layer


def record_of(layer: Any) -> dict[str, Any]:
    made: dict[str, Any] = layer.metadata["napari_baryir"]
    return made


def test_boxes_are_the_model_s_and_all_on(steered: RestoreDock) -> None:
    choice = steered.form.remove
    assert tuple(choice.boxes) == tuple(choice.amounts) == NAMES
    assert all(box.isChecked() for box in choice.boxes.values())
    assert choice.value == "auto"
    assert "Untick what should stay" in choice.row.toolTip()
    assert "residual subspaces" in choice.row.toolTip()


def test_a_model_that_cannot_be_steered_has_no_boxes_and_says_why(steered: RestoreDock) -> None:
    form = steered.form
    form.remove.boxes["haze"].setChecked(False)
    form.model.value = "tiny"
    assert not form.remove.boxes
    assert not form.remove.amounts
    assert form.remove.value == "auto"
    assert form.remove.row.toolTip().startswith("tiny removes whatever it finds")
    form.model.value = "steered"
    assert tuple(form.remove.boxes) == NAMES


def test_boxes_of_the_automatic_model_follow_the_image(
    steered: RestoreDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the shipped models can be steered."""
    heads = {"photo-compact": NAMES, "microscopy-compact": ()}
    monkeypatch.setattr("napari_baryir.weights.registry.removable_by", lambda name: heads[name])
    form = steered.form
    form.model.value = "auto"
    assert tuple(form.remove.boxes) == NAMES
    steered.viewer.add_image(STACK, name="stack")
    assert not form.remove.boxes
    assert "microscopy-compact" in form.remove.row.toolTip()
    form.layer.value = steered.viewer.layers["photo"]
    assert tuple(form.remove.boxes) == NAMES
    steered.viewer.layers.clear()
    assert not form.remove.boxes
    assert "Open an image" in form.remove.row.toolTip()


def test_unticking_leaves_a_degradation_and_says_so(steered: RestoreDock, qtbot: QtBot) -> None:
    everything = press(steered, qtbot)
    assert everything.name == "photo · steered"
    assert record_of(everything)["settings"]["remove"] == "auto"
    steered.form.remove.boxes["haze"].setChecked(False)
    steered.form.remove.amounts["low light"].setValue(50)
    layer = press(steered, qtbot)
    wanted = {"noise": 1.0, "low light": 0.5}
    assert record_of(layer)["settings"]["remove"] == wanted
    assert layer.name == "photo · steered · noise, low light 50%"
    expected = restore(PHOTO, axes="YXS", remove=wanted, **SETTINGS).image
    np.testing.assert_array_equal(layer.data, expected)
    assert not np.array_equal(layer.data, everything.data)


def test_copies_give_what_was_removed(steered: RestoreDock, qtbot: QtBot) -> None:
    from napari_baryir.commands.restore import _remove

    steered.form.remove.boxes["haze"].setChecked(False)
    record = record_of(press(steered, qtbot))
    words = shlex.split(as_command(record), comments=True)
    assert words[words.index("--remove") + 1] == "noise,low light"
    assert "remove={'noise': 1.0, 'low light': 1.0}" in as_python(record)
    steered.form.remove.amounts["noise"].setValue(70)
    record = record_of(press(steered, qtbot))
    words = shlex.split(as_command(record), comments=True)
    assert _remove(words[words.index("--remove") + 1]) == {"noise": 0.7, "low light": 1.0}
    names: dict[str, Any] = {}
    exec(
        as_python(record).replace("napari.current_viewer()", "VIEWER"),
        {"VIEWER": steered.viewer},
        names,
    )
    np.testing.assert_array_equal(names["restored"], steered.viewer.layers[name_of(record)].data)


def test_records_without_a_choice_are_read_too() -> None:
    settings = dict.fromkeys(("axes", "model", "device", "precision", "tile", "overlap"), "auto")
    record = {
        "source": "cells",
        "model": "old",
        "settings": {**settings, "strength": 1.0, "ensemble": False, "intensity": []},
    }
    assert name_of(record) == "cells · old"
    assert "--remove" not in as_command(record)


@pytest.mark.parametrize("how", ["boxes", "amounts"])
def test_removing_nothing_is_refused(steered: RestoreDock, how: str) -> None:
    choice = steered.form.remove
    for name in NAMES:
        if how == "boxes":
            choice.boxes[name].setChecked(False)
        else:
            choice.amounts[name].setValue(0)
    assert not steered.button.isEnabled()
    assert "tick at least one degradation" in steered.status.message.text()
    steered.batch.choice.kind.setCurrentText("The selected layers")
    steered.viewer.layers.selection = {steered.viewer.layers["photo"]}
    steered.batch.start()
    assert not steered.batch.running
    assert "tick at least one degradation" in steered.batch.label.text()
    with pytest.raises(InputError, match="tick at least one"):
        steered.form.job()
    choice.boxes["noise"].setChecked(True)
    choice.amounts["noise"].setValue(30)
    assert steered.button.isEnabled()
    assert steered.status.message.text() == ""


def test_a_batch_removes_the_same(steered: RestoreDock, qtbot: QtBot) -> None:
    steered.form.remove.boxes["noise"].setChecked(False)
    steered.batch.choice.kind.setCurrentText("The selected layers")
    with qtbot.waitSignal(steered.batch.finished):
        steered.batch.button.click()
    made = steered.viewer.layers["photo restored"]
    assert record_of(made)["settings"]["remove"] == {"haze": 1.0, "low light": 1.0}


def test_amounts_show_beside_their_boxes(steered: RestoreDock) -> None:
    choice = steered.form.remove
    choice.amounts["haze"].setValue(40)
    assert choice.boxes["haze"].text() == "haze 40 %"
    choice.boxes["haze"].setChecked(False)
    assert not choice.amounts["haze"].isEnabled()


def test_the_next_image_begins_anew(
    steered: RestoreDock, qtbot: QtBot, another_form: Callable[..., RestoreForm]
) -> None:
    from napari_baryir.widgets.restore.form import RestoreForm

    form = steered.form
    form.remove.boxes["haze"].setChecked(False)
    form.remove.amounts["noise"].setValue(20)
    form.strength.value = 0.41
    form.region.value = "plane"
    first = press(steered, qtbot)
    assert record_of(first)["settings"]["strength"] == pytest.approx(0.41)
    again = another_form(RestoreForm)  # as in the next session
    assert (again.remove.value, again.strength.value, again.region.value) == ("auto", 1, "layer")
    assert again.model.value == "steered"
    steered.viewer.add_image(PHOTO[::-1], name="next")
    assert (form.remove.value, form.strength.value, form.region.value) == ("auto", 1, "layer")
    assert record_of(first)["settings"]["strength"] == pytest.approx(0.41)  # it stays as it is
