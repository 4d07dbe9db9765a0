"""The Fine-tune dock in a real viewer: sources, running, cancelling, resuming, closing, using."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from finetuning import CLEAN, NOISY, add_layers, said, write_folder
from gui_clock import Clock

from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import load_weights
from napari_baryir.weights.registry import available_models

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.finetune.dock import FinetuneDock


@pytest.fixture
def dock(finetune_dock: FinetuneDock) -> FinetuneDock:
    return finetune_dock


def test_pairs_of_layers_give_a_model_that_restores(dock: FinetuneDock, qtbot: QtBot) -> None:
    noisy, clean = add_layers(dock)
    assert dock.form.degraded.value is noisy
    assert dock.form.clean.value is clean
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
        assert dock.button.text() == "Cancel"
        assert dock.settings.isHidden()
    path = model_folder() / "mine.safetensors"
    assert finished.args[0].path == path
    assert load_weights(path).domains == ("noise", "stripes", "own", "clean")
    assert "mine" in [card.name for card in available_models()]
    assert "mine" in dock.form.model.choices
    assert said(dock).startswith("Trained “mine”")
    np.testing.assert_array_equal(noisy.data, NOISY)
    np.testing.assert_array_equal(clean.data, CLEAN)
    assert len(dock.viewer.layers) == 2
    # Another training may begin at once, under another name.
    assert dock.form.name.value == "mine-2"
    assert dock.button.text() == "Train"
    assert dock.button.isEnabled()
    assert not dock.settings.isHidden()
    assert dock.resume_button.isHidden()


def test_plot_and_pictures_follow_the_validations(dock: FinetuneDock, qtbot: QtBot) -> None:
    add_layers(dock)
    assert dock.panel.isHidden()
    with qtbot.waitSignal(dock.session.finished):
        dock.button.click()
    history = dock.session.history
    assert sorted(history.scores) == [0, 2, 4]
    assert sorted(history.losses) == [1, 2, 3, 4]
    assert not dock.panel.isHidden()
    assert "Kept: step 4" in dock.panel.gain.text()
    names = dock.panel.preview.captions
    assert [name.split(" ")[0] for name in names] == ["your", "clean", "starting", "kept,"]
    assert all(name.endswith("dB") for name in (names[0], names[2], names[3]))
    assert "step 4" in names[3]
    assert "this one is kept" in dock.panel.plot.describe(4)


def test_using_the_model_chooses_it_in_the_restore_dock(
    dock: FinetuneDock, qtbot: QtBot, viewer: Any
) -> None:
    from napari_baryir.widgets.restore.dock import RestoreDock

    restore = RestoreDock(viewer)
    viewer.window.add_dock_widget(restore, name="Restore")
    noisy, _ = add_layers(dock)
    with qtbot.waitSignal(dock.session.finished):
        dock.button.click()
    assert "mine" in restore.form.model.choices
    assert restore.form.model.value != "mine"
    dock.panel.use_button.click()
    assert restore.form.model.value == "mine"
    assert len([w for w in viewer.window.dock_widgets.values() if type(w) is RestoreDock]) == 1
    restore.form.layer.value = noisy
    restore.form.device.value = "cpu"
    with qtbot.waitSignal(restore.session.finished) as restored:
        restore.button.click()
    record = restored.args[0].layer.metadata["napari_baryir"]
    assert record["settings"]["model"] == "mine"


def test_using_the_model_opens_the_restore_dock(
    dock: FinetuneDock, qtbot: QtBot, viewer: Any
) -> None:
    from napari_baryir.widgets.restore.dock import RestoreDock

    add_layers(dock)
    with qtbot.waitSignal(dock.session.finished):
        dock.button.click()
    dock.panel.use_button.click()
    (opened,) = [w for w in viewer.window.dock_widgets.values() if type(w) is RestoreDock]
    assert opened.form.model.value == "mine"
    assert "chosen in the Restore dock" in said(dock)


def test_clean_layers_are_degraded_with_the_noise_of_another(
    dock: FinetuneDock, qtbot: QtBot
) -> None:
    noisy, clean = add_layers(dock)
    dock.form.kind.value = "clean"
    dock.form.images.value = [clean]
    dock.form.degradation.value = "microscopy:noise"
    dock.form.like.value = noisy
    qtbot.waitUntil(lambda: "gain" in dock.camera.text())
    assert "per photon" in dock.camera.text()
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    assert "measured on noisy: gain" in finished.args[0].notes[0]
    assert load_weights(finished.args[0].path).domains == ("noise", "stripes", "clean")


def test_noisy_layers_alone_show_no_clean_picture(dock: FinetuneDock, qtbot: QtBot) -> None:
    noisy, _ = add_layers(dock)
    dock.form.kind.value = "noisy"
    dock.form.images.value = [noisy]
    with qtbot.waitSignal(dock.session.finished):
        dock.button.click()
    assert dock.panel.preview.captions[:2] == ["your image", "clean"]
    assert dock.session.history.kept_sample.clean is None


@pytest.mark.parametrize("kind", ["pairs", "clean", "noisy"])
def test_folders_teach_as_well(dock: FinetuneDock, qtbot: QtBot, tmp_path: Path, kind: str) -> None:
    dock.form.kind.value = kind
    dock.form.found_in.value = "folders"
    assert "choose the folder" in said(dock).lower()
    assert not dock.button.isEnabled()
    first = write_folder(tmp_path / "first", CLEAN if kind == "clean" else NOISY)
    dock.form.folder.value = first
    if kind == "pairs":
        dock.form.partners_folder.value = write_folder(tmp_path / "second", CLEAN)
    if kind == "clean":
        dock.form.degradation.value = "microscopy:stripes"
    dock.form.folder.changed.emit()
    assert dock.button.isEnabled()
    with qtbot.waitSignal(dock.session.finished):
        dock.button.click()
    assert (model_folder() / "mine.safetensors").is_file()


def test_mistakes_are_listed_before_any_work(
    dock: FinetuneDock, qtbot: QtBot, tmp_path: Path
) -> None:
    dock.form.kind.value, dock.form.found_in.value = "noisy", "folders"
    folder = write_folder(tmp_path / "noisy", NOISY)
    (folder / "cut.tif").write_bytes((folder / "0.tif").read_bytes()[:400])
    (folder / "1.png").write_bytes(b"no image")
    dock.form.folder.value = folder
    dock.form.folder.changed.emit()
    with qtbot.waitSignal(dock.session.failed):
        dock.button.click()
    told = said(dock).splitlines()
    assert told[0] == "2 problems with the images for fine-tuning."
    assert "1.png" in told[1]
    assert "cut.tif" in told[2]
    assert not (model_folder() / "mine.run").exists()
    assert dock.button.text() == "Train"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waited for a processor")
def test_the_window_moves_on_while_training(dock: FinetuneDock, qtbot: QtBot) -> None:
    add_layers(dock)
    dock.form.steps.value, dock.form.validate_every.value = 40, 10
    with Clock() as clock, qtbot.waitSignal(dock.session.finished):
        dock.button.click()
    clock.check()
