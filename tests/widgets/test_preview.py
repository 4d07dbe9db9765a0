"""A part around the middle of the view is restored before any run, and shown split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_baryir import restore
from napari_baryir.widgets.viewer import layers, regions

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock

STACK = np.random.default_rng(0).integers(0, 4000, (3, 60, 80), np.uint16)


@pytest.fixture(autouse=True)
def small_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "HERE", 24)


def preview(dock: RestoreDock, qtbot: QtBot) -> Any:
    with qtbot.waitSignal(dock.session.previewed) as previewed:
        dock.preview_button.click()
    return previewed.args[0]


def test_preview_is_the_whole_run_s_crop_around_the_view(dock: RestoreDock, qtbot: QtBot) -> None:
    source = dock.viewer.add_image(STACK, name="cells", scale=(1, 2, 2), translate=(0, 5, 7))
    dock.viewer.dims.set_current_step(0, 1)
    dock.viewer.scene.camera.center = (0, 5 + 2 * 30, 7 + 2 * 50)
    result = preview(dock, qtbot)
    assert result.box.bounds == [[1, 2], [18, 42], [38, 62]]
    settings = {"model": "tiny", "device": "cpu", "tile": "whole", "axes": "ZYX"}
    whole = restore(STACK, **settings).image[result.box.slices]
    difference = np.abs(result.layer.data.astype(int) - whole)
    assert difference.max() < 0.03 * 4000
    assert not np.array_equal(whole, STACK[result.box.slices])
    place = (*source.data_to_world((1, 18, 38)),)
    np.testing.assert_allclose(result.layer.data_to_world((0, 0, 0)), place)
    assert dock.compare.title() == "Preview"
    assert dock.compare.wipe.value() == 50
    assert dock.compare.save.isHidden()
    assert "Preview in" in dock.status.message.text()
    assert source.visible


def test_a_preview_is_replaced_by_the_next_and_goes_when_a_run_starts(
    dock: RestoreDock, qtbot: QtBot
) -> None:
    source = dock.viewer.add_image(STACK, name="cells")
    first = preview(dock, qtbot)
    dock.viewer.scene.camera.center = (0, 20, 20)
    second = preview(dock, qtbot)
    assert first.box != second.box
    assert list(dock.viewer.layers) == [source, second.layer]
    assert dock.form.layer.choices == (source,)
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
        assert list(dock.viewer.layers) == [source]
    assert layers.kind_of(finished.args[0].layer) == "restored"
    assert dock.compare.title() == "Result"
    assert not dock.compare.save.isHidden()
    assert dock.compare.wipe.value() == 0


def test_a_preview_near_the_edge_stays_inside(dock: RestoreDock, qtbot: QtBot) -> None:
    dock.viewer.add_image(STACK[0, :20])
    dock.viewer.scene.camera.center = (0, 5, 79)
    dock.viewer.scene.camera.zoom = 100
    assert preview(dock, qtbot).box.bounds == [[0, 20], [56, 80]]


def test_what_cannot_be_previewed_is_told(dock: RestoreDock) -> None:
    assert not dock.preview_button.isEnabled()
    dock.viewer.add_image(STACK)
    assert dock.preview_button.isEnabled()
    dock.viewer.dims.order = (1, 0, 2)
    dock.preview_button.click()
    assert "one plane" in dock.status.message.text()
    assert dock.session.run is None
