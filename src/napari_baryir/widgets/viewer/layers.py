"""The only place that adds layers or changes them."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from napari.utils import Colormap

    from napari_baryir.widgets.viewer.regions import Box

KEY = "napari_baryir"
"""Key of what we keep in a layer's metadata."""

_images: weakref.WeakKeyDictionary[Layer, weakref.ref[Layer]] = weakref.WeakKeyDictionary()
"""The image that each layer of ours was made of."""

COVERING = ("opaque", "translucent", "translucent_no_depth")
"""Blendings that hide what lies below; others show the sum, the least or the greatest."""

COPIED = (
    "colormap",
    "contrast_limits",
    "gamma",
    "interpolation2d",
    "interpolation3d",
    "rendering",
    "attenuation",
    "iso_threshold",
    "blending",
    "opacity",
    "projection_mode",
    "axis_labels",
    "units",
    "scale",
    "rotate",
    "shear",
)
"""Properties that a result takes from its source as they are."""


def copied_properties(source: Image, box: Box) -> dict[str, Any]:
    """Return arguments of a layer that lies exactly on `box` of `source` and looks like it."""
    kept = {name: getattr(source, name) for name in COPIED if hasattr(source, name)}
    kept["affine"] = source.affine.affine_matrix
    kept["rgb"] = source.rgb
    kept["translate"] = _translate(source, box)
    return kept


def _translate(source: Image, box: Box) -> Any:
    """Return where the first pixel of the box is, before the layer's affine."""
    from napari.utils.transforms import Affine

    start = box.start[: source.ndim]
    if not start.any():
        return source.translate
    transform = Affine(
        scale=source.scale, rotate=source.rotate, shear=source.shear, translate=source.translate
    )
    return np.asarray(transform(start))


def add_result(
    viewer: ViewerModel,
    source: Image,
    box: Box,
    data: Any,
    *,
    name: str,
    record: dict[str, Any] | None = None,
) -> Image:
    """Add a restored image that looks like its source, above all that we made of the same image.

    Parameters
    ----------
    viewer, source, box
        The result lies on `box` of `source`.
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
        metadata={KEY: record} if record else {},  # now, since docks follow the layers that appear
        **copied_properties(source, box),
    )
    add_above(viewer, source, layer)
    layer.visible = True
    return layer


def add_above(viewer: ViewerModel, source: Layer, layer: Layer) -> None:
    """Add a layer above all that we made of the same image."""
    insert_above(viewer, made_of(viewer, source)[-1], layer)


def add_difference(
    viewer: ViewerModel,
    below: Image,
    data: Any,
    *,
    name: str,
    limit: float,
    record: dict[str, Any],
    placement: Mapping[str, Any] | None = None,
    visible: bool = True,
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
    placement
        The layer's transforms; by default, those of `below`.
    visible
        Whether the map is shown.
    """
    from napari.layers import Image

    if placement is None:
        names = ("scale", "rotate", "shear", "translate", "units", "axis_labels")
        placement = {each: getattr(below, each) for each in names if hasattr(below, each)}
        placement["affine"] = below.affine.affine_matrix
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
        **placement,
    )
    insert_above(viewer, below, layer)
    layer.visible = visible
    show_colorbar(layer)
    return layer


def show_colorbar(layer: Image) -> None:
    """Show a layer's colour bar on the canvas, where napari has such."""
    bar = getattr(layer, "colorbar", None)  # since 0.9
    if bar is not None:
        bar.visible = True


def signed_colormap() -> Colormap:
    """Blue below 0, black at 0, orange above: colour-blind eyes can distinguish them."""
    from napari.utils import Colormap

    colors = [[0.35, 0.7, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.6, 0.1, 1.0]]
    return Colormap(colors, name="less blue, more orange")


def insert_above(viewer: ViewerModel, below: Layer, layer: Layer) -> None:
    """Add a layer right above another, or on top if that one is gone; the selection stays.

    napari selects what is new and shows its controls, which takes the window as long again as a
    third of all the rest: so the selection is set back before anything hears of it.
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


def made_of(viewer: ViewerModel, source: Layer) -> list[Layer]:
    """Return the image of a layer and all that we made of it, from the bottom."""
    image = image_of(source)
    return [each for each in viewer.layers if image_of(each) is image] or [source]


def hide_earlier(viewer: ViewerModel, source: Layer, layer: Layer) -> None:
    """Hide the results before this one that were made of the same image."""
    for each in made_of(viewer, source):
        if each not in (source, layer) and kind_of(each) in ("restored", "removed", "preview"):
            each.visible = False


def select_instead(viewer: ViewerModel, source: Layer, layer: Layer) -> None:
    """Select a layer, as napari does with new ones, unless other images are selected."""
    ours = made_of(viewer, source)
    if layer in viewer.layers and all(each in ours for each in viewer.layers.selection):
        viewer.layers.selection.active = layer


def remove(viewer: ViewerModel, layer: Layer | None) -> None:
    """Take a layer out of the viewer if it is still there."""
    if layer is not None and layer in viewer.layers:
        viewer.layers.remove(layer)


def finish(layer: Image, *, name: str, record: dict[str, Any]) -> None:
    """Give a layer that was shown while running its name and record."""
    layer.name = name
    set_record(layer, record)
    layer.refresh()


def set_record(layer: Image, record: dict[str, Any]) -> None:
    """Keep what was done in the layer's metadata."""
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


def images(viewer: ViewerModel) -> list[Image]:
    """Return the image layers of a viewer."""
    return [layer for layer in viewer.layers if layer.__class__.__name__ == "Image"]


def cover(layer: Image) -> None:
    """Have a layer hide what lies below it, whatever its blending was."""
    if layer.blending not in COVERING:
        layer.blending = "translucent"


def _waits_to_be_seen(data: Any) -> bool:
    """Whether values are restored when they are in view; a new layer must not read them before."""
    return hasattr(data[0] if isinstance(data, list) else data, "level")


def show_of(shown: Mapping[Layer, bool]) -> None:
    """Show or hide each of these layers."""
    for layer, visible in shown.items():
        layer.visible = visible


def refresh(layer: Layer) -> None:
    """Draw values again that have changed in place."""
    if getattr(layer, "multiscale", False) and layer.ndim == 2:
        layer.data = list(layer.data)  # napari keeps the coarsest level that it has read
    else:
        layer.refresh(highlight=False, extent=False)
