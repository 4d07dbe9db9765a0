"""Layers of an estimate: severity, domain map, contributions; each exactly on the image.

They are made here and put into the viewer by `layers`.

The domain map is a Labels layer and not an RGBA image: its cells keep their names, which napari
shows under the cursor, which region tools can measure, and which a file keeps. napari has one
opacity per label, not per pixel; so a label says the severity, too, in ten steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_baryir.widgets.estimate.maps import LEVELS, PENDING, DegradationMaps, label_colors
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import Box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_baryir.widgets.estimate.job import Estimated

OPACITY = 0.7
"""Opacity of the maps: the image stays visible below them."""


def placement(source: Image, box: Box, axes: str, cell: int = 1) -> dict[str, Any]:
    """Return arguments of a layer whose pixels are cells of a source's.

    Parameters
    ----------
    source
        The image; its scale, translation, rotation, shear and affine may be any.
    box
        The part of it that the cells cover, from its first pixel on.
    axes
        Axes of the source, without S.
    cell
        Side of a cell in pixels, along Y and X. Cell 0 is centred on pixel (cell - 1) / 2.
    """
    from napari.utils.transforms import Affine

    sides = np.array([cell if letter in "YX" else 1 for letter in axes], dtype=np.float64)
    transform = Affine(
        scale=source.scale, rotate=source.rotate, shear=source.shear, translate=source.translate
    )
    kept = {
        name: getattr(source, name) for name in ("units", "axis_labels") if hasattr(source, name)
    }
    return {
        "scale": source.scale * sides,
        "translate": np.asarray(transform(box.start[: len(axes)] + (sides - 1) / 2)),
        "rotate": source.rotate,
        "shear": source.shear,
        "affine": source.affine.affine_matrix,
        **kept,
    }


def add_layers(
    viewer: ViewerModel, source: Image, box: Box, done: Estimated, record: dict[str, Any]
) -> tuple[Image, Labels, list[Image]]:
    """Add what was found right above its image.

    Returns
    -------
    The severity (inferno from 0 to 1, with a colour bar), the domain map (a colour per domain, as
    opaque as a cell is severe) and what the embeddings do to the image (hidden, 0 is black).
    """
    from napari.layers import Image, Labels

    maps = done.maps
    cells = placement(source, box, maps.axes, maps.cell)
    severity = Image(
        maps.severity,
        name=f"{source.name} severity",
        rgb=False,
        multiscale=False,
        colormap="inferno",
        contrast_limits=(0.0, 1.0),
        blending="translucent",
        opacity=OPACITY,
        metadata={layers.KEY: {**record, "kind": "severity"}},
        **cells,
    )
    layers.insert_above(viewer, source, severity)
    layers.show_colorbar(severity)
    domains = Labels(
        maps.labels,
        name=f"{source.name} domains",
        multiscale=False,
        colormap=_colormap(maps, None),
        blending="translucent",
        opacity=1.0,
        features=_features(maps),
        metadata={layers.KEY: {**record, "kind": "domains"}},
        **cells,
    )
    domains.editable = False
    layers.insert_above(viewer, severity, domains)
    contributions = [
        layers.add_difference(
            viewer,
            severity,
            each.data,
            name=f"{source.name} {each.name}",
            limit=each.limit,
            record={**record, "kind": "contribution", "map": each.name},
            placement=placement(source, box, maps.axes),
            visible=False,
        )
        for each in done.contributions
    ]
    return severity, domains, contributions


def show_domain(layer: Labels, maps: DegradationMaps, only: str | None) -> None:
    """Show one domain of the map, or all."""
    layer.colormap = _colormap(maps, only)


def _colormap(maps: DegradationMaps, only: str | None) -> Any:
    from napari.utils import DirectLabelColormap

    return DirectLabelColormap(color_dict=label_colors(maps.domains, only))


def _features(maps: DegradationMaps) -> dict[str, list[Any]]:
    """Return what napari says of a label under the cursor."""
    rows: list[tuple[int, str, str]] = [(0, "clean", ""), (PENDING, "not looked at yet", "")]
    for number, domain in enumerate(maps.domains, start=1):
        for level in range(LEVELS):
            severity = f"{level / LEVELS:.1f} to {(level + 1) / LEVELS:.1f}"
            rows.append((LEVELS * number + level, domain, severity))
    index, domains, severities = zip(*rows, strict=True)
    return {"index": list(index), "domain": list(domains), "severity": list(severities)}
