"""The only place that adds layers or changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from napari.utils import Colormap

    from napari_baryir.widgets.viewer.regions import Box

KEY = "napari_baryir"
"""Of what we keep in a layer's metadata."""

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
    """Arguments of a layer that lies exactly on `box` of `source` and looks like it."""
    kept = {name: getattr(source, name) for name in COPIED if hasattr(source, name)}
    kept["affine"] = source.affine.affine_matrix
    kept["rgb"] = source.rgb
    kept["translate"] = _translate(source, box)
    return kept


def _translate(source: Image, box: Box) -> Any:
    """Where the first pixel of the box is, before the layer's affine."""
    from napari.utils.transforms import Affine

    start = box.start[: source.ndim]
    if not start.any():
        return source.translate
    place = Affine(
        scale=source.scale, rotate=source.rotate, shear=source.shear, translate=source.translate
    )
    return np.asarray(place(start))


def add_result(
    viewer: ViewerModel,
    source: Image,
    box: Box,
    data: Any,
    *,
    name: str,
    record: dict[str, Any] | None = None,
    below: Layer | None = None,
) -> Image:
    """Add a restored image that looks like its source right above it.

    Parameters
    ----------
    viewer, source, box
        The result lies on `box` of `source`.
    data
        An array, or a list of them for a multiscale layer.
    name
        Of the layer.
    record
        Kept as ``metadata["napari_baryir"]``.
    below
        Another layer that it goes above instead.
    """
    from napari.layers import Image

    layer = Image(
        data,
        name=name,
        multiscale=isinstance(data, list),
        metadata={KEY: record} if record else {},  # now, since docks follow the layers that appear
        **copied_properties(source, box),
    )
    insert_above(viewer, source if below is None else below, layer)
    return layer


def add_difference(
    viewer: ViewerModel,
    below: Image,
    data: Any,
    *,
    name: str,
    limit: float,
    record: dict[str, Any] | None = None,
) -> Image:
    """Add a signed map over the same pixels as the layer `below`; 0 is black.

    Parameters
    ----------
    viewer, below
        It lies on all of `below`.
    data
        Without RGB samples, or a list of such for a multiscale layer.
    name
        Of the layer.
    limit
        Contrast limits are plus and minus this.
    record
        Kept as ``metadata["napari_baryir"]``.
    """
    from napari.layers import Image

    place = {
        key: getattr(below, key)
        for key in ("scale", "rotate", "shear", "translate", "units", "axis_labels")
        if hasattr(below, key)
    }
    layer = Image(
        data,
        name=name,
        rgb=False,
        multiscale=isinstance(data, list),
        colormap=signed_colormap(),
        contrast_limits=(-limit, limit),
        blending="translucent",
        affine=below.affine.affine_matrix,
        metadata={KEY: record} if record else {},
        **place,
    )
    insert_above(viewer, below, layer)
    show_colorbar(layer)
    return layer


def show_colorbar(layer: Image) -> None:
    """Show a layer's colour bar on the canvas, where napari has such."""
    bar = getattr(layer, "colorbar", None)  # since 0.9
    if bar is not None:
        bar.visible = True


def signed_colormap() -> Colormap:
    """Blue below 0, black at 0, orange above: told apart by colour-blind eyes too."""
    from napari.utils import Colormap

    colors = [[0.35, 0.7, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.6, 0.1, 1.0]]
    return Colormap(colors, name="less blue, more orange")


def insert_above(viewer: ViewerModel, below: Layer, layer: Layer) -> None:
    """Add a layer right above another, or on top if that one is gone; the selection stays.

    napari selects what is new and shows its controls, which takes the window as long again as a
    third of all the rest: so nobody is told of the selection before it is what it was.
    """
    selection = viewer.layers.selection
    chosen = set(selection)
    place = viewer.layers.index(below) + 1 if below in viewer.layers else len(viewer.layers)
    with selection.events.blocker_all():
        viewer.layers.insert(place, layer)
        viewer.layers.selection = chosen


def select_instead(viewer: ViewerModel, before: Layer, layer: Layer) -> None:
    """Select a layer if only `before` was, as napari does with new layers; else leave it."""
    if layer in viewer.layers and set(viewer.layers.selection) == {before}:
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
    """What we kept in a layer's metadata; None where it is not ours."""
    found = layer.metadata.get(KEY) if layer is not None else None
    return found if isinstance(found, dict) else None


def kind_of(layer: Layer) -> str | None:
    """What a layer of ours is; None for others.

    One of restored, restoring, removed, before, severity, domains and contribution.
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
    """Arrays of a layer, finest first; one where it is not multiscale."""
    return list(layer.data) if layer.multiscale else [layer.data]


def images(viewer: ViewerModel) -> list[Image]:
    """The image layers of a viewer."""
    return [layer for layer in viewer.layers if layer.__class__.__name__ == "Image"]


def show_only(shown: Layer, hidden: Layer) -> None:
    """Show one of two layers that lie on each other."""
    shown.visible = True
    hidden.visible = False


def show_of(shown: Mapping[Layer, bool]) -> None:
    """Show or hide each of these layers."""
    for layer, visible in shown.items():
        layer.visible = visible


def refresh(layer: Layer) -> None:
    """Draw values again that have changed in place."""
    layer.refresh(highlight=False, extent=False)
