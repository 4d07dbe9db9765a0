"""The dock's behaviour: running, cancelling, closing, errors, keys; real viewer, real threads."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_baryir.errors import DeviceError
from napari_baryir.restoration.engine import TileEngine

if TYPE_CHECKING:
    from held_tiles import Gate
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock
    from napari_baryir.widgets.restore.form import RestoreForm

STACK = np.random.default_rng(0).integers(0, 4000, (4, 40, 40), np.uint16)


def test_renamed_layer_stays_chosen_under_its_new_name(dock: RestoreDock) -> None:
    first = dock.viewer.add_image(STACK, name="first")
    dock.viewer.add_image(STACK, name="second")
    dock.form.layer.value = first
    dock.form.axes.value = "TYX"
    first.name = "renamed"
    shown = dock.form.layer.native
    assert {shown.itemText(i) for i in range(shown.count())} == {"renamed", "second"}
    assert dock.form.layer.value is first
    assert shown.currentText() == "renamed"
    assert dock.form.axes.value == "TYX"


def test_unfinished_result_is_shown_and_removing_it_ends_the_run(
    dock: RestoreDock, gate: Gate, qtbot: QtBot
) -> None:
    source = dock.viewer.add_image(STACK)
    dock.viewer.dims.set_current_step(0, 2)
    dock.form.tile.value = "whole"
    gate.free = 1  # the plane in view goes through
    dock.button.click()
    run = dock.session.run
    qtbot.waitUntil(lambda: len(dock.viewer.layers) == 2)
    partial = dock.viewer.layers[-1]
    assert "restoring" in partial.name
    assert not np.array_equal(partial.data[2], STACK[2])
    np.testing.assert_array_equal(partial.data[0], STACK[0])  # not restored yet
    dock.viewer.layers.remove(partial)
    with qtbot.waitSignal(run.ended):
        gate.open.set()
    assert run.state == "cancelled"
    assert list(dock.viewer.layers) == [source]


def test_first_result_is_the_plane_in_view(dock: RestoreDock, qtbot: QtBot) -> None:
    dock.viewer.add_image(STACK)
    dock.viewer.dims.set_point(0, 2)
    planes: list[int] = []
    dock.button.click()
    dock.session.run.stepped.connect(lambda step: planes.append(step.progress.plane))
    with qtbot.waitSignal(dock.session.finished):
        pass
    assert planes[0] == 2
    assert set(planes) == {0, 1, 2, 3}


def test_running_out_of_memory_halves_the_tile_or_says_what_to_do(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TileEngine._run

    def short_of_memory(engine: TileEngine, tile: Any) -> Any:
        if max(tile.shape[:2]) > limit:
            raise torch.OutOfMemoryError("injected")
        return run(engine, tile)

    monkeypatch.setattr(TileEngine, "_run", short_of_memory)
    dock.viewer.add_image(np.tile(STACK[0], (4, 4)))
    dock.form.tile.value = "128"
    limit = 64
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    assert finished.args[0].layer.metadata["napari_baryir"]["settings"]["tile"] == 64
    limit = 0
    with qtbot.waitSignal(dock.session.failed):
        dock.button.click()
    assert "out of memory" in dock.status.message.text()
    assert dock.button.text() == "Restore"
    assert len(dock.viewer.layers) == 2


def test_errors_are_sentences_with_details_behind_a_button(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(engine: TileEngine, tile: Any) -> Any:
        raise DeviceError("the device fell asleep; wake it")

    monkeypatch.setattr(TileEngine, "change", broken)
    dock.viewer.add_image(STACK)
    with qtbot.waitSignal(dock.session.failed):
        dock.button.click()
    assert dock.status.message.text() == "The device fell asleep; wake it."
    assert not dock.status.details_button.isHidden()
    assert len(dock.viewer.layers) == 1


@pytest.mark.parametrize(
    ("control", "value", "said"),
    [("tile", "big", "Piece size is 'big'"), ("intensity", "5", "Intensity is '5'")],
)
def test_impossible_settings_are_told_before_running(
    dock: RestoreDock, control: str, value: str, said: str
) -> None:
    dock.viewer.add_image(STACK)
    getattr(dock.form, control).value = value
    dock.button.click()
    assert dock.session.run is None
    assert dock.status.message.text().startswith(said)


def test_unsuitable_layers_say_why_before_running(dock: RestoreDock) -> None:
    assert "Open an image" in dock.status.message.text()
    assert not dock.button.isEnabled()
    dock.viewer.add_labels(np.ones((8, 8), int), name="cells")
    assert "labels layer" in dock.status.message.text()
    assert not dock.button.isEnabled()
    dock.viewer.add_image(STACK)
    assert dock.button.isEnabled()
    assert dock.status.message.text() == ""
    dock.form.axes.value = "TZC"
    assert not dock.button.isEnabled()
    assert "must have Y" in dock.status.message.text()


def test_settings_are_remembered(
    dock: RestoreDock, qtbot: QtBot, another_form: Callable[..., RestoreForm]
) -> None:
    from napari_baryir.widgets.restore.form import RestoreForm

    dock.viewer.add_image(STACK)
    dock.form.region.value = "plane"
    dock.form.precision.value = "float32"
    with qtbot.waitSignal(dock.session.finished):
        dock.button.click()
    again = another_form(RestoreForm)
    assert (again.model.value, again.precision.value, again.tile.value) == ("tiny", "float32", "32")
    assert again.axes.value == "ZYX"


def test_preferences_changed_later_come_before_what_is_remembered(
    dock: RestoreDock, monkeypatch: pytest.MonkeyPatch, another_form: Callable[..., RestoreForm]
) -> None:
    from napari_baryir.widgets.dock import form as layer_form
    from napari_baryir.widgets.dock.settings import Defaults
    from napari_baryir.widgets.restore.form import RestoreForm

    def precision() -> str:
        return str(another_form(RestoreForm).precision.value)

    dock.form.precision.value = "float32"
    dock.form.remember()
    assert precision() == "float32"
    monkeypatch.setattr(layer_form, "defaults", lambda: Defaults(precision="bfloat16"))
    assert precision() == "bfloat16"


def test_streaming_never_replaces_what_is_there(dock: RestoreDock, tmp_path: Path) -> None:
    import dask.array as da

    there = tmp_path / "movie.ome.zarr"
    there.mkdir()
    dock.viewer.add_image(da.from_array(STACK))
    dock.form.lazy.value = "zarr"
    for target, said in ((there, "there already"), (tmp_path / "movie", "no name for OME-Zarr")):
        dock.form.target.value = target
        dock.button.click()
        assert dock.session.run is None
        assert said in dock.status.message.text()


def test_closed_dock_opens_anew_from_the_menu(viewer: Any, qtbot: QtBot, tmp_path: Path) -> None:
    from napari._app_model import get_app_model
    from qtpy.QtCore import QSettings

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))

    def open_from_menu() -> Any:
        get_app_model().commands.execute_command("napari-baryir.restore").result()
        return viewer.window._wrapped_dock_widgets["Restore (BaryIR)"]

    frame = open_from_menu()
    destroyed: list[bool] = []
    # No waitSignal: pytest-qt then disconnects from what is gone, of which PySide6 warns.
    frame.inner_widget().destroyed.connect(lambda: destroyed.append(True))
    frame.destroyOnClose()
    qtbot.waitUntil(lambda: bool(destroyed))
    viewer.add_image(STACK)
    assert open_from_menu().inner_widget().button.isEnabled()


def test_keys_are_bound_while_the_dock_is_open(dock: RestoreDock) -> None:
    keymap = dock.viewer.keymap

    def bound() -> bool:
        return "B" in {str(key) for key in keymap}

    dock.viewer.window._qt_window.show()
    assert bound()
    dock.hide()
    assert not bound()
    dock.show()
    assert bound()
    dock.viewer.window.remove_dock_widget(dock)
    assert not bound()


def test_a_key_that_another_plugin_bound_stays_its_own(dock: RestoreDock) -> None:
    from napari_baryir.widgets.restore.compare_panel import BoundKey

    def theirs(viewer: Any) -> None:
        """Somebody else's."""

    dock.viewer.bind_key("B", theirs, overwrite=True)
    key = BoundKey(dock.viewer, "B", lambda: None)
    key.bind()
    key.release()
    assert theirs in dock.viewer.keymap.values()


def cancel_in_tile(dock: RestoreDock, gate: Gate, qtbot: QtBot, tile: int) -> None:
    """Restore, and cancel while the network works on a tile, counted from 1."""
    gate.free = tile - 1
    dock.button.click()
    run = dock.session.run
    qtbot.waitUntil(lambda: gate.tiles == tile)
    dock.button.click()
    with qtbot.waitSignal(run.ended):
        gate.open.set()


def changed_planes(layer: Any) -> int:
    return sum(not np.array_equal(a, b) for a, b in zip(layer.data, STACK, strict=True))


def test_planes_of_a_cancelled_run_can_be_kept(dock: RestoreDock, gate: Gate, qtbot: QtBot) -> None:
    source = dock.viewer.add_image(STACK, name="stack")
    dock.form.tile.value = "whole"
    cancel_in_tile(dock, gate, qtbot, 3)
    assert list(dock.viewer.layers) == [source]
    assert not dock.keep_button.isHidden()
    assert dock.keep_button.text() == "Keep 3 of 4 planes"
    dock.keep_button.click()
    kept = dock.viewer.layers[-1]
    assert kept.name == "stack · 3 of 4 planes"
    assert changed_planes(kept) == 3
    assert dock.keep_button.isHidden()


def test_a_plane_that_is_restored_in_part_is_not_kept(
    dock: RestoreDock, gate: Gate, qtbot: QtBot
) -> None:
    dock.viewer.add_image(STACK, name="stack")
    # Tiles of 32 pixels, 4 a plane: all of a plane, and the upper half of the next.
    cancel_in_tile(dock, gate, qtbot, 7)
    assert dock.keep_button.text() == "Keep 1 of 4 planes"
    dock.keep_button.click()
    assert changed_planes(dock.viewer.layers[-1]) == 1


def test_question_marks_open_pages_that_exist(
    dock: RestoreDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtCore import QUrl
    from qtpy.QtGui import QDesktopServices

    from napari_baryir.widgets.estimate.dock import DegradationDock
    from napari_baryir.widgets.finetune.dock import FinetuneDock

    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    dock.help.click()
    urls = dict(each.split(", ") for each in metadata("napari-baryir").get_all("Project-URL"))
    address = urls["Documentation"].rstrip("/")
    assert opened == [QUrl(f"{address}/restore_dock/").toString()]
    pages = Path(__file__).parents[2] / "docs"
    assert all(
        (pages / each.page).is_file() for each in (type(dock), DegradationDock, FinetuneDock)
    )
