"""What all docks do alike: cancelling, closing, and leaving nothing behind."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from held_tiles import start
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from held_tiles import Gate
    from napari import Viewer
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.dock.dock import RunDock

STACK = np.random.default_rng(0).integers(0, 4000, (4, 40, 40), np.uint16)


@pytest.fixture(params=["dock", "map_dock"])
def any_dock(request: pytest.FixtureRequest) -> RunDock:
    """The Restore dock, then the Degradation map dock."""
    made: RunDock = request.getfixturevalue(request.param)
    return made


def test_a_second_dock_opens_in_a_tab_beside_the_first(
    dock: RunDock, map_dock: RunDock, qtbot: QtBot
) -> None:
    first, second = dock.parent(), map_dock.parent()
    window = first.parent()
    qtbot.waitUntil(lambda: second in window.tabifiedDockWidgets(first))


def test_a_dock_opens_beside_no_dock_of_somebody_else(viewer: Viewer, qtbot: QtBot) -> None:
    from napari_baryir.widgets.estimate.dock import DegradationDock

    other = viewer.window.add_dock_widget(QWidget(), name="other")
    dock = DegradationDock(viewer)
    with qtbot.waitSignal(dock._framed.timeout):
        viewer.window.add_dock_widget(dock, name="dock")
    frame = dock.parent()
    assert frame.parent().dockWidgetArea(frame) == frame.parent().dockWidgetArea(other)
    assert frame.parent().tabifiedDockWidgets(other) == []


def test_cancel_stops_within_the_tile_in_work(any_dock: RunDock, gate: Gate, qtbot: QtBot) -> None:
    word = any_dock.button.text()
    source = any_dock.viewer.add_image(STACK)
    run = start(any_dock, gate, qtbot)
    assert any_dock.button.text() == "Cancel"
    any_dock.button.click()
    assert "Cancelling" in any_dock.status.message.text()
    with qtbot.waitSignal(run.ended):
        gate.open.set()
    assert gate.tiles == 1
    assert list(any_dock.viewer.layers) == [source]
    assert any_dock.button.text() == word
    assert "Cancelled" in any_dock.status.message.text()


def test_layer_removed_during_the_run_ends_it(any_dock: RunDock, gate: Gate, qtbot: QtBot) -> None:
    source = any_dock.viewer.add_image(STACK)
    run = start(any_dock, gate, qtbot)
    any_dock.viewer.layers.remove(source)
    with qtbot.waitSignal(run.ended):
        gate.open.set()
    assert run.state == "cancelled"
    assert gate.tiles == 1
    assert len(any_dock.viewer.layers) == 0
    assert not any_dock.button.isEnabled()
    assert "Open an image" in any_dock.status.message.text()


def test_closing_the_dock_ends_the_run(any_dock: RunDock, gate: Gate, qtbot: QtBot) -> None:
    any_dock.viewer.add_image(STACK)
    run = start(any_dock, gate, qtbot)
    any_dock.viewer.window.remove_dock_widget(any_dock)
    with qtbot.waitSignal(run.ended):
        gate.open.set()
    assert run.state == "cancelled"
    assert gate.tiles == 1
    any_dock.viewer.dims.set_current_step(0, 1)  # nobody listens any more


def test_closing_the_viewer_ends_the_run(
    any_dock: RunDock, gate: Gate, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_baryir.widgets.dock.run import TileWorker

    quit_ = TileWorker.quit

    def told_to_quit(worker: Any) -> None:
        quit_(worker)
        gate.open.set()  # before, the tile in work does not end

    monkeypatch.setattr(TileWorker, "quit", told_to_quit)
    any_dock.viewer.add_image(STACK)
    run = start(any_dock, gate, qtbot)
    ended: list[str] = []
    run.ended.connect(lambda: ended.append(run.state))
    any_dock.viewer.close()
    qtbot.waitUntil(lambda: bool(ended))
    assert ended == ["cancelled"]
    assert gate.tiles == 1


@pytest.mark.parametrize("kind", ["restore", "estimate"])
def test_nothing_of_a_closed_dock_stays_in_memory(viewer: Any, qtbot: QtBot, kind: str) -> None:
    def opened() -> list[weakref.ref[Any]]:
        from napari_baryir.widgets.estimate.dock import DegradationDock
        from napari_baryir.widgets.restore.dock import RestoreDock

        dock = (RestoreDock if kind == "restore" else DegradationDock)(viewer)
        viewer.window.add_dock_widget(dock, name="dock")
        destroyed: list[bool] = []
        dock.destroyed.connect(lambda: destroyed.append(True))
        parts = [dock, dock.form, dock.session, dock.status]
        parts += [dock.summary, dock.compare, dock.batch] if kind == "restore" else [dock.panel]
        viewer.window.remove_dock_widget(dock)
        qtbot.waitUntil(lambda: bool(destroyed))
        return [weakref.ref(part) for part in parts]

    parts = opened()
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)
