"""The Fine-tune dock while it trains: cancelling, resuming, pausing, closing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from finetuning import STEPS, Gate, add_layers, begin, quick, said, save_tiny_model

from finetune_start import keep_any
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import load_weights

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.finetune.dock import FinetuneDock


@pytest.fixture
def dock(finetune_dock: FinetuneDock) -> FinetuneDock:
    return finetune_dock


def test_cancel_keeps_the_best_and_resume_goes_on(
    dock: FinetuneDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, free=2)
    add_layers(dock)
    dock.button.click()
    qtbot.waitUntil(lambda: gate.reached.is_set() and dock.session.history.best_step == 2)
    assert dock.button.text() == "Cancel, keep the best"
    dock.button.click()
    assert "keeping the best so far" in said(dock)
    with qtbot.waitSignal(dock.session.finished) as finished:
        gate.open.set()
    assert gate.steps == 3
    assert finished.args[0].stopped
    assert load_weights(model_folder() / "mine.safetensors").provenance["steps"] == 2
    assert said(dock).startswith("Stopped at step 3. “mine” is the best so far, step 2")
    assert not dock.button.isEnabled()  # it would begin anew under a name that is taken
    assert not dock.panel.use_button.isHidden()

    dock.form.steps.value = 50  # its own settings hold
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.resume_button.click()
    assert (finished.args[0].steps, finished.args[0].stopped) == (STEPS, False)
    assert sorted(dock.session.history.scores) == [0, 2, 4]
    assert dock.resume_button.isHidden()


def test_cancel_before_anything_is_better_writes_no_model(
    dock: FinetuneDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = begin(dock, qtbot, monkeypatch)
    dock.button.click()
    with qtbot.waitSignal(dock.session.cancelled):
        gate.open.set()
    assert not (model_folder() / "mine.safetensors").exists()
    assert "nothing was better" in said(dock)
    assert "Resume goes on" in said(dock)
    assert not dock.resume_button.isHidden()


def test_training_rests_while_something_else_is_computed(
    dock: FinetuneDock,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    import threading

    from qtpy.QtCore import QThreadPool

    from napari_baryir.widgets.dock.run import Run, run_queue
    from napari_baryir.widgets.dock.steps import Success

    over = threading.Event()

    def another() -> Any:
        assert over.wait(300)
        return Success()
        yield

    pool = QThreadPool.globalInstance()
    request.addfinalizer(partial(pool.setMaxThreadCount, pool.maxThreadCount()))
    pool.setMaxThreadCount(1)  # as on a computer with one core
    gate = begin(dock, qtbot, monkeypatch, free=1)
    other = Run(another(), "something else")
    run_queue().submit(other)
    gate.open.set()
    qtbot.waitUntil(lambda: dock.session.paused)
    assert "Paused" in said(dock)
    assert gate.steps == 2
    with qtbot.waitSignal(dock.session.finished):
        over.set()
    assert gate.steps == STEPS


def test_two_docks_train_one_after_the_other(
    dock: FinetuneDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, viewer: Any
) -> None:
    from napari_baryir.widgets.finetune.dock import FinetuneDock

    gate = begin(dock, qtbot, monkeypatch)
    other = FinetuneDock(viewer)
    viewer.window.add_dock_widget(other, name="another")
    quick(other)
    other.form.name.value = "other"
    other.button.click()
    assert "Waiting for 1 other training" in said(other)
    with qtbot.waitSignals([dock.session.finished, other.session.finished]):
        gate.open.set()
    assert (model_folder() / "other.safetensors").is_file()


def test_closing_the_dock_keeps_the_best(
    dock: FinetuneDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = begin(dock, qtbot, monkeypatch, free=2)
    run = dock.session.run
    dock.viewer.window.remove_dock_widget(dock)
    with qtbot.waitSignal(run.ended):
        gate.open.set()
    assert run.state == "cancelled"
    assert gate.steps == 3
    assert (model_folder() / "mine.safetensors").is_file()


def test_closing_the_viewer_keeps_the_best(
    make_napari_viewer: Any, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from qtpy.QtCore import QSettings

    from napari_baryir.widgets.dock.run import TileWorker
    from napari_baryir.widgets.finetune.dock import FinetuneDock

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))
    keep_any(monkeypatch)
    quit_ = TileWorker.quit

    def told_to_quit(worker: Any) -> None:
        quit_(worker)
        gate.open.set()  # before, the step in work does not end

    monkeypatch.setattr(TileWorker, "quit", told_to_quit)
    save_tiny_model()
    viewer = make_napari_viewer()
    dock = FinetuneDock(viewer)
    viewer.window.add_dock_widget(dock)
    quick(dock)
    gate = begin(dock, qtbot, monkeypatch, free=2)
    ended = []
    run = dock.session.run
    run.ended.connect(lambda: ended.append(run.state))
    viewer.close()
    qtbot.waitUntil(lambda: bool(ended))
    assert ended == ["cancelled"]
    assert (model_folder() / "mine.safetensors").is_file()


def test_removing_the_layers_does_not_disturb(
    dock: FinetuneDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = begin(dock, qtbot, monkeypatch)
    dock.viewer.layers.clear()
    with qtbot.waitSignal(dock.session.finished):
        gate.open.set()
    assert said(dock).startswith("Trained “mine”")


def test_a_full_disk_is_told_when_a_stopped_training_cannot_be_kept(
    dock: FinetuneDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_baryir.training import finetune

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device", "mine.safetensors")

    monkeypatch.setattr(finetune, "write_stopped", full)
    gate = begin(dock, qtbot, monkeypatch, free=2)
    dock.button.click()
    with qtbot.waitSignal(dock.session.failed):
        gate.open.set()
    assert "No space left on device" in said(dock)
