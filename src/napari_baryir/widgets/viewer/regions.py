"""Which part of a layer is meant: a box in its own pixels, whatever its transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import InputError
from napari_baryir.imaging.axes import guess_axes, named_axes
from napari_baryir.imaging.checks import check_image

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Shapes

Region = Literal["layer", "plane", "view", "shapes", "here"]
"""Whole layer; the plane in view; what the canvas shows of it; the bounding box of shapes; a square
of `HERE` pixels of the plane around the middle of what the canvas shows."""

HERE = 256
"""Side of a preview, in pixels."""


@dataclass(frozen=True)
class Box:
    """A part of a layer at full resolution; one slice per dimension, RGB samples included."""

    slices: tuple[slice, ...]
    whole: bool

    @property
    def bounds(self) -> list[list[int]]:
        """Start and stop per dimension, plain JSON values."""
        return [[each.start, each.stop] for each in self.slices]

    @property
    def start(self) -> NDArray[np.float64]:
        """The first pixel, per dimension."""
        return np.array([each.start for each in self.slices], dtype=np.float64)


def is_a(layer: Any, *kinds: str) -> bool:
    """Return whether a layer is of one of these types; sees through napari's proxies."""
    return layer.__class__.__name__ in kinds


def level_0(layer: Image) -> Any:
    """Return a layer's pixels at full resolution; ``np.asarray`` of a multiscale has the lowest."""
    return layer.data[0] if layer.multiscale else layer.data


def why_not(layer: Layer | None, axes: str | None = None, done: str = "restored") -> str | None:
    """Return why a layer cannot be restored or estimated, from type, shape and dtype; else None."""
    if layer is None:
        return "Open an image first: File > Open, or File > Open Sample > BaryIR."
    if is_a(layer, "Labels"):
        return (
            f"“{layer.name}” is a labels layer; its numbers name objects and are no intensities. "
            "Choose an image layer."
        )
    if not hasattr(layer, "rgb") or not hasattr(layer, "multiscale"):
        kind = layer.__class__.__name__.lower()
        return f"“{layer.name}” is a {kind} layer; choose an image layer."
    try:
        check_image(level_0(layer), axes or axes_of(layer), done)
    except InputError as error:
        return f"“{layer.name}”: {error}."
    return None


def axes_of(layer: Image) -> str:
    """Return axes from the layer's labels where these name them, else from units, `rgb`, shape.

    Raises `InputError` if there are too few or too many dimensions.
    """
    shape = tuple(int(n) for n in level_0(layer).shape)
    named = named_axes(layer.axis_labels)
    if named is not None and "S" not in named:
        return named + ("S" if layer.rgb else "")
    # A grey image that is 3 wide is not RGB: the layer knows, the shape does not.
    if not layer.rgb and shape:
        shape = (*shape[:-1], max(shape))
    axes = guess_axes(shape)
    for letter, dimension in (("T", "[time]"), ("Z", "[length]")):
        found = [
            i
            for i, unit in enumerate(layer.units)
            if str(unit.dimensionality) == dimension and axes[i] in "ZC"
        ]
        if len(found) == 1 and letter not in axes:
            axes = axes[: found[0]] + letter + axes[found[0] + 1 :]
    return axes


def units_of(layer: Image, axes: str) -> dict[str, str]:
    """Return the units of those axes that have a physical one."""
    named = zip(axes, map(str, layer.units), strict=False)
    return {letter: unit for letter, unit in named if unit not in ("pixel", "dimensionless")}


def box_of(
    viewer: ViewerModel, layer: Image, axes: str, region: Region, shapes: Shapes | None = None
) -> Box:
    """Return the box of a layer that `region` names.

    Parameters
    ----------
    viewer
        For the sliders, the camera and the canvas.
    layer
        Its scale, translation, rotation, shear and affine may be any.
    axes
        One letter per dimension of the layer's data.
    region
        See `Region`. "view" is the part of the current plane that the canvas shows.
    shapes
        Drawn shapes, the selected ones or all; needed for "shapes". They cut height and width, of
        all planes.

    Raises
    ------
    InputError
        If the box is empty, there are no shapes, or "here" would have several planes.
    """
    shape = tuple(int(n) for n in level_0(layer).shape)
    low, high = np.zeros(len(shape)), np.array(shape, dtype=np.float64)
    spatial = [i for i, letter in enumerate(axes) if letter in "YX"]
    if region in ("plane", "view", "here"):
        here = _here(viewer, layer)
        for i, letter in enumerate(axes):
            if letter not in "YXS" and not is_displayed(viewer, layer, i):
                low[i] = np.clip(np.floor(here[i] + 0.5), 0, shape[i] - 1)
                high[i] = low[i] + 1
    if region in ("view", "here"):
        _cut(low, high, _seen(viewer, layer), spatial)
    if region == "shapes":
        _cut(low, high, _drawn(viewer, layer, shapes), spatial)
    starts = [int(n) for n in low]
    stops = [int(n) for n in high]
    if any(stop <= start for start, stop in zip(starts, stops, strict=True)):
        where = "what the canvas shows" if region in ("view", "here") else "the chosen part"
        raise InputError(f"{where} does not touch “{layer.name}”; move the view or the shapes")
    if region == "here":
        if any(high[i] - low[i] > 1 for i, letter in enumerate(axes) if letter not in "YXS"):
            raise InputError("a preview is of one plane; have the canvas show height and width")
        centre = _seen(viewer, layer).mean(axis=0)
        for i in spatial:
            starts[i] = max(0, min(round(centre[i] - HERE / 2), shape[i] - HERE))
            stops[i] = min(shape[i], starts[i] + HERE)
    slices = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
    return Box(slices, whole=all(s.stop - s.start == n for s, n in zip(slices, shape, strict=True)))


def plane_in_view(viewer: ViewerModel, layer: Image, axes: str, box: Box) -> tuple[int | None, ...]:
    """Return the plane in view: an index in the box per axis but Y, X, S; None if displayed."""
    here = _here(viewer, layer)
    plane: list[int | None] = []
    for i, (letter, part) in enumerate(zip(axes, box.slices, strict=True)):
        if letter in "YXS":
            continue
        at = int(np.clip(np.floor(here[i] + 0.5), part.start, part.stop - 1))
        plane.append(None if is_displayed(viewer, layer, i) else at - part.start)
    return tuple(plane)


def set_plane(viewer: ViewerModel, layer: Layer, dimension: int, index: int) -> None:
    """Move the slider of a dimension of the layer to one of its planes."""
    position = to_pixels(viewer, layer, np.asarray(viewer.dims.point, dtype=np.float64))
    position[dimension] = index
    world = np.asarray(layer.data_to_world(position), dtype=np.float64) / units_ratio(viewer, layer)
    viewer.dims.set_point(dimension + viewer.dims.ndim - layer.ndim, float(world[dimension]))


def _here(viewer: ViewerModel, layer: Image) -> NDArray[np.float64]:
    """Return the viewer's position in the layer's pixels, without RGB samples."""
    return to_pixels(viewer, layer, np.asarray(viewer.dims.point, dtype=np.float64))


def to_pixels(
    viewer: ViewerModel, layer: Layer, position: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a position of the viewer, in the layer's pixels."""
    own = position[-layer.ndim :] * units_ratio(viewer, layer)
    return np.asarray(layer.world_to_data(own), dtype=np.float64)


def units_ratio(viewer: ViewerModel, layer: Layer) -> NDArray[np.float64]:
    """Return how many of the layer's units make one of the viewer's, per dimension of the layer.

    A layer has positions in its own units, but the viewer's sliders, camera and canvas count in
    the smallest unit of all layers; without units, and where units do not fit, both are the same.
    """
    common = viewer.layers.extent.units
    if not common:
        return np.ones(layer.ndim)
    pairs = zip((viewer.layers.units or common)[-layer.ndim :], layer.units, strict=True)
    return np.array([float((1 * theirs).to(ours).magnitude) for theirs, ours in pairs])


def is_displayed(viewer: ViewerModel, layer: Image, dimension: int) -> bool:
    """Whether the canvas shows a dimension of the layer rather than a slider for it."""
    return dimension + viewer.dims.ndim - layer.ndim in viewer.dims.displayed


def is_in_view(viewer: ViewerModel, layer: Image, level: int, part: Sequence[range | int]) -> bool:
    """Whether the viewer now shows this part of a level of the layer, ranges and indices.

    Several planes at once are in view only where napari projects a thick slice.
    """
    factors = layer.downsample_factors[level] if layer.multiscale else 1.0
    here = np.round(_here(viewer, layer) / factors)
    for i, at in enumerate(part[: layer.ndim]):
        if is_displayed(viewer, layer, i):
            if not isinstance(at, range):
                return False
        elif isinstance(at, range):
            slider = i + viewer.dims.ndim - layer.ndim
            thick = viewer.dims.margin_left[slider] or viewer.dims.margin_right[slider]
            if here[i] not in at or (len(at) > 1 and not thick):
                return False
        elif at != here[i]:
            return False
    return True


def _seen(viewer: ViewerModel, layer: Image) -> NDArray[np.float64]:
    """Return corners of the canvas in the layer's pixels, (corners, ndim)."""
    if viewer.dims.ndisplay != 2:
        raise InputError("in 3D there is no current view; switch to 2D, or choose the whole layer")
    canvas = getattr(viewer, "canvas", None)  # napari before 0.9 has it elsewhere
    height, width = canvas.viewbox_size(viewer.layers) if canvas else viewer._canvas_size
    camera = getattr(getattr(viewer, "scene", viewer), "camera", None) or viewer.camera
    half = np.array([height, width], dtype=np.float64) / (2 * camera.zoom)
    centre = np.asarray(camera.center, dtype=np.float64)[-2:]
    corners = []
    for signs in product((-1, 1), repeat=2):
        point = np.asarray(viewer.dims.point, dtype=np.float64).copy()
        point[list(viewer.dims.displayed)] = centre + half * signs
        corners.append(to_pixels(viewer, layer, point))
    return np.array(corners, dtype=np.float64)


def _drawn(viewer: ViewerModel, layer: Image, shapes: Shapes | None) -> NDArray[np.float64]:
    """Return vertices of shapes in the layer's pixels, (vertices, ndim)."""
    if shapes is None or not len(shapes.data):
        raise InputError("there are no shapes; draw a rectangle in a shapes layer and choose it")
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    vertices = np.concatenate([np.asarray(shapes.data[i]) for i in chosen])
    # Shapes drawn in 2D belong to all planes of an image with more dimensions.
    position = np.array(layer.data_to_world(np.zeros(layer.ndim)), dtype=np.float64)
    position /= units_ratio(viewer, layer)
    shared = min(shapes.ndim, layer.ndim)
    points = []
    for vertex in vertices:
        world = np.asarray(shapes.data_to_world(vertex), dtype=np.float64)
        position[-shared:] = (world / units_ratio(viewer, shapes))[-shared:]
        points.append(to_pixels(viewer, layer, position))
    return np.array(points)


def _cut(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    points: NDArray[np.float64],
    dimensions: Sequence[int],
) -> None:
    """Narrow `low` and `high` to the pixels that the bounding box of the points touches."""
    for i in dimensions:
        # Pixel n reaches from n - 0.5 to n + 0.5; a hair of slack for rounding in the transforms.
        low[i] = max(low[i], np.floor(points[:, i].min() + 0.5 + 1e-6))
        high[i] = min(high[i], np.ceil(points[:, i].max() + 0.5 - 1e-6))
