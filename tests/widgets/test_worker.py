"""Runs in real threads, with generators that do what the test needs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from napari_baryir.errors import InputError
from napari_baryir.restoration.results import Progress
from napari_baryir.widgets.dock.status import describe
from napari_baryir.widgets.dock.steps import Failed, Step
from napari_baryir.widgets.restore.job import Done

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.dock.run import Run


PATIENCE_S = 120
"""A test that failed before it let its tiles go must not hold the thread for ever."""


class Tiles:
    """A generator of tiles that wait to be let go."""

    def __init__(self, total: int, *, held: bool = False, error: Exception | None = None) -> None:
        self.total = total
        self.error = error
        self.done = 0
        self.closed_in: int | None = None
        self.go = threading.Event()
        self.over = threading.Event()
        if not held:
            self.go.set()

    def steps(self) -> Generator[Step, None, Any]:
        try:
            for done in range(self.total + 1):
                self.done = done
                yield Step(Progress(done, self.total, 0, 1), None)
                assert self.go.wait(PATIENCE_S)
            if self.error is not None:
                return Failed(self.error)
            return Done(SimpleNamespace(), "data", "original")
        finally:
            self.closed_in = threading.get_ident()
            self.over.set()


def make_run(tiles: Tiles, title: str = "a run") -> Run:
    from napari_baryir.widgets.dock.run import Run

    return Run(tiles.steps(), title)


def test_run_steps_then_ends_on_the_gui_thread(qtbot: QtBot) -> None:
    tiles, seen, threads = Tiles(3), [], set()
    run = make_run(tiles)
    run.stepped.connect(lambda step: (seen.append(step.progress.done), threads.add(_here())))
    with qtbot.waitSignal(run.ended):
        run.start()
    assert run.state == "done"
    assert seen == [0, 1, 2, 3]
    assert threads == {_here()}
    assert tiles.closed_in != _here()


def _here() -> int:
    return threading.get_ident()


def test_failure_is_an_outcome_and_no_traceback(qtbot: QtBot) -> None:
    run = make_run(Tiles(1, error=InputError("axes are wrong")))
    with qtbot.waitSignal(run.ended):
        run.start()
    assert run.state == "failed"
    assert isinstance(run.outcome, Failed)


def test_cancel_stops_within_one_tile_and_closes_in_the_worker(qtbot: QtBot) -> None:
    tiles = Tiles(100, held=True)
    run = make_run(tiles)
    with qtbot.waitSignal(run.stepped):
        run.start()
    run.cancel()
    assert run.state == "cancelling"
    with qtbot.waitSignal(run.ended):
        tiles.go.set()
    assert run.state == "cancelled"
    assert run.outcome is None
    assert tiles.done <= 1
    assert tiles.closed_in not in (None, _here())


def test_the_first_run_of_a_process_says_that_it_loads_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run: Any = SimpleNamespace(state="running", latest=None)
    assert describe(run, 0) == "Loading the model and looking at the image…"
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        text = describe(run, 0)
    assert text.startswith("Loading PyTorch (the first time only), then the model")


def test_runs_queue_and_a_waiting_one_can_be_cancelled(qtbot: QtBot) -> None:
    from napari_baryir.widgets.dock.run import RunQueue

    first, second, third = Tiles(2, held=True), Tiles(2), Tiles(2)
    runs = [make_run(tiles) for tiles in (first, second, third)]
    queue = RunQueue()
    with qtbot.waitSignal(runs[0].stepped):
        for run in runs:
            queue.submit(run)
    assert [run.state for run in runs] == ["running", "waiting", "waiting"]
    assert [queue.ahead_of(run) for run in runs] == [0, 1, 2]
    runs[1].cancel()
    assert [run.state for run in runs] == ["running", "cancelled", "waiting"]
    with qtbot.waitSignal(runs[2].ended):
        first.go.set()
    assert [run.state for run in runs] == ["done", "cancelled", "done"]
    assert second.done == 0
    assert queue.current is None


def test_activity_bar_counts_tiles_and_its_cancel_cancels(qtbot: QtBot) -> None:
    from napari.utils import progress

    tiles = Tiles(5, held=True)
    run = make_run(tiles, "Restoring cells")
    with qtbot.waitSignal(run.stepped):
        run.start()
    qtbot.waitUntil(lambda: any(str(bar) for bar in progress._all_instances))
    (bar,) = (bar for bar in progress._all_instances if "Restoring cells" in bar.desc)
    assert bar.total == 5
    bar.cancel()
    with qtbot.waitSignal(run.ended):
        tiles.go.set()
    assert run.state == "cancelled"
    assert bar not in progress._all_instances
    assert tiles.done < 5


class GreedyBar:
    """Lets Qt handle what waits whenever it is drawn, as napari's does."""

    deepest = 0
    depth = 0

    def __init__(self, **_: Any) -> None:
        self.n = 0
        self._draw()

    def update(self, more: int) -> None:
        self.n += more
        self._draw()

    def close(self) -> None:
        pass

    def _draw(self) -> None:
        from qtpy.QtWidgets import QApplication

        GreedyBar.depth += 1
        GreedyBar.deepest = max(GreedyBar.deepest, GreedyBar.depth)
        QApplication.processEvents()
        GreedyBar.depth -= 1


def test_steps_that_wait_for_the_window_are_not_drawn_within_each_other(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_baryir.widgets.dock import run as worker

    monkeypatch.setattr(worker, "_Bar", GreedyBar)
    monkeypatch.setattr(GreedyBar, "deepest", 0)
    tiles, seen = Tiles(200), []
    run = make_run(tiles)
    run.stepped.connect(lambda step: seen.append(step.progress.done))
    run.start()
    assert tiles.over.wait(PATIENCE_S)  # all steps wait now
    with qtbot.waitSignal(run.ended):
        pass
    assert run.state == "done"
    assert seen == list(range(201))
    assert GreedyBar.deepest == 1


def test_parts_that_are_counted_apart_have_a_bar_each(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_baryir.widgets.dock import run as worker

    bars: list[Any] = []

    class Bar(worker._Bar):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            bars.append(self)

    monkeypatch.setattr(worker, "_Bar", Bar)

    def steps() -> Generator[Step, None, Any]:
        for done, total in [(1, 3), (3, 3), (0, 50), (20, 50), (50, 50), (1, 50), (2, 50)]:
            yield Step(Progress(done, total, 0, 1), None)
            time.sleep(0.1)  # the window is faster than that: no step is passed over
        return Done(SimpleNamespace(), "data", "original")

    run = worker.Run(steps(), "parts")
    with qtbot.waitSignal(run.ended):
        run.start()
    assert [(bar.total, bar.n) for bar in bars] == [(3, 3), (50, 50), (50, 2)]
