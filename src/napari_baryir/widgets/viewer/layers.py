"""The only place that adds layers or changes them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_baryir.widgets.viewer.regions import Box, is_a

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from napari.utils import Colormap

KEY = "napari_baryir"
"""Key of what we keep in a layer's metadata."""

_images: weakref.WeakKeyDictionary[Layer, weakref.ref[Layer]] = weakref.WeakKeyDictionary()
"""The image that each layer of ours was made of."""

COVERING = ("opaque", "translucent", "translucent_no_depth")
"""Blendings that hide what lies below; others show the sum, the least or the greatest."""

LOOK = (
    "rgb", "colormap", "contrast_limits", "gamma", "interpolation2d", "interpolation3d",
    "rendering", "attenuation", "iso_threshold", "blending", "opacity", "projection_mode",
)  # fmt: skip
"""Properties that a result takes from its image as they are."""


def offered(viewer: ViewerModel, *kinds: str) -> list[Layer]:
    """Return the layers of these types to choose from, from the top: images and results."""
    return [
        layer
        for layer in reversed(viewer.layers)
        if is_a(layer, *kinds) and kind_of(layer) in (None, "restored")
    ]


def placement(layer: Image, box: Box | None = None, sides: Any = 1.0) -> dict[str, Any]:
    """Return arguments of a layer whose pixels are cells of an image.

    Parameters
    ----------
    layer
        The image; its scale, translation, rotation, shear and affine may be any.
    box
        The part of it that the cells cover, from its first pixel on; None for all of it.
    sides
        Sides of a cell in pixels. The first cell is centred on pixel (sides - 1) / 2 of the box.
    """
    from napari.utils.transforms import Affine

    names = ("rotate", "shear", "units", "axis_labels")
    transform = Affine(
        scale=layer.scale, rotate=layer.rotate, shear=layer.shear, translate=layer.translate
    )
    start = np.zeros(layer.ndim) if box is None else box.start[: layer.ndim]
    return {
        **{name: getattr(layer, name) for name in names},
        "scale": layer.scale * sides,
        "translate": np.asarray(transform(start + (np.asarray(sides) - 1) / 2)),
        "affine": layer.affine.affine_matrix,
    }


def origin(layer: Layer, box: Box) -> dict[str, Any]:
    """Return what a record says of the image: its name, its file if any, the part if not all."""
    return {
        "source": layer.name,
        "path": path_of(layer),
        "region": None if box.whole else box.bounds,
    }


def path_of(layer: Layer) -> str | None:
    """Return the path of the file that a layer was read from, if any."""
    path = layer.source.path
    return str(path) if path else None


def add_result(
    viewer: ViewerModel,
    image_layer: Image,
    box: Box,
    data: Any,
    *,
    name: str,
    record: dict[str, Any],
) -> Image:
    """Add a restored image that looks like the original, above all that we made of the same image.

    Parameters
    ----------
    viewer, image_layer, box
        The result lies on `box` of the original.
    data
        An array, or a list of them for a multiscale layer.
    name
        Name of the layer.
    record
        Kept as ``metadata["napari_baryir"]``.
    """
    from napari.layers import Image

    layer = Image(
        data,
        name=name,
        multiscale=isinstance(data, list),
        visible=not _waits_to_be_seen(data),
        metadata={KEY: record},  # now, since docks follow the layers that appear
        **{each: getattr(image_layer, each) for each in LOOK},
        **placement(image_layer, box),
    )
    add_above(viewer, image_layer, layer)
    layer.visible = True
    return layer


def add_above(viewer: ViewerModel, image_layer: Layer, layer: Layer) -> None:
    """Add a layer above all that we made of the same image."""
    insert_above(viewer, made_of(viewer, image_layer)[-1], layer)


def add_difference(
    viewer: ViewerModel,
    below: Image,
    data: Any,
    *,
    name: str,
    limit: float,
    record: dict[str, Any],
    visible: bool = True,
    **placed: Any,
) -> Image:
    """Add a signed map with a colour bar right above a layer; 0 is black.

    Parameters
    ----------
    viewer, below
        The map goes above this layer of the viewer.
    data
        Values without RGB samples, or a list of such for a multiscale layer.
    name
        Name of the layer.
    limit
        Contrast limits are plus and minus this.
    record
        Kept as ``metadata["napari_baryir"]``.
    visible
        Whether the map is shown.
    **placed
        The `placement` of the map.
    """
    from napari.layers import Image

    layer = Image(
        data,
        name=name,
        rgb=False,
        multiscale=isinstance(data, list),
        colormap=signed_colormap(),
        contrast_limits=(-limit, limit),
        blending="translucent",
        visible=visible and not _waits_to_be_seen(data),
        metadata={KEY: record},
        **placed,
    )
    insert_above(viewer, below, layer)
    layer.visible = visible
    show_colorbar(layer)
    return layer


def show_colorbar(layer: Image) -> None:
    """Show a layer's colour bar on the canvas, where napari has one (since 0.9)."""
    if hasattr(layer, "colorbar"):
        layer.colorbar.visible = True


def signed_colormap() -> Colormap:
    """Blue below 0, black at 0, orange above: colour-blind eyes can distinguish them."""
    from napari.utils import Colormap

    colors = [[0.35, 0.7, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.6, 0.1, 1.0]]
    return Colormap(colors, name="less blue, more orange")


def insert_above(viewer: ViewerModel, below: Layer, layer: Layer) -> None:
    """Add a layer right above another, or on top if that one is gone; the selection stays.

    napari selects a new layer and builds its controls, which makes adding it a third slower. So the
    selection is set back before anything hears of the new layer.
    """
    _images[layer] = weakref.ref(image_of(below))
    selection = viewer.layers.selection
    chosen = set(selection)
    index = viewer.layers.index(below) + 1 if below in viewer.layers else len(viewer.layers)
    with selection.events.blocker_all():
        viewer.layers.insert(index, layer)
        viewer.layers.selection = chosen


def image_of(layer: Layer) -> Layer:
    """Return the image that a layer of ours was made of; other layers are images of their own."""
    image = _images[layer]() if layer in _images else None
    return layer if image is None else image


def made_of(viewer: ViewerModel, image_layer: Layer) -> list[Layer]:
    """Return the image of a layer and all that we made of it, from the bottom."""
    image = image_of(image_layer)
    return [each for each in viewer.layers if image_of(each) is image] or [image_layer]


def hide_earlier(viewer: ViewerModel, image_layer: Layer, layer: Layer) -> None:
    """Hide the results before this one that were made of the same image."""
    for each in made_of(viewer, image_layer):
        if each not in (image_layer, layer) and kind_of(each) in ("restored", "removed", "preview"):
            each.visible = False


def select_instead(viewer: ViewerModel, image_layer: Layer, layer: Layer) -> None:
    """Select a layer, as napari does with new ones, unless other images are selected."""
    ours = made_of(viewer, image_layer)
    if layer in viewer.layers and all(each in ours for each in viewer.layers.selection):
        viewer.layers.selection.active = layer


def remove(viewer: ViewerModel, layer: Layer | None) -> None:
    """Take a layer out of the viewer if it is still there."""
    if layer is not None and layer in viewer.layers:
        viewer.layers.remove(layer)


def set_record(layer: Image, record: dict[str, Any]) -> None:
    """Keep a record in the layer's metadata."""
    layer.metadata = {**layer.metadata, KEY: record}


def record_of(layer: Layer | None) -> dict[str, Any] | None:
    """Return what we keep in a layer's metadata; None where it is not ours."""
    found = layer.metadata.get(KEY) if layer is not None else None
    return found if isinstance(found, dict) else None


def kind_of(layer: Layer) -> str | None:
    """Return what a layer of ours is; None for others.

    One of restored, restoring, preview, removed, severity, domains and contribution.
    """
    return (record_of(layer) or {}).get("kind")


def show_data(layer: Image, data: Any) -> None:
    """Replace a layer's values by others of the same shape, or draw changed ones again."""
    if layer.data is data:
        layer.refresh()
        return
    limits = None if layer.rgb else layer.contrast_limits
    layer.data = data
    if limits is not None:
        layer.contrast_limits = limits


def levels(layer: Image) -> list[Any]:
    """Return the arrays of a layer, finest first; one where it is not multiscale."""
    return list(layer.data) if layer.multiscale else [layer.data]


def _waits_to_be_seen(data: Any) -> bool:
    """Whether values are restored when they are in view; a new layer must not read them before."""
    return hasattr(data[0] if isinstance(data, list) else data, "level")


def refresh(layer: Layer) -> None:
    """Draw values again that have changed in place."""
    if getattr(layer, "multiscale", False) and layer.ndim == 2:
        layer.data = list(layer.data)  # napari keeps the coarsest level that it has read
    else:
        layer.refresh(highlight=False, extent=False)
