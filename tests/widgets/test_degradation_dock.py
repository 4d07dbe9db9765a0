"""The Degradation map dock's behaviour: running, cancelling, closing, errors, remembering."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from held_tiles import start

from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import save_weights

if TYPE_CHECKING:
    from held_tiles import Gate
    from pytestqt.qtbot import QtBot

    from napari_baryir.network import BaryIR
    from napari_baryir.widgets.estimate.dock import DegradationDock

STACK = np.random.default_rng(0).integers(0, 4000, (4, 40, 40), np.uint16)


def test_button_adds_maps_and_says_what_was_found(map_dock: DegradationDock, qtbot: QtBot) -> None:
    image = map_dock.viewer.add_image(STACK, name="cells")
    assert map_dock.panel.isHidden()
    with qtbot.waitSignal(map_dock.session.finished):
        map_dock.button.click()
        assert map_dock.button.text() == "Cancel"
    assert map_dock.button.text() == "Estimate"
    names = [layer.name for layer in map_dock.viewer.layers]
    assert names == ["cells", "cells severity", "cells domains"]
    assert map_dock.viewer.layers.selection.active is image
    assert map_dock.status.message.text().startswith("Estimated with calibrated on cpu")
    assert not map_dock.panel.isHidden()
    summary = map_dock.session.result.estimate.summary[map_dock.viewer.dims.current_step[0]]
    assert list(map_dock.panel.legend.rows) == ["noise", "haze", "clean", "unknown"]
    shares = {domain: row.share for domain, row in map_dock.panel.legend.rows.items()}
    legend = map_dock.panel.legend  # bars give way, so that the dock need not become wider
    assert legend.minimumSizeHint().width() == legend.rows["noise"].minimumSizeHint().width()
    assert shares == pytest.approx(dict(summary))
    assert sum(shares.values()) == pytest.approx(1)
    most = next(domain for domain in summary if domain != "clean")
    assert f"{most} {round(100 * summary[most])} %" in map_dock.panel.headline.text()


def test_run_waits_for_one_of_another_dock(
    map_dock: DegradationDock, gate: Gate, qtbot: QtBot
) -> None:
    from napari_baryir.widgets.estimate.dock import DegradationDock

    map_dock.viewer.add_image(STACK)
    run = start(map_dock, gate, qtbot)
    other = DegradationDock(map_dock.viewer)
    map_dock.viewer.window.add_dock_widget(other, name="another")
    other.form.model.value = "calibrated"
    other.button.click()
    assert other.session.run.state == "waiting"
    assert "Waiting for 1 other run" in other.status.message.text()
    with qtbot.waitSignals([run.ended, other.session.run.ended]):
        gate.open.set()
    assert len(map_dock.viewer.layers) == 5


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("labels", "is a labels layer"),
        ("complex", "complex64 cannot be estimated"),
        ("line", "has 1 dimension"),
    ],
)
def test_unsuitable_layers_say_why_before_running(
    map_dock: DegradationDock, layer: str, said: str
) -> None:
    assert "Open an image" in map_dock.status.message.text()
    if layer == "labels":
        map_dock.viewer.add_labels(np.ones((8, 8), int))
    else:
        # napari itself refuses to draw these, but other plugins may make such layers.
        made = map_dock.viewer.add_image(np.zeros((8, 8), np.float32))
        data = np.zeros((8, 8), np.complex64) if layer == "complex" else np.zeros(8)
        from unittest.mock import patch

        with patch("napari_baryir.widgets.viewer.regions.level_0", lambda _: data):
            map_dock.form.refresh_layers()
            map_dock.form.axes.value = ""
            map_dock.form.changed.emit()
            assert said in map_dock.status.message.text()
            assert not map_dock.button.isEnabled()
        assert made in map_dock.viewer.layers
        return
    assert said in map_dock.status.message.text()
    assert not map_dock.button.isEnabled()


def test_weights_without_calibration_say_what_to_do(
    map_dock: DegradationDock, qtbot: QtBot, tiny_model: BaryIR
) -> None:
    save_weights(tiny_model, model_folder() / "plain.safetensors")
    map_dock.form.refresh_models("plain")
    map_dock.viewer.add_image(STACK)
    with qtbot.waitSignal(map_dock.session.failed):
        map_dock.button.click()
    said = map_dock.status.message.text()
    assert "not calibrated" in said
    assert "napari-baryir calibrate" in said
    assert len(map_dock.viewer.layers) == 1
    assert map_dock.button.isEnabled()


def test_settings_are_remembered_apart_from_the_restore_docks(
    map_dock: DegradationDock, qtbot: QtBot, another_form: Callable[..., Any]
) -> None:
    from napari_baryir.widgets.estimate.form import EstimateForm
    from napari_baryir.widgets.restore.form import RestoreForm

    map_dock.viewer.add_image(STACK)
    map_dock.form.region.value = "plane"
    map_dock.form.parts.value = "differences"
    with qtbot.waitSignal(map_dock.session.finished):
        map_dock.button.click()
    again, other = (another_form(each) for each in (EstimateForm, RestoreForm))
    assert (again.model.value, again.region.value) == ("calibrated", "plane")
    assert again.parts.value == "differences"
    assert other.region.value == "layer"


def test_panel_follows_the_selected_layer_and_forgets_removed_maps(
    map_dock: DegradationDock, qtbot: QtBot
) -> None:
    images = [map_dock.viewer.add_image(STACK[i], name=f"image {i}") for i in range(2)]
    results = []
    for image in images:
        map_dock.form.layer.value = image
        with qtbot.waitSignal(map_dock.session.finished) as finished:
            map_dock.button.click()
        results.append(finished.args[0])
    assert map_dock.session.result is results[1]
    map_dock.viewer.layers.selection.active = results[0].severity
    assert map_dock.session.result is results[0]
    assert "image 0" in map_dock.panel.title()
    map_dock.viewer.layers.remove(results[0].domains)
    assert map_dock.session.result is results[1]
    map_dock.viewer.layers.remove(results[1].severity)
    assert map_dock.panel.isHidden()
