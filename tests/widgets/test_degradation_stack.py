"""Stacks and lazy layers: the plot along the stack, the slider, values under the cursor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from held_tiles import estimate, start
from qtpy.QtCore import QPoint, Qt

from napari_baryir.degradation.estimator import EstimateEngine
from napari_baryir.widgets.estimate.maps import PENDING

if TYPE_CHECKING:
    from held_tiles import Gate
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.estimate.dock import DegradationDock

MOVIE = np.random.default_rng(0).integers(0, 4000, (5, 40, 48), np.uint16)


def click_plane(dock: DegradationDock, qtbot: QtBot, plane: int) -> None:
    """Click the middle of a plane's bar."""
    plot = dock.panel.plot
    plot.resize(260, 130)
    centre = plot.bar(plane).center()
    where = QPoint(round(centre.x()), round(centre.y()))
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=where)


@pytest.mark.parametrize("scale", [(1, 1, 1), (2.5, 0.5, 0.5)])
def test_clicking_the_plot_moves_the_slider_and_the_slider_the_plot(
    map_dock: DegradationDock, qtbot: QtBot, scale: tuple[float, ...]
) -> None:
    viewer = map_dock.viewer
    viewer.add_image(MOVIE, scale=scale, translate=(10, 0, 0))
    result = estimate(map_dock, qtbot)
    click_plane(map_dock, qtbot, 3)
    assert viewer.dims.current_step[0] == 3
    assert map_dock.panel.plot.current == 3
    viewer.dims.set_current_step(0, 1)
    assert map_dock.panel.plot.current == 1
    shares = {d: row.share for d, row in map_dock.panel.legend.rows.items()}
    assert shares == pytest.approx(dict(result.estimate.summary[1]))
    assert f"{result.estimate.severities[1]:.2f}" in map_dock.panel.headline.text()


def test_axis_of_the_plot_can_be_chosen(map_dock: DegradationDock, qtbot: QtBot) -> None:
    viewer = map_dock.viewer
    viewer.add_image(np.stack([MOVIE, MOVIE[::-1]]))
    map_dock.form.axes.value = "TZYX"
    estimate(map_dock, qtbot)
    panel = map_dock.panel
    assert [panel.axis.itemText(i) for i in range(panel.axis.count())] == ["along T", "along Z"]
    panel.axis.setCurrentIndex(1)
    click_plane(map_dock, qtbot, 4)
    assert tuple(viewer.dims.current_step[:2])[1] == 4
    panel.axis.setCurrentIndex(0)
    click_plane(map_dock, qtbot, 0)
    assert tuple(viewer.dims.current_step[:2]) == (0, 4)


def test_one_plane_has_no_plot(map_dock: DegradationDock, qtbot: QtBot) -> None:
    map_dock.viewer.add_image(MOVIE[0])
    estimate(map_dock, qtbot)
    assert map_dock.panel.plot.isHidden()
    assert map_dock.panel.axis.isHidden()


def test_status_bar_tells_the_values_under_the_cursor(
    map_dock: DegradationDock, qtbot: QtBot
) -> None:
    viewer = map_dock.viewer
    image = viewer.add_image(MOVIE, scale=(1, 0.5, 0.5), rotate=(0.0, 0.0, 20.0))
    result = estimate(map_dock, qtbot)
    viewer.dims.set_current_step(0, 2)
    row, column = 3, 4
    position = image.data_to_world((2, 8 * row + 1, 8 * column + 6))
    viewer.mouse_over_canvas = True
    viewer.cursor.position = tuple(position)
    viewer.update_status_from_cursor()
    said = viewer.status["coordinates"]
    assert f"severity {result.estimate.severity[2, row, column]:.2f}" in said
    chances = result.estimate.probabilities[2, :, row, column]
    most = result.estimate.domains[int(chances.argmax())]
    assert f"{most} {round(100 * float(chances.max()))} %" in said
    viewer.cursor.position = tuple(image.data_to_world((2, 100, 100)))
    viewer.update_status_from_cursor()
    assert "severity" not in viewer.status["coordinates"]
    map_dock.panel.show_view("image")
    viewer.cursor.position = tuple(position)
    viewer.update_status_from_cursor()
    assert "severity" not in viewer.status["coordinates"]


class Counter:
    """Counts the tiles that go through the network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tiles = 0
        self.threads: set[int] = set()
        compute = EstimateEngine.values

        def counted(engine: Any, tile: Any) -> Any:
            self.tiles += 1
            self.threads.add(threading.get_ident())
            return compute(engine, tile)

        monkeypatch.setattr(EstimateEngine, "values", counted)


def test_lazy_layers_are_looked_at_as_one_scrolls(
    map_dock: DegradationDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(monkeypatch)
    viewer = map_dock.viewer
    map_dock.form.tile.value = "whole"
    viewer.add_image(da.from_array(MOVIE, chunks=(1, 40, 48)), contrast_limits=(0, 4000))
    viewer.dims.set_current_step(0, 2)
    result = estimate(map_dock, qtbot)
    assert counter.tiles == 1
    assert map_dock.panel.legend.rows["noise"].share is not None
    assert np.isnan(result.severity.data[0]).all()
    assert (result.domains.data[0] == PENDING).all()
    with qtbot.waitSignal(map_dock.session.computed):
        viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: not any(each.is_busy for each in result.workers))
    assert result.maps.planes.summary((3,)) is not None
    assert counter.tiles == 2  # plane 0 was asked for above, and is not in view
    wanted: list[Any] = []
    result.maps.planes.on_wanted = wanted.append
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(0, 3)
    assert wanted == []  # known planes are not looked at again
    viewer.dims.set_current_step(0, 4)
    assert set(wanted) == {(4,)}


@pytest.mark.parametrize("lazy", ["lazy", "memory"])
def test_maps_of_lazy_layers_equal_those_in_memory(
    map_dock: DegradationDock, qtbot: QtBot, lazy: str
) -> None:
    viewer = map_dock.viewer
    map_dock.form.intensity.value = "0, 4000"
    map_dock.form.tile.value = "whole"
    viewer.add_image(MOVIE)
    whole = estimate(map_dock, qtbot)
    map_dock.form.layer.value = viewer.add_image(
        da.from_array(MOVIE, chunks=(1, 40, 48)), contrast_limits=(0, 4000)
    )
    map_dock.form.lazy.value = lazy
    found = estimate(map_dock, qtbot)
    assert isinstance(found.severity.data, np.ndarray) == (lazy == "memory")
    np.testing.assert_allclose(np.asarray(found.severity.data), whole.severity.data, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(found.domains.data), whole.domains.data)
    for index in ((slice(1, 3), 2), (-1, ..., 1)):
        expected = whole.severity.data[index]
        np.testing.assert_allclose(found.severity.data[index], expected, atol=1e-6)
    for place in range(5):
        summary = found.maps.planes.summary((place,))
        assert summary.shares == pytest.approx(dict(whole.estimate.summary[place]), abs=1e-5)


def test_error_while_scrolling_is_a_sentence(
    map_dock: DegradationDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = map_dock.viewer
    viewer.add_image(da.from_array(MOVIE, chunks=(1, 40, 48)), contrast_limits=(0, 4000))
    estimate(map_dock, qtbot)

    def broken(*_: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(EstimateEngine, "values", broken)
    with qtbot.waitSignal(map_dock.session.failed):
        viewer.dims.set_current_step(0, 4)
    assert "Input/output error" in map_dock.status.message.text()


LARGE = np.tile(MOVIE, (1, 2, 2))
"""Several tiles a plane."""


def test_cancel_stops_within_a_tile_of_a_lazy_plane(
    map_dock: DegradationDock, gate: Gate, qtbot: QtBot
) -> None:
    lazy = da.from_array(LARGE, chunks=(1, 40, 48))
    image = map_dock.viewer.add_image(lazy, contrast_limits=(0, 4000))
    run = start(map_dock, gate, qtbot)
    map_dock.button.click()
    with qtbot.waitSignal(run.ended):
        gate.open.set()
    assert run.state == "cancelled"
    assert gate.tiles == 1
    assert list(map_dock.viewer.layers) == [image]


def test_closing_the_dock_stops_within_a_tile_of_the_plane_in_view(
    map_dock: DegradationDock, gate: Gate, qtbot: QtBot
) -> None:
    viewer = map_dock.viewer
    viewer.add_image(da.from_array(LARGE, chunks=(1, 40, 48)), contrast_limits=(0, 4000))
    viewer.dims.set_current_step(0, 0)
    gate.open.set()
    result = estimate(map_dock, qtbot)
    gate.open.clear()
    gate.reached.clear()
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(gate.reached.is_set)
    before = gate.tiles
    viewer.window.remove_dock_widget(map_dock)
    gate.open.set()
    qtbot.waitUntil(lambda: not any(each.is_busy for each in result.workers))
    assert gate.tiles == before
    assert result.maps.planes.known((3,)) is None


def test_contributions_of_lazy_layers_are_made_in_a_thread(
    map_dock: DegradationDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = map_dock.viewer
    map_dock.form.intensity.value = "0, 4000"
    map_dock.form.tile.value = "whole"
    map_dock.form.parts.value = "both"
    viewer.add_image(MOVIE)
    whole = estimate(map_dock, qtbot)
    counter = Counter(monkeypatch)
    map_dock.form.layer.value = viewer.add_image(
        da.from_array(MOVIE, chunks=(1, 40, 48)), contrast_limits=(0, 4000)
    )
    viewer.dims.set_current_step(0, 1)
    found = estimate(map_dock, qtbot)
    for layer in found.contributions:
        layer.visible = True
    viewer.dims.set_current_step(0, 3)
    planes = found.contributions[0].data.planes
    qtbot.waitUntil(lambda: planes.known((3,)) is not None)
    qtbot.waitUntil(lambda: np.isfinite(found.contributions[0]._slice.image.raw).all())
    assert threading.get_ident() not in counter.threads
    qtbot.waitUntil(lambda: not any(each.is_busy for each in found.workers))
    for layer, other in zip(found.contributions, whole.contributions, strict=True):
        assert layer.name.split(" ", 1)[1] == other.name.split(" ", 1)[1]
        np.testing.assert_allclose(np.asarray(layer.data), other.data, atol=0.05)
        assert layer.contrast_limits[1] == -layer.contrast_limits[0] > 0


def test_plot_is_not_made_again_while_the_slider_moves(
    map_dock: DegradationDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = map_dock.viewer
    viewer.add_image(np.stack([MOVIE, MOVIE[::-1]]))
    map_dock.form.axes.value = "TZYX"
    estimate(map_dock, qtbot)
    made: list[Any] = []
    monkeypatch.setattr(map_dock.panel.plot, "set_planes", lambda *args: made.append(args))
    map_dock.panel.axis.setCurrentIndex(1)
    assert len(made) == 1
    for step in (3, 0, 2):
        viewer.dims.set_current_step(1, step)
        assert map_dock.panel.plot.current == step
    assert len(made) == 1
    viewer.dims.set_current_step(0, 1 - viewer.dims.current_step[0])  # other planes
    assert len(made) == 2
