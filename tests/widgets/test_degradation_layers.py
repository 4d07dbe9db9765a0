"""The maps' layers: what they hold, where they lie, what one sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from held_tiles import estimate

from napari_baryir import estimate_degradation
from napari_baryir.widgets.estimate.maps import LEVELS
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.layers import Layer
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.estimate.dock import DegradationDock

RNG = np.random.default_rng(0)
PLACES: dict[str, dict[str, Any]] = {
    "none": {},
    "scale and translate": {"scale": (0.5, 2.0), "translate": (100.0, -7.0)},
    "rotation": {"rotate": 30.0, "scale": (0.2, 0.2), "translate": (3.0, 4.0)},
    "shear": {"shear": [0.4], "scale": (1.5, 0.5)},
    "affine": {
        "affine": np.array([[0.9, -0.3, 12.0], [0.2, 1.1, -5.0], [0, 0, 1]]),
        "rotate": -20.0,
        "scale": (0.5, 0.25),
        "translate": (9.0, 1.0),
    },
}


def world(layer: Layer, pixel: Any) -> np.ndarray[Any, Any]:
    return np.asarray(layer.data_to_world(np.asarray(pixel, float)))


@pytest.mark.parametrize("place", PLACES)
def test_maps_lie_on_the_image(map_dock: DegradationDock, qtbot: QtBot, place: str) -> None:
    image = map_dock.viewer.add_image(RNG.random((40, 72), np.float32), **PLACES[place])
    map_dock.form.parts.value = "additive"
    result = estimate(map_dock, qtbot)
    for cell in [(0, 0), (4, 8), (2, 5)]:
        centre = np.array(cell) * 8 + 3.5
        for layer in (result.severity, result.domains):
            assert world(layer, cell) == pytest.approx(world(image, centre), abs=1e-4)
    for layer in result.contributions:
        assert world(layer, (39, 71)) == pytest.approx(world(image, (39, 71)), abs=1e-4)


def test_maps_of_a_part_lie_on_that_part(map_dock: DegradationDock, qtbot: QtBot) -> None:
    viewer = map_dock.viewer
    image = viewer.add_image(
        RNG.random((3, 64, 64), np.float32), scale=(2, 0.5, 0.5), rotate=(0.0, 0.0, 25.0)
    )
    corners = [[11, 20], [11, 51], [42, 51], [42, 20]]
    shapes = viewer.add_shapes(
        [[world(image, (0, *corner))[1:] for corner in corners]], shape_type="polygon"
    )
    map_dock.form.layer.value = image
    map_dock.form.region.value = "shapes"
    map_dock.form.shapes.value = shapes
    result = estimate(map_dock, qtbot)
    rows, columns = result.box.slices[1:]
    assert (rows.start, columns.start) != (0, 0)
    found = world(result.severity, (1, 2, 1))
    expected = world(image, (1, rows.start + 19.5, columns.start + 11.5))
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("shape", "axes", "rgb"),
    [((40, 44), "YX", False), ((40, 44, 3), "YXS", True), ((3, 40, 44), "ZYX", False),
     ((2, 3, 32, 40), "CZYX", False), ((32, 40, 3), "YXT", False)],
)  # fmt: skip
def test_layers_hold_what_estimate_degradation_gives(
    map_dock: DegradationDock, qtbot: QtBot, shape: tuple[int, ...], axes: str, rgb: bool
) -> None:
    data = RNG.integers(0, 255, shape, np.uint8)
    layer = map_dock.viewer.add_image(data, rgb=rgb)
    map_dock.form.axes.value = axes
    result = estimate(map_dock, qtbot)
    settings = layer_record(result.severity)["settings"]
    again = estimate_degradation(data, **settings)
    back = [result.maps.axes.index(letter) for letter in again.axes]
    np.testing.assert_allclose(result.severity.data.transpose(back), again.severity, atol=1e-6)
    labels = result.domains.data.transpose(back)
    named = again.probabilities.argmax(-3)
    clean = again.domains.index("clean")
    np.testing.assert_array_equal(labels == 0, named == clean)
    wrong = named != clean
    np.testing.assert_array_equal(labels[wrong] // LEVELS, named[wrong] + 1)
    np.testing.assert_array_equal(
        labels[wrong] % LEVELS, np.floor(again.severity[wrong] * LEVELS).astype(int)
    )
    assert layer.ndim == result.severity.ndim == result.domains.ndim


def layer_record(layer: Layer) -> dict[str, Any]:
    record: dict[str, Any] = layer.metadata["napari_baryir"]
    return record


def test_an_earlier_result_does_not_cover_the_maps(map_dock: DegradationDock, qtbot: QtBot) -> None:
    image = map_dock.viewer.add_image(RNG.random((40, 40), np.float32))
    box = Box((slice(0, 40), slice(0, 40)), whole=True)
    record = {"kind": "restored"}
    restored = layers.add_result(map_dock.viewer, image, box, image.data, name="a", record=record)
    map_dock.form.layer.value = image
    result = estimate(map_dock, qtbot)
    assert [each.visible for each in (image, restored, result.domains)] == [True, False, True]


def test_severity_is_inferno_from_0_to_1_with_a_colour_bar(
    map_dock: DegradationDock, qtbot: QtBot
) -> None:
    image = map_dock.viewer.add_image(RNG.random((40, 40), np.float32), units=("um", "um"))
    result = estimate(map_dock, qtbot)
    layer = result.severity
    assert layer.colormap.name == "inferno"
    assert tuple(layer.contrast_limits) == (0, 1)
    assert layer.blending == "translucent"
    assert layer.colorbar.visible
    assert layer.units == image.units
    assert layer_record(layer)["kind"] == "severity"
    assert map_dock.viewer.layers.index(layer) == map_dock.viewer.layers.index(image) + 1


def test_every_domain_has_one_colour_and_severity_is_its_opacity(
    map_dock: DegradationDock, qtbot: QtBot
) -> None:
    map_dock.viewer.add_image(RNG.random((64, 64), np.float32))
    result = estimate(map_dock, qtbot)
    colors = {}
    for number, domain in enumerate(result.maps.domains, start=1):
        if domain == "clean":
            continue
        rgba = result.domains.colormap.map(LEVELS * number + np.arange(LEVELS))
        assert len(np.unique(rgba[:, :3], axis=0)) == 1
        assert (np.diff(rgba[:, 3]) > 0).all()
        colors[domain] = tuple(rgba[0, :3])
    assert len(set(colors.values())) == len(colors)
    assert result.domains.colormap.map(0)[3] == 0  # clean
    features = result.domains.features.set_index("index")
    assert features.loc[LEVELS + 3, "domain"] == result.maps.domains[0]
    assert features.loc[LEVELS + 3, "severity"] == "0.3 to 0.4"


def test_clicking_a_domain_in_the_legend_shows_only_it(
    map_dock: DegradationDock, qtbot: QtBot
) -> None:
    map_dock.viewer.add_image(RNG.random((64, 64), np.float32))
    result = estimate(map_dock, qtbot)
    drawn = result.domains
    opaque = drawn.colormap.map(drawn.data)[..., 3] > 0
    assert set(np.unique(drawn.data[opaque]) // LEVELS) > {2}
    map_dock.panel.show_view("severity")
    map_dock.panel.legend.rows["haze"].click()
    assert drawn.visible
    assert not result.severity.visible
    opaque = drawn.colormap.map(drawn.data)[..., 3] > 0
    assert set(np.unique(drawn.data[opaque]) // LEVELS) == {2}
    map_dock.panel.legend.rows["clean"].click()
    opaque = drawn.colormap.map(drawn.data)[..., 3] > 0
    np.testing.assert_array_equal(opaque, drawn.data == 0)
    map_dock.panel.legend.rows["clean"].click()
    assert map_dock.panel.legend.only is None
    opaque = drawn.colormap.map(drawn.data)[..., 3] > 0
    np.testing.assert_array_equal(opaque, drawn.data != 0)


def test_additive_contributions_add_up_and_have_the_same_limits(
    map_dock: DegradationDock, qtbot: QtBot
) -> None:
    data = RNG.random((40, 40, 3), np.float32)
    map_dock.viewer.add_image(data, rgb=True)
    map_dock.form.parts.value = "both"
    result = estimate(map_dock, qtbot)
    layers = {layer_record(each)["map"]: each for each in result.contributions}
    assert len(layers) == 4
    total = layers["barycenter part"].data + layers["residual part"].data
    expected = np.asarray(result.estimate.contributions.total).mean(axis=-1)
    np.testing.assert_allclose(total, expected, atol=1e-5)
    low, high = layers["barycenter part"].contrast_limits
    assert low == -high
    assert tuple(layers["residual part"].contrast_limits) == (low, high)


def test_maps_are_not_offered_for_restoring(map_dock: DegradationDock, qtbot: QtBot) -> None:
    image = map_dock.viewer.add_image(RNG.random((40, 40), np.float32))
    map_dock.form.parts.value = "additive"
    estimate(map_dock, qtbot)
    assert list(map_dock.form.layer.choices) == [image]
