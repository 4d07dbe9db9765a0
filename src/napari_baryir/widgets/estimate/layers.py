"""Layers of an estimate: severity, domain map, contributions; each exactly on the image.

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
    from napari.utils import DirectLabelColormap

    from napari_baryir.widgets.estimate.job import Estimated

OPACITY = 0.7
"""Opacity of the maps: the image stays visible below them."""


def add_layers(
    viewer: ViewerModel, image_layer: Image, box: Box, done: Estimated, record: dict[str, Any]
) -> tuple[Image, Labels, list[Image]]:
    """Add the maps of an estimate right above their image, and return them.

    These are the severity (inferno from 0 to 1), the domain map (a colour per domain, as opaque as
    a cell is severe) and the contributions of the embeddings (hidden, 0 is black).
    """
    from napari.layers import Image, Labels

    maps = done.maps
    sides = np.array([maps.cell if letter in "YX" else 1 for letter in maps.axes])
    cells = layers.placement(image_layer, box, sides)
    severity = Image(
        maps.severity,
        name=f"{image_layer.name} severity",
        rgb=False,
        multiscale=False,
        colormap="inferno",
        contrast_limits=(0.0, 1.0),
        blending="translucent",
        opacity=OPACITY,
        metadata={layers.KEY: {**record, "kind": "severity"}},
        **cells,
    )
    layers.insert_above(viewer, image_layer, severity)
    layers.show_colorbar(severity)
    domains = Labels(
        maps.labels,
        name=f"{image_layer.name} domains",
        multiscale=False,
        colormap=colormap(maps),
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
            name=f"{image_layer.name} {each.name}",
            limit=each.limit,
            record={**record, "kind": "contribution", "map": each.name},
            visible=False,
            **layers.placement(image_layer, box),
        )
        for each in done.contributions
    ]
    return severity, domains, contributions


def colormap(maps: DegradationMaps, only: str | None = None) -> DirectLabelColormap:
    """Return the colours of a domain map: of one domain, or of all."""
    from napari.utils import DirectLabelColormap

    return DirectLabelColormap(color_dict=label_colors(maps.domains, only))


def _features(maps: DegradationMaps) -> dict[str, list[Any]]:
    """Return the table from which napari describes the label under the cursor."""
    rows: list[tuple[int, str, str]] = [(0, "clean", ""), (PENDING, "not looked at yet", "")]
    for number, domain in enumerate(maps.domains, start=1):
        for level in range(LEVELS):
            severity = f"{level / LEVELS:.1f} to {(level + 1) / LEVELS:.1f}"
            rows.append((LEVELS * number + level, domain, severity))
    index, domains, severities = zip(*rows, strict=True)
    return {"index": list(index), "domain": list(domains), "severity": list(severities)}
