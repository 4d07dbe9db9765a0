"""Every kind of layer through the button of the dock, in a real viewer and real threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest

from napari_baryir import restore

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock

SETTINGS = {"model": "tiny", "device": "cpu", "tile": 32, "overlap": 8}

SHAPES = {
    "2D": ((40, 48), "YX"),
    "RGB": ((40, 48, 3), "YXS"),
    "multichannel": ((3, 40, 48), "CYX"),
    "ZYX": ((5, 40, 32), "ZYX"),
    "TZYX": ((2, 5, 32, 32), "TZYX"),
    "dask": ((5, 40, 32), "ZYX"),
    "multiscale": ((64, 48), "YX"),
}

TRANSFORMS: dict[str, Any] = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (10.0, -3.0, 4.0),
    "rotate": 25.0,
    "shear": (0.0, 0.0, -0.1),
    "affine": np.array([[1, 0, 0, 3], [0, 0.9, 0.2, -1], [0, -0.1, 1.1, 2], [0, 0, 0, 1.0]]),
    "units": ("um", "nm", "nm"),
}


def pixels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = np.random.default_rng(0).random(shape)
    return (values * {"uint8": 255, "uint16": 4000, "float32": 1}[dtype]).astype(dtype)


def of_kind(kind: str, dtype: str) -> Any:
    """The same pixels in the form that a kind of layer has them."""
    image = pixels(SHAPES[kind][0], dtype)
    if kind == "dask":
        return da.from_array(image, chunks=(1, 40, 32))
    if kind == "multiscale":
        return [image, image[::2, ::2], image[::4, ::4]]
    return image


def press(dock: RestoreDock, qtbot: QtBot) -> Any:
    """Press Restore and wait for the result."""
    assert dock.button.text() == "Restore"
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
        assert dock.button.text() == "Cancel"
    assert dock.button.text() == "Restore"
    return finished.args[0].layer


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", SHAPES)
def test_values_are_the_library_s(dock: RestoreDock, qtbot: QtBot, kind: str, dtype: str) -> None:
    shape, axes = SHAPES[kind]
    image, data = pixels(shape, dtype), of_kind(kind, dtype)
    labels = tuple(axes.replace("S", "").lower())
    source = dock.viewer.add_image(data, rgb=kind == "RGB", axis_labels=labels, name="cells")
    assert dock.form.axes.value == axes
    layer = press(dock, qtbot)

    expected = restore(image, axes=axes, **SETTINGS).image
    made = layer.data[0] if kind == "multiscale" else layer.data
    assert isinstance(made, da.Array) == (kind == "dask")
    exact = {"rtol": 0, "atol": (1e-5 if dtype == "float32" else 1) if kind == "dask" else 0}
    np.testing.assert_allclose(np.asarray(made).astype(float), expected.astype(float), **exact)
    assert np.asarray(made).dtype == image.dtype
    assert layer.rgb == source.rgb
    assert layer.multiscale == source.multiscale
    if kind == "multiscale":
        assert [level.shape for level in layer.data] == [level.shape for level in data]
    np.testing.assert_array_equal(source.data[0] if kind == "multiscale" else source.data, image)
    assert not np.array_equal(expected, image)
    assert list(dock.viewer.layers) == [source, layer]
    selection = dock.viewer.layers.selection  # so that saving saves it
    qtbot.waitUntil(lambda: selection.active is layer)
    assert dock.form.layer.value is source


def placed(ndim: int) -> dict[str, Any]:
    """Transforms that keep planes planes, and everything else that a result takes over."""
    rotate, affine = np.eye(ndim), np.eye(ndim + 1)
    rotate[-2:, -2:] = [[0.8, -0.6], [0.6, 0.8]]
    affine[-3:-1, -3:-1] = [[0.9, 0.2], [-0.1, 1.1]]
    affine[:-1, -1] = np.arange(ndim) + 3
    return {
        "scale": (3.0, 2.0, 0.5, 0.25)[-ndim:],
        "translate": (7.0, 10.0, -3.0, 4.0)[-ndim:],
        "rotate": rotate,
        "shear": np.array([0.0] * (ndim * (ndim - 1) // 2 - 1) + [-0.1]),
        "affine": affine,
        "units": ("s", "um", "nm", "nm")[-ndim:],
        "gamma": 0.7,
        "opacity": 0.8,
        "blending": "translucent",
        "interpolation2d": "linear",
    }


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("2D", "uint8"),
        ("RGB", "uint8"),
        ("RGB", "float32"),
        ("multichannel", "uint16"),
        ("ZYX", "float32"),
        ("TZYX", "uint16"),
        ("dask", "uint8"),
        ("multiscale", "float32"),
    ],
)
def test_properties_are_kept_by_every_kind(
    dock: RestoreDock, qtbot: QtBot, kind: str, dtype: str
) -> None:
    axes = SHAPES[kind][1]
    rgb = kind == "RGB"
    told = placed(len(axes) - rgb)
    if not rgb:
        told |= {"colormap": "magenta", "contrast_limits": (0.1, 0.9)}
    labels = tuple(axes.replace("S", "").lower())
    source = dock.viewer.add_image(of_kind(kind, dtype), rgb=rgb, axis_labels=labels, **told)
    layer = press(dock, qtbot)
    kept = ("scale", "translate", "rotate", "shear", "gamma", "opacity", "contrast_limits")
    for name in kept:
        np.testing.assert_array_equal(getattr(layer, name), getattr(source, name), err_msg=name)
    for name in ("units", "axis_labels", "rgb", "multiscale", "dtype", "blending", "ndim"):
        assert getattr(layer, name) == getattr(source, name), name
    assert layer.interpolation2d == source.interpolation2d == "linear"
    assert layer.colormap == source.colormap
    np.testing.assert_allclose(layer.affine.affine_matrix, told["affine"])
    for name in ("scale", "translate", "rotate"):  # they are not only equal because both lack them
        np.testing.assert_allclose(getattr(layer, name), told[name])
    np.testing.assert_allclose(layer.extent.world, source.extent.world)
    assert np.dtype(layer.dtype) == dtype
    assert isinstance(layer.data, da.Array) == (kind == "dask")


def test_result_lies_on_its_source_and_looks_like_it(dock: RestoreDock, qtbot: QtBot) -> None:
    source = dock.viewer.add_image(
        pixels((4, 40, 32), "uint16"), axis_labels=("z", "y", "x"), colormap="magenta",
        contrast_limits=(100, 3000), gamma=0.7, interpolation2d="linear", blending="additive",
        **TRANSFORMS,
    )  # fmt: skip
    layer = press(dock, qtbot)
    for name in ("scale", "translate", "rotate", "shear", "units", "axis_labels", "gamma"):
        np.testing.assert_array_equal(getattr(layer, name), getattr(source, name), err_msg=name)
    np.testing.assert_allclose(layer.affine.affine_matrix, source.affine.affine_matrix)
    assert layer.colormap.name == source.colormap.name
    assert layer.contrast_limits == source.contrast_limits
    assert layer.interpolation2d == source.interpolation2d
    assert layer.dtype == source.dtype
    for corner in ((0, 0, 0), (3, 39, 31)):
        np.testing.assert_allclose(layer.data_to_world(corner), source.data_to_world(corner))
    assert not source.visible  # additive: otherwise the sum would be shown


@pytest.mark.parametrize("region", ["plane", "shapes"])
def test_part_lies_where_it_was_cut_out(dock: RestoreDock, qtbot: QtBot, region: str) -> None:
    image = pixels((4, 40, 48), "uint16")
    source = dock.viewer.add_image(image, axis_labels=("z", "y", "x"), **TRANSFORMS)
    box = (slice(0, 4), slice(4, 37), slice(6, 40))
    if region == "plane":
        dock.viewer.dims.set_current_step(0, 2)
        box = (slice(2, 3), slice(0, 40), slice(0, 48))
    else:
        ends = [(0, 4, 6), (0, 4, 39), (0, 36, 39), (0, 36, 6)]
        corners = np.array([source.data_to_world(end) for end in ends])
        dock.form.shapes.value = dock.viewer.add_shapes(
            [corners], shape_type="polygon", units=source.units
        )
        dock.form.layer.value = source
    dock.form.region.value = region
    layer = press(dock, qtbot)
    record = layer.metadata["napari_baryir"]
    assert record["region"] == [[part.start, part.stop] for part in box]
    np.testing.assert_array_equal(layer.data, restore(image[box], axes="ZYX", **SETTINGS).image)
    start = [part.start for part in box]
    np.testing.assert_allclose(
        layer.data_to_world((0, 0, 0)), source.data_to_world(start), atol=1e-9
    )


def test_record_tells_how_the_result_was_made(dock: RestoreDock, qtbot: QtBot) -> None:
    dock.viewer.add_image(pixels((40, 48), "uint8"), name="cells")
    record = press(dock, qtbot).metadata["napari_baryir"]
    assert record["model"] == "tiny"
    assert len(record["weights_hash"]) == 64
    assert record["source"] == "cells"
    assert record["device"] == "cpu"
    assert record["settings"]["tile"] == 32
    assert record["seconds"] > 0
    assert record["started"].startswith("20")
    assert record["region"] is None
