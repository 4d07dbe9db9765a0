"""Lazy results on the screen: restored in a thread, drawn when they are there, right for others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from gui_clock import Clock

from napari_baryir.errors import DeviceError
from napari_baryir.restoration.engine import TileEngine
from napari_baryir.widgets.viewer.blending import blend

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock

STACK = np.random.default_rng(0).integers(0, 4000, (6, 40, 40), np.uint16)


class Tiles:
    """The tiles that went through the network, in which threads; held while `open` is not set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[int] = []
        self.reached = threading.Event()
        self.open = threading.Event()
        self.open.set()
        change = TileEngine.change

        def seen(engine: TileEngine, tile: Any) -> Any:
            self.threads.append(threading.get_ident())
            self.reached.set()
            self.open.wait()
            return change(engine, tile)

        monkeypatch.setattr(TileEngine, "change", seen)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiles]:
    made = Tiles(monkeypatch)
    yield made
    made.open.set()


def drawn(layer: Any) -> np.ndarray:
    """What napari draws of a layer now."""
    return np.asarray(layer._slice.image.raw)


def restore(
    dock: RestoreDock, qtbot: QtBot, data: Any, *, tile: str = "whole", **properties: Any
) -> Any:
    dock.viewer.add_image(data, name="cells", **properties)
    dock.viewer.dims.set_current_step(0, 0)
    dock.form.tile.value = tile
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    return finished.args[0]


def wait_until_idle(qtbot: QtBot, result: Any) -> None:
    """Wait until nothing that is in view has to be restored."""
    qtbot.waitUntil(lambda: not result.seen[0].is_busy)


def differ_by(values: Any, expected: Any) -> float:
    """Largest difference; up to one grey value comes from sums over other numbers of threads."""
    if np.shape(values) != np.shape(expected):
        return np.inf
    return float(np.abs(np.asarray(values, float) - np.asarray(expected, float)).max())


def wait_until_drawn(qtbot: QtBot, layer: Any, expected: Any) -> None:
    qtbot.waitUntil(lambda: differ_by(drawn(layer), expected) <= 1)


def test_plane_in_view_is_restored_in_a_thread_and_then_drawn(
    dock: RestoreDock, qtbot: QtBot, tiles: Tiles
) -> None:
    result = restore(dock, qtbot, da.from_array(STACK, chunks=(1, 40, 40)))
    expected = result.restored[0].compute(scheduler="sync")
    tiles.threads.clear()
    wait_until_drawn(qtbot, result.layer, expected[0])
    dock.viewer.dims.set_current_step(0, 4)
    wait_until_drawn(qtbot, result.layer, expected[4])
    assert len(tiles.threads) >= 2
    assert threading.get_ident() not in tiles.threads
    assert not np.array_equal(expected, STACK)


def test_until_then_the_original_is_drawn_and_others_get_the_right_values(
    dock: RestoreDock, qtbot: QtBot, tiles: Tiles
) -> None:
    result = restore(dock, qtbot, da.from_array(STACK, chunks=(1, 40, 40)))
    expected = result.restored[0].compute(scheduler="sync")
    tiles.open.clear()
    dock.viewer.dims.set_current_step(0, 3)
    wait_until_drawn(qtbot, result.layer, STACK[3])
    tiles.open.set()
    shown = result.layer.data
    assert isinstance(shown, da.Array)
    for values in (shown[3].compute(), np.asarray(shown[2:5])[1], np.asarray(shown)[3]):
        assert differ_by(values, expected[3]) <= 1
    assert differ_by(np.asarray(shown[5]), expected[5]) <= 1  # not in view
    assert differ_by(shown[[3, 1]], expected[[3, 1]]) <= 1
    wait_until_drawn(qtbot, result.layer, expected[3])


def test_planes_that_one_scrolled_past_are_not_restored(
    dock: RestoreDock, qtbot: QtBot, tiles: Tiles
) -> None:
    result = restore(dock, qtbot, da.from_array(STACK, chunks=(1, 40, 40)))
    expected = result.restored[0].compute(scheduler="sync")
    wait_until_drawn(qtbot, result.layer, expected[0])
    tiles.threads.clear()
    tiles.reached.clear()
    tiles.open.clear()
    dock.viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(tiles.reached.is_set)
    for step in (2, 3, 4, 5):
        dock.viewer.dims.set_current_step(0, step)
    tiles.open.set()
    wait_until_drawn(qtbot, result.layer, expected[5])
    wait_until_idle(qtbot, result)
    assert len(tiles.threads) == 2  # of planes 1 and 5


def test_seen_planes_are_drawn_at_once_and_follow_the_slider_without_the_network(
    dock: RestoreDock, qtbot: QtBot, tiles: Tiles
) -> None:
    result = restore(dock, qtbot, da.from_array(STACK, chunks=(1, 40, 40)))
    expected = result.restored[0].compute(scheduler="sync")
    for step in (0, 1):
        dock.viewer.dims.set_current_step(0, step)
        wait_until_drawn(qtbot, result.layer, expected[step])
    tiles.threads.clear()
    dock.viewer.dims.set_current_step(0, 0)
    assert differ_by(drawn(result.layer), expected[0]) <= 1
    dock.form.strength.value = 0.5
    half = blend(STACK, expected, 0.5)
    assert differ_by(drawn(result.layer), half[0]) <= 1
    with qtbot.waitSignal(dock.session.comparison.added):
        dock.compare.removed.click()
    removed = dock.session.comparison.result.removed
    assert differ_by(drawn(removed), STACK[0].astype(float) - half[0]) <= 1
    assert tiles.threads == []
    assert differ_by(result.layer.data[2], half[2]) <= 1


@pytest.mark.parametrize("kind", ["rgb", "multiscale", "pyramid", "volume"])
def test_every_kind_of_lazy_layer_is_drawn_restored(
    dock: RestoreDock, qtbot: QtBot, kind: str, tiles: Tiles
) -> None:
    image = np.random.default_rng(1).integers(0, 255, (2, 48, 64, 3), np.uint8)
    data: Any = da.from_array(image, chunks=(1, 48, 64, 3))
    if kind == "multiscale":
        data = [da.from_array(STACK), da.from_array(STACK[:, ::2, ::2])]
    if kind == "pyramid":
        data = [da.from_array(STACK[0]), da.from_array(STACK[0, ::2, ::2])]
    if kind == "volume":
        dock.viewer.dims.ndisplay = 3
        data = da.from_array(STACK)
    result = restore(dock, qtbot, data, rgb=kind == "rgb")
    whole = kind in ("pyramid", "volume")
    expected = [level.compute(scheduler="sync") for level in result.restored]

    def is_drawn() -> bool:
        values = expected[result.layer.data_level]
        return differ_by(drawn(result.layer), values if whole else values[0]) <= 1

    qtbot.waitUntil(is_drawn)
    level = result.layer.data_level
    shown = result.layer.data[level] if result.layer.multiscale else result.layer.data
    assert differ_by(shown, expected[level]) <= 1


def test_removing_the_layer_stops_within_a_tile(
    dock: RestoreDock, qtbot: QtBot, tiles: Tiles
) -> None:
    tiles.open.clear()
    dock.viewer.add_image(da.from_array(STACK), name="cells")
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    result = finished.args[0]
    qtbot.waitUntil(tiles.reached.is_set)
    with qtbot.waitSignal(result.seen[0].busy) as busy:
        dock.viewer.layers.remove(result.layer)
        tiles.open.set()
    assert busy.args == [False]
    assert len(tiles.threads) == 1  # of four


def test_failure_is_said_once_and_the_original_stays(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_baryir.widgets.dock import seen

    def broken(engine: TileEngine, tile: Any) -> Any:
        raise DeviceError("the device fell asleep; wake it")

    told: list[str] = []
    monkeypatch.setattr(seen, "notify", lambda problem: told.append(problem.sentence))
    monkeypatch.setattr(TileEngine, "change", broken)
    result = restore(dock, qtbot, da.from_array(STACK, chunks=(1, 40, 40)))
    for step in (0, 1, 2):
        dock.viewer.dims.set_current_step(0, step)
        wait_until_idle(qtbot, result)
        np.testing.assert_array_equal(drawn(result.layer), STACK[step])
    assert told == ["The device fell asleep; wake it."]


def test_asynchronous_slicing_of_napari_draws_it_too(
    dock: RestoreDock, qtbot: QtBot, tiles: Tiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.settings import get_settings

    monkeypatch.setattr(get_settings().experimental, "async_", True)
    result = restore(dock, qtbot, da.from_array(STACK, chunks=(1, 40, 40)))
    expected = result.restored[0].compute(scheduler="sync")
    tiles.threads.clear()
    dock.viewer.dims.set_current_step(0, 2)
    wait_until_drawn(qtbot, result.layer, expected[2])
    assert threading.get_ident() not in tiles.threads


def test_scrolling_does_not_wait_for_the_network(
    dock: RestoreDock, qtbot: QtBot, tiles: Tiles
) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (3, 1024, 1024), np.uint16)
    tiles.open.clear()
    lazy = da.from_array(image, chunks=(1, 512, 512))
    result = restore(dock, qtbot, lazy, tile="256")
    qtbot.waitUntil(tiles.reached.is_set)  # in the network from now on
    with Clock() as clock:
        for step in (1, 2, 0):
            dock.viewer.dims.set_current_step(0, step)
            qtbot.waitUntil(lambda at=step: np.array_equal(drawn(result.layer), image[at]))
            qtbot.wait(50)
    clock.check()
    assert len(tiles.threads) == 1
    dock.viewer.layers.remove(result.layer)  # the other tiles need not be waited for
