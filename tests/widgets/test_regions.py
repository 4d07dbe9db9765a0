"""Boxes and axes of layers; models of napari only, no window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes

from napari_baryir.errors import InputError
from napari_baryir.widgets.viewer.regions import axes_of, box_of, plane_in_view, why_not

TURNED = {"scale": (2.0, 0.5, 0.5), "rotate": 30.0, "translate": (5.0, -7.0, 11.0)}


def unusual(dtype: type, shape: tuple[int, ...]) -> Any:
    """An image layer as other plugins may make it; napari's own refuses some of these."""
    data = np.zeros(shape, dtype)
    unnamed = {"axis_labels": [""] * len(shape), "units": ()}
    return SimpleNamespace(name="wave", rgb=False, multiscale=False, data=data, **unnamed)


def stack(**properties: object) -> Image:
    return Image(np.zeros((6, 40, 50), np.uint16), name="stack", **properties)


def test_axes_come_from_labels_units_rgb_or_shape() -> None:
    assert axes_of(stack(axis_labels=("time", "height", "width"))) == "TYX"
    assert axes_of(stack(axis_labels=("c", "y", "x"))) == "CYX"
    assert axes_of(stack()) == "ZYX"
    assert axes_of(stack(units=("s", "um", "um"))) == "TYX"
    movie = np.zeros((3, 40, 50), np.uint16)
    assert axes_of(Image(movie)) == "CYX"
    assert axes_of(Image(movie, units=("s", "um", "um"))) == "TYX"
    assert axes_of(Image(movie, units=("um", "um", "um"))) == "ZYX"
    assert axes_of(Image(np.zeros((8, 9, 3), np.uint8), rgb=True)) == "YXS"
    assert axes_of(Image(np.zeros((8, 9, 3), np.uint8), rgb=False)) == "ZYX"
    assert axes_of(Image([np.zeros((6, 40, 40)), np.zeros((6, 20, 20))])) == "ZYX"


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Labels(np.zeros((4, 4), int), name="cells"), "labels layer"),
        (Points(np.zeros((4, 2)), name="spots"), "choose an image"),
        (Image(np.zeros((4, 4), bool), name="mask"), "no intensities"),
        (unusual(np.complex64, (4, 4)), "image.real"),
        (unusual(np.uint8, (4,)), "1 dimension"),
        (None, "Open an image"),
    ],
)
def test_unsuitable_layers_say_why(layer: Image | None, said: str) -> None:
    reason = why_not(layer)
    assert reason is not None
    assert said in reason
    assert reason.endswith(".")


def test_suitable_layers_have_nothing_to_say() -> None:
    assert why_not(stack()) is None
    assert "must have Y" in (why_not(stack(), "TZC") or "")


def test_plane_is_the_one_in_view_whatever_the_scale() -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(stack(**TURNED))
    viewer.dims.set_point(0, 5.0 + 2.0 * 4)
    box = box_of(viewer, layer, "ZYX", "plane")
    assert box.bounds == [[4, 5], [0, 40], [0, 50]]
    assert not box.whole
    assert plane_in_view(viewer, layer, "ZYX", box) == (0,)
    whole = box_of(viewer, layer, "ZYX", "layer")
    assert whole.whole
    assert plane_in_view(viewer, layer, "ZYX", whole) == (4,)


@pytest.mark.parametrize("properties", [{}, {"scale": (2.0, 0.5, 0.5)}, TURNED])
def test_shapes_cut_the_pixels_that_they_cover(properties: dict[str, object]) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(stack(**properties))
    corners = np.array([[0, 10, 20], [0, 10, 29], [0, 19, 29], [0, 19, 20]], dtype=float)
    world = np.array([layer.data_to_world(corner) for corner in corners])
    shapes = Shapes([world[:, 1:]], shape_type="polygon")
    assert box_of(viewer, layer, "ZYX", "shapes", shapes).bounds == [[0, 6], [10, 20], [20, 30]]


def test_units_of_viewer_and_layer_may_differ() -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(stack(scale=(2.0, 0.5, 0.5), units=("um", "um", "um")))
    viewer.add_layer(Image(np.zeros((6, 40, 50)), units=("nm", "nm", "nm")))
    viewer.dims.set_point(0, 2000.0 * 4)  # the viewer counts in nm now
    assert box_of(viewer, layer, "ZYX", "plane").bounds[0] == [4, 5]
    shapes = viewer.add_layer(
        Shapes([np.array([[5000, 10000], [9500, 14500]])], units=("nm", "nm"))
    )
    assert box_of(viewer, layer, "ZYX", "shapes", shapes).bounds[1:] == [[10, 20], [20, 30]]


def test_selected_shapes_count_alone() -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(stack())
    shapes = Shapes([np.array([[1, 1], [4, 4]]), np.array([[10, 10], [20, 20]])])
    shapes.selected_data = {0}
    assert box_of(viewer, layer, "ZYX", "shapes", shapes).bounds[1:] == [[1, 5], [1, 5]]


def test_nothing_drawn_and_nothing_seen_are_told() -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(stack())
    with pytest.raises(InputError, match="draw a rectangle"):
        box_of(viewer, layer, "ZYX", "shapes")
    with pytest.raises(InputError, match="does not touch"):
        box_of(viewer, layer, "ZYX", "shapes", Shapes([np.array([[900, 900], [990, 990]])]))


@pytest.mark.parametrize("properties", [{}, {"scale": (2.0, 0.5, 0.5)}, TURNED])
def test_view_is_what_the_canvas_shows_of_one_plane(properties: dict[str, object]) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(stack(**properties))
    if hasattr(viewer, "canvas"):
        viewer.canvas.size = (100, 100)
    else:  # napari before 0.9
        viewer._canvas_size = (100, 100)
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    # The canvas is 10 pixels of the layer wide, around the layer's pixel (20, 25).
    centre = np.asarray(layer.data_to_world((0, 20, 25)))
    camera.center = (0.0, *centre[1:])
    camera.zoom = 10 / float(layer.scale[-1])
    box = box_of(viewer, layer, "ZYX", "view")
    (first, last), (top, bottom), (left, right) = box.bounds
    assert last - first == 1
    grown = 1 if "rotate" not in properties else np.cos(np.pi / 6) + np.sin(np.pi / 6)
    assert bottom - top == pytest.approx(10 * grown, abs=2)
    assert right - left == pytest.approx(10 * grown, abs=2)
    assert (top + bottom) / 2 == pytest.approx(20, abs=1)
    assert (left + right) / 2 == pytest.approx(25, abs=1)
