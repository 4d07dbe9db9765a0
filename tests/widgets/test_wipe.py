"""The split view: a line on the canvas, left of which the original is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, Qt
from test_compare import restore

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock

DARK = np.full((40, 48), 100, np.uint16)
BRIGHT = np.full((40, 48), 4000, np.uint16)


def drawn(dock: RestoreDock) -> NDArray[Any]:
    """Brightness of the canvas in its middle row, one value per column."""
    picture = dock.viewer.screenshot(flash=False, canvas_only=True)
    values: NDArray[Any] = picture[len(picture) // 2, :, :3].mean(-1)
    return values


@pytest.fixture
def result(dock: RestoreDock, qtbot: QtBot, request: pytest.FixtureRequest) -> Any:
    """A dark original under a bright result, turned and as large as the view."""
    blending = getattr(request, "param", "translucent")
    found = restore(dock, qtbot, DARK, contrast_limits=(0, 4000), rotate=30, blending=blending)
    found.layer.data = BRIGHT
    dock.viewer.window._qt_window.show()  # until then, the canvas has no size
    qtbot.waitUntil(lambda: dock.viewer.scene.camera.zoom != 1)
    dock.viewer.scene.camera.zoom = 100
    return found


def line(dock: RestoreDock) -> Any:
    return dock.session.comparison._wipe


@pytest.mark.parametrize("result", ["translucent", "additive"], indirect=True)
def test_original_is_left_of_the_line_and_the_result_right(dock: RestoreDock, result: Any) -> None:
    dock.compare.wipe.setValue(25)
    for zoom in (100, 150):  # the line stays where it is in the view
        dock.viewer.scene.camera.zoom = zoom
        row = drawn(dock)
        edge = len(row) // 4
        assert row[: edge - 2].max() < 20
        assert row[edge + 2 :].min() > 240
    dock.compare.wipe.setValue(75)
    assert (drawn(dock) < 20).mean() == pytest.approx(0.75, abs=0.02)
    dock.compare.wipe.setValue(0)
    assert drawn(dock).min() > 240
    assert line(dock) is None
    assert result.image_layer.visible == (result.layer.blending == "translucent")


def test_the_line_is_dragged_on_the_canvas(dock: RestoreDock, qtbot: QtBot, result: Any) -> None:
    before = list(dock.viewer.layers)
    dock.compare.wipe.setValue(50)
    width = line(dock).parent().width()
    assert line(dock).geometry().center().x() == pytest.approx(width / 2, abs=1)
    grip = line(dock).rect().center()
    qtbot.mousePress(line(dock), Qt.MouseButton.LeftButton, pos=grip)
    qtbot.mouseMove(line(dock), grip - QPoint(width // 4, 0))
    assert dock.compare.wipe.value() == pytest.approx(25, abs=1)
    assert (drawn(dock) < 20).mean() == pytest.approx(0.25, abs=0.02)
    assert list(dock.viewer.layers) == before
    qtbot.mouseMove(line(dock), grip - QPoint(width, 0))
    assert dock.compare.wipe.value() == 0
    assert line(dock) is None


def test_the_line_goes_with_the_result_and_with_the_dock(
    dock: RestoreDock, qtbot: QtBot, result: Any
) -> None:
    dock.compare.wipe.setValue(50)
    dock.viewer.dims.ndisplay = 3  # napari draws the layers anew
    dock.viewer.dims.ndisplay = 2
    dock.viewer.scene.camera.zoom = 100
    assert (drawn(dock) < 20).mean() == pytest.approx(0.5, abs=0.02)
    dock.compare.before.click()
    assert line(dock) is None
    dock.compare.before.click()
    dock.compare.wipe.setValue(50)
    dock.viewer.layers.remove(result.layer)
    assert line(dock) is None
    assert drawn(dock).max() < 20
