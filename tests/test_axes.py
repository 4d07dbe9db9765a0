"""Axes and planes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_baryir.errors import InputError
from napari_baryir.imaging.axes import AXES, PlaneLayout, check_axes, guess_axes, named_axes


@st.composite
def layouts(draw: st.DrawFn) -> PlaneLayout:
    """Any axes in any order, with small lengths."""
    letters = draw(st.sets(st.sampled_from("TZCS"))) | {"Y", "X"}
    axes = "".join(draw(st.permutations(sorted(letters))))
    shape = tuple(draw(st.integers(1, 4)) for _ in axes)
    return PlaneLayout(check_axes(axes, shape), shape)


@given(layouts())
def test_reading_and_writing_all_planes_is_the_identity(layout: PlaneLayout) -> None:
    image = np.arange(np.prod(layout.shape)).reshape(layout.shape)
    out = np.full_like(image, -1)
    for plane in range(layout.planes):
        values = layout.read(image, plane)
        assert values.shape == (layout.height, layout.width, layout.samples)
        layout.write(out, plane, slice(0, layout.height), values)
    np.testing.assert_array_equal(out, image)


@given(layouts(), st.data())
def test_rows_of_a_plane_are_those_of_the_whole_plane(
    layout: PlaneLayout, data: st.DataObject
) -> None:
    image = np.arange(np.prod(layout.shape)).reshape(layout.shape)
    plane = data.draw(st.integers(0, layout.planes - 1))
    start = data.draw(st.integers(0, layout.height - 1))
    rows = slice(start, layout.height)
    np.testing.assert_array_equal(layout.read(image, plane, rows), layout.read(image, plane)[rows])


@given(layouts())
def test_channel_values_are_all_planes_of_that_channel_without_alpha(layout: PlaneLayout) -> None:
    image = np.arange(np.prod(layout.shape)).reshape(layout.shape)
    for channel in range(layout.channels):
        planes = [p for p in range(layout.planes) if layout.channel(p) == channel]
        expected = [layout.read(image, p)[..., : layout.colours].ravel() for p in planes]
        values = layout.channel_values(image, channel)
        assert sorted(values.ravel()) == sorted(np.concatenate(expected))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 6), "YX"),
        ((64, 48, 3), "YXS"),
        ((64, 48, 4), "YXS"),
        ((30, 64, 48), "ZYX"),
        ((2, 64, 48), "CYX"),
        ((10, 64, 48, 3), "ZYXS"),
        ((5, 10, 64, 48), "TZYX"),
        ((5, 2, 64, 48), "ZCYX"),
        ((2, 5, 64, 48), "CZYX"),
        ((5, 10, 2, 64, 48), "TZCYX"),
        ((5, 2, 10, 64, 48), "TCZYX"),
        ((5, 10, 2, 64, 48, 3), "TZCYXS"),
        ((64, 48, 2), "YXC"),
        ((64, 48, 10), "YXC"),
        ((64, 48, 1), "YXC"),
        ((5, 64, 48, 2), "ZYXC"),
        ((30, 20, 10), "ZYX"),
    ],
)
def test_guess_is_what_the_shape_suggests(shape: tuple[int, ...], axes: str) -> None:
    assert guess_axes(shape) == axes


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        (("time", "channel", "y", "x"), "TCYX"),
        (("Y", "X", "rgb"), "YXS"),
        (("bands", "y", "x"), "CYX"),
        (("lat", "y", "x"), None),
        (("z", "depth", "y", "x"), None),
        (("t", "z"), None),
    ],
)
def test_names_of_dimensions_mean_axes_if_all_are_known(
    names: tuple[str, ...], axes: str | None
) -> None:
    assert named_axes(names) == axes


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_every_guess_fits_its_shape(shape: list[int]) -> None:
    axes = guess_axes(shape)
    assert check_axes(axes, shape) == axes
    assert set(axes) <= set(AXES)


@pytest.mark.parametrize("shape", [(), (5,), (7, 7, 7, 7, 7, 7), (7,) * 8])
def test_shapes_without_a_sensible_guess_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"dimension"):
        guess_axes(shape)


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("TYX", (2, 2, 5, 5), "3 letters but the image has 4 dimensions.*add the missing"),
        ("TZYX", (2, 5, 5), "leave out the superfluous"),
        ("QYX", (2, 5, 5), "has Q; the letters are TZCYXS"),
        ("YYX", (2, 5, 5), "Y more than once"),
        ("TZC", (2, 5, 5), "must have Y"),
        ("YX", (0, 5), "empty"),
        ("YXS", (5, 5, 7), "S of 'YXS' is 7 long.*name it C"),
        (("Y", "X"), (5, 5), "must be a string"),
    ],
)
def test_axes_that_do_not_fit_are_refused_with_advice(
    axes: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_axes(axes, shape)


def test_lower_case_axes_are_understood() -> None:
    assert check_axes("tyx", (2, 5, 5)) == "TYX"


@given(layouts(), st.data())
def test_order_begins_with_the_first_plane_and_has_each_once(
    layout: PlaneLayout, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, layout.planes - 1))
    order = layout.planes_nearest_first(first)
    assert order[0] == first
    assert sorted(order) == list(range(layout.planes))


def test_order_goes_to_the_neighbours_next() -> None:
    layout = PlaneLayout.of(np.zeros((5, 2, 8, 8)), "TCYX")
    assert layout.planes_nearest_first((2, None))[:2] == [4, 5]
    assert layout.planes_nearest_first((2, 1))[0] == 5
    assert layout.planes_nearest_first(None) == list(range(10))


@pytest.mark.parametrize("first", [10, -1, (5, 0), (0,), (0, 0, 0)])
def test_a_first_plane_that_is_not_there_is_refused(first: int | tuple[int, ...]) -> None:
    layout = PlaneLayout.of(np.zeros((5, 2, 8, 8)), "TCYX")
    with pytest.raises(InputError, match="there is no plane"):
        layout.planes_nearest_first(first)
