"""The network, held at its tiles, for what happens meanwhile; and runs to wait for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from napari_baryir.degradation.estimator import EstimateEngine
from napari_baryir.restoration.engine import TileEngine

if TYPE_CHECKING:
    import pytest
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.dock.dock import RunDock
    from napari_baryir.widgets.estimate.dock import DegradationDock
    from napari_baryir.widgets.estimate.session import MapResult

PATIENCE_S = 120


class Gate:
    """Holds the network at every tile until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tiles = 0
        self.free = 0
        """Tiles that go through while it is closed."""
        self.reached = threading.Event()
        self.open = threading.Event()
        for engine, method in ((TileEngine, "change"), (EstimateEngine, "_run")):
            monkeypatch.setattr(engine, method, self._held(getattr(engine, method)))

    def _held(self, compute: Any) -> Any:
        def held(engine: Any, tile: Any) -> Any:
            self.tiles += 1
            self.reached.set()
            assert self.tiles <= self.free or self.open.wait(PATIENCE_S)
            return compute(engine, tile)

        return held


def start(dock: RunDock, gate: Gate, qtbot: QtBot) -> Any:
    """Start a run and wait until its first tile is in the network."""
    dock.button.click()
    run = dock.session.run
    qtbot.waitUntil(gate.reached.is_set)
    return run


def estimate(dock: DegradationDock, qtbot: QtBot) -> MapResult:
    """Click Estimate and wait for the maps."""
    dock.button.click()
    qtbot.waitUntil(lambda: dock.session.run is None)
    result = dock.session.result
    assert result is not None, dock.status.message.text()
    return result
