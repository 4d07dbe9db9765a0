"""How the Restore dock sits in its window: it opens soon, never blocks, and is wide enough."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gui_clock import LIMIT, Clock

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock


STACK = np.random.default_rng(0).integers(0, 4000, (4, 40, 40), np.uint16)


def test_window_is_never_blocked(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For 100 ms; on slow computers, not for much longer than napari takes to add a layer.

    What is ours takes at most half of that, on any computer.
    """
    image = np.random.default_rng(0).integers(0, 4000, (2048, 2048), np.uint16)
    for _ in range(2):  # the first one takes longer
        begin = time.thread_time()
        dock.viewer.add_image(image)
        adding = time.thread_time() - begin
    inserted: list[float] = []
    insert = type(dock.viewer.layers).insert

    def timed(layers: Any, *place: Any) -> None:
        begin = time.thread_time()
        insert(layers, *place)
        inserted.append(time.thread_time() - begin)

    monkeypatch.setattr(type(dock.viewer.layers), "insert", timed)
    dock.form.tile.value = "512"
    with Clock() as clock, qtbot.waitSignal(dock.session.finished, timeout=250_000):
        dock.button.click()
    logging.getLogger(__name__).info(
        "napari took %.0f ms to add a layer, then %s ms", 1000 * adding, 1000 * np.array(inserted)
    )
    assert len(inserted) == 1
    clock.check(max(LIMIT, 1.5 * max(adding, *inserted)))  # it varies from time to time
    assert clock.longest()[0] - inserted[0] < LIMIT / 2


def test_dragging_strength_and_split_view_never_blocks_the_window(
    dock: RestoreDock, qtbot: QtBot
) -> None:
    """In ten steps each, as fast as the window takes them."""
    from qtpy.QtTest import QTest

    from napari_baryir.widgets.restore.compare import Result
    from napari_baryir.widgets.viewer import layers
    from napari_baryir.widgets.viewer.blending import blend
    from napari_baryir.widgets.viewer.regions import Box

    image = np.random.default_rng(0).integers(0, 4000, (2048, 2048), np.uint16)
    restored, comparison = image[::-1].copy(), dock.session.comparison
    source, box = dock.viewer.add_image(image), Box((slice(0, 2048),) * 2, whole=True)
    record = {"kind": "restored", "source": "a", "model": "b", "settings": {"strength": 1.0}}
    layer = layers.add_result(dock.viewer, source, box, restored, name="a · b", record=record)
    result = Result(source, layer, box, "YX", [image], [restored])
    comparison.show(result, 1.0)
    with Clock() as clock, qtbot.waitSignal(comparison.settled):
        for step in range(1, 11):
            dock.form.strength.value = 1 - step / 20
            QTest.qWait(30)
    clock.check()
    np.testing.assert_array_equal(layer.data, blend(image, restored, 0.5))
    with Clock() as clock:
        for step in range(1, 11):
            dock.compare.wipe.setValue(5 * step)
            QTest.qWait(30)
    clock.check()
    assert comparison.wipe == 0.5


def test_long_names_keep_their_ends_and_are_whole_in_the_tooltip(dock: RestoreDock) -> None:
    names = [f"cells of the first day, {end}" for end in ("degraded", "clean")]
    for name in names:
        dock.viewer.add_image(STACK, name=name)
    shown = dock.form.layer.native
    texts = {shown.itemText(i) for i in range(shown.count())}
    assert len(texts) == 2
    assert all(len(text) < 25 for text in texts)
    assert any(text.endswith("degraded") for text in texts)
    assert names[1] in dock.form.layer.tooltip


def test_dock_opens_without_torch() -> None:
    code = "import sys; import napari_baryir.widgets.restore.dock; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OPENING = """
import os
import sys
import napari
from gui_clock import own_time
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=False)
QApplication.processEvents()
begin = own_time()
viewer.window.add_plugin_dock_widget("napari-baryir", "Restore")
QApplication.processEvents()
sys.stdout.write(str(own_time() - begin))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.usefixtures("qapp")  # that is, where there is a screen
def test_dock_opens_in_less_than_a_second() -> None:
    """In new processes, with all files read before; waiting for a busy computer left out."""
    took = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", OPENING],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        assert done.returncode == 0, done.stderr
        took.append(float(done.stdout))
        if took[-1] < 1:
            return
    pytest.fail(f"the dock took {min(took):.1f} s to open")


def test_the_page_is_as_wide_as_its_content_in_any_font(dock: RestoreDock, qtbot: QtBot) -> None:
    dock.viewer.window._qt_window.show()
    page = dock.tabs.widget(0)
    buttons = dock.models
    before = page.minimumWidth()
    assert before > buttons.minimumSizeHint().width()
    dock.setStyleSheet("* {font-size: 24pt}")
    qtbot.waitUntil(lambda: page.minimumWidth() > buttons.minimumSizeHint().width() > before)
