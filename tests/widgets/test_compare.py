"""Judging a result: strength, before and after, wipe, what was removed; the network runs once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest

from napari_baryir.restoration.engine import TileEngine
from napari_baryir.widgets.viewer.blending import LiveBlend, blend

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 4000, (40, 48), np.uint16)


def restore(dock: RestoreDock, qtbot: QtBot, data: Any = IMAGE, **properties: Any) -> Any:
    dock.viewer.add_image(data, name="cells", **properties)
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    return finished.args[0]


def test_strength_blends_without_running_again(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = restore(dock, qtbot, contrast_limits=(7, 3000))
    full = np.array(result.layer.data)
    monkeypatch.delattr(TileEngine, "change")
    dock.form.strength.value = 0.25
    np.testing.assert_array_equal(result.layer.data, blend(IMAGE, full, 0.25))
    assert result.layer.contrast_limits == [7, 3000]
    assert result.layer.metadata["napari_baryir"]["settings"]["strength"] == 0.25
    dock.form.strength.value = 0
    np.testing.assert_array_equal(result.layer.data, IMAGE)
    dock.form.strength.value = 1
    np.testing.assert_array_equal(result.layer.data, full)


def test_strength_that_was_set_before_holds_for_the_result(dock: RestoreDock, qtbot: QtBot) -> None:
    dock.viewer.add_image(IMAGE, name="cells")
    dock.form.strength.value = 0.5
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    result = finished.args[0]
    assert result.layer.metadata["napari_baryir"]["settings"]["strength"] == 0.5
    np.testing.assert_array_equal(result.layer.data, blend(IMAGE, result.restored[0], 0.5))


def test_large_results_follow_the_slider_live_and_settle_as_arrays(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.widgets.restore.compare.SMALL", 10)
    result = restore(dock, qtbot)
    expected = blend(IMAGE, result.restored[0], 0.3)
    comparison = dock.session.comparison
    comparison._timer.setInterval(10**6)
    dock.form.strength.value = 0.7
    dock.form.strength.value = 0.3
    assert isinstance(result.layer.data, LiveBlend)
    qtbot.waitUntil(lambda: np.array_equal(np.asarray(result.layer.data), expected))
    assert isinstance(result.layer.data, LiveBlend)
    with qtbot.waitSignal(comparison.settled):
        comparison._timer.start(0)
    assert type(result.layer.data) is np.ndarray
    np.testing.assert_array_equal(result.layer.data, expected)


def test_what_was_removed_follows_the_strength(dock: RestoreDock, qtbot: QtBot) -> None:
    result = restore(dock, qtbot)
    full = np.array(result.layer.data, int)
    with qtbot.waitSignal(dock.session.comparison.added):
        dock.compare.removed.click()
    removed = result.removed
    np.testing.assert_array_equal(removed.data, IMAGE.astype(int) - full)
    limits = removed.contrast_limits
    dock.form.strength.value = 0.5
    half = np.array(result.layer.data, int)
    assert not np.array_equal(half, full)
    qtbot.waitUntil(lambda: np.array_equal(removed.data, IMAGE.astype(int) - half))
    assert removed.contrast_limits == limits
    dock.viewer.layers.remove(removed)
    dock.form.strength.value = 0.75
    assert list(dock.viewer.layers) == [result.image_layer, result.layer]


def test_what_was_removed_from_an_earlier_result_follows_its_last_strength(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.widgets.restore.compare.SMALL", 0)  # settled in a thread
    first = restore(dock, qtbot)
    comparison = dock.session.comparison
    with qtbot.waitSignal(comparison.added):
        dock.compare.removed.click()
    full = np.array(first.layer.data)
    comparison.set_strength(0.5)
    comparison.show(None, 1.0)  # as when a new result comes while the old one settles
    expected = IMAGE.astype(int) - blend(IMAGE, full, 0.5)
    qtbot.waitUntil(lambda: np.array_equal(first.removed.data, expected))
    assert isinstance(first.layer.data, np.ndarray)


@pytest.mark.parametrize("kind", ["dask", "multiscale", "rgb"])
def test_every_kind_of_layer_blends_and_shows_what_was_removed(
    dock: RestoreDock, qtbot: QtBot, kind: str
) -> None:
    image = RNG.integers(0, 255, (64, 48, 3), np.uint8) if kind == "rgb" else IMAGE
    data = {"dask": da.from_array(IMAGE), "multiscale": [IMAGE, IMAGE[::2, ::2]], "rgb": image}
    result = restore(dock, qtbot, data[kind], rgb=kind == "rgb")
    full = np.asarray(result.restored[0])
    dock.form.strength.value = 0.5
    level = result.layer.data[0] if kind == "multiscale" else result.layer.data
    assert isinstance(level, da.Array) == (kind == "dask")
    np.testing.assert_array_equal(np.asarray(level), blend(image, full, 0.5))
    with qtbot.waitSignal(dock.session.comparison.added):
        dock.compare.removed.click()
    removed = result.removed
    assert removed.ndim == 2
    assert not removed.rgb
    values = np.asarray(removed.data[0] if kind == "multiscale" else removed.data)
    change = image.astype(float) - blend(image, full, 0.5)
    np.testing.assert_allclose(values, change.mean(-1) if kind == "rgb" else change, atol=1e-4)


@pytest.mark.parametrize("blending", ["translucent", "additive"])
def test_toggle_shows_before_and_after(dock: RestoreDock, qtbot: QtBot, blending: str) -> None:
    result = restore(dock, qtbot, blending=blending)
    assert result.layer.visible
    dock.compare.before.click()
    assert (result.image_layer.visible, result.layer.visible) == (True, False)
    dock.compare.before.click()
    assert result.layer.visible
    assert result.image_layer.visible == (blending == "translucent")


def test_copies_are_on_the_clipboard(dock: RestoreDock, qtbot: QtBot) -> None:
    from qtpy.QtWidgets import QApplication

    restore(dock, qtbot)
    dock.compare.copy_python.click()
    assert "Copied" in dock.status.message.text()
    assert "napari_baryir.restore(" in QApplication.clipboard().text()
    dock.compare.copy_command.click()
    assert "napari-baryir restore" in QApplication.clipboard().text()


def test_panel_goes_when_its_layers_go(dock: RestoreDock, qtbot: QtBot) -> None:
    assert dock.compare.isHidden()
    result = restore(dock, qtbot)
    assert not dock.compare.isHidden()
    dock.compare.wipe.setValue(30)
    dock.viewer.layers.remove(result.layer)
    assert dock.compare.isHidden()
    assert list(dock.viewer.layers) == [result.image_layer]


def test_result_replaced_before_it_settled_settles_all_the_same(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.widgets.restore.compare.SMALL", 10)
    result = restore(dock, qtbot)
    comparison = dock.session.comparison
    comparison._timer.setInterval(10**6)
    comparison.set_strength(0.3)
    assert isinstance(result.layer.data, LiveBlend)
    with qtbot.waitSignal(comparison.settled):
        comparison.show(None, 1.0)
    np.testing.assert_array_equal(result.layer.data, blend(IMAGE, result.restored[0], 0.3))
    assert type(result.layer.data) is np.ndarray


def test_closing_the_dock_settles_what_the_slider_left(
    dock: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.widgets.restore.compare.SMALL", 10)
    result = restore(dock, qtbot)
    dock.session.comparison._timer.setInterval(10**6)
    dock.form.strength.value = 0.3
    assert isinstance(result.layer.data, LiveBlend)
    dock.viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: type(result.layer.data) is np.ndarray)
    np.testing.assert_array_equal(result.layer.data, blend(IMAGE, result.restored[0], 0.3))


def test_hidden_original_comes_back_when_the_result_goes(dock: RestoreDock, qtbot: QtBot) -> None:
    result = restore(dock, qtbot, blending="additive")
    assert not result.image_layer.visible
    dock.viewer.layers.remove(result.layer)
    assert result.image_layer.visible


def test_a_new_result_lies_above_the_earlier_ones_which_are_hidden(
    dock: RestoreDock, qtbot: QtBot
) -> None:
    from napari_baryir.weights.cache import model_folder

    (model_folder() / "other.safetensors").write_bytes(
        (model_folder() / "tiny.safetensors").read_bytes()
    )
    first = restore(dock, qtbot)
    dock.viewer.add_image(IMAGE, name="somebody else's")
    dock.form.layer.value = first.image_layer
    dock.viewer.layers.selection.active = first.layer
    dock.form.strength.value = 0.41
    dock.form.refresh_models("other")
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    second = finished.args[0]
    names = [layer.name for layer in dock.viewer.layers]
    assert names == ["cells", "cells · tiny · 0.41", "cells · other · 0.41", "somebody else's"]
    assert (first.image_layer.visible, first.layer.visible, second.layer.visible) == (
        True,
        False,
        True,
    )
    qtbot.waitUntil(lambda: dock.viewer.layers.selection.active is second.layer)
    dock.form.strength.value = 1
    assert second.layer.name == "cells · other"
    second.layer.name = "mine"
    dock.form.strength.value = 0.5
    assert second.layer.name == "mine"


def test_a_part_covers_its_place_and_the_rest_stays_visible(
    dock: RestoreDock, qtbot: QtBot
) -> None:
    dock.viewer.add_image(np.stack([IMAGE, IMAGE]), name="stack", blending="additive")
    dock.form.region.value = "plane"
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    result = finished.args[0]
    assert result.image_layer.visible
    assert result.layer.visible
    assert result.layer.blending == "translucent"
    assert result.image_layer.blending == "additive"


def test_what_was_removed_is_one_layer_that_goes_with_its_result(
    dock: RestoreDock, qtbot: QtBot
) -> None:
    result = restore(dock, qtbot)
    comparison, button = dock.session.comparison, dock.compare.removed
    with qtbot.waitSignal(comparison.added):
        button.click()
    assert list(dock.viewer.layers) == [result.image_layer, result.layer, result.removed]
    button.click()
    assert list(dock.viewer.layers) == [result.image_layer, result.layer]
    with qtbot.waitSignal(comparison.added):
        button.click()
    dock.viewer.layers.remove(result.removed)  # by hand
    assert not button.isChecked()
    with qtbot.waitSignal(comparison.added):
        button.click()
    dock.viewer.layers.remove(result.layer)
    assert list(dock.viewer.layers) == [result.image_layer]
    assert not button.isChecked()
